"""CPM-2. Source: arXiv:2106.10715; model-center 1.0.2 model/cpm2.py.

T5's skeleton with products divided by the square root of their inputs; it exists in OpenBMB's form alone.
"""

from __future__ import annotations

from modelcenter.families import openbmb
from modelcenter.families.configuration import Configuration
from modelcenter.families.family import Family, Header
from modelcenter.models.config import EncoderDecoder


def config(hf: Configuration, header: Header) -> EncoderDecoder:
    return openbmb.encoder_decoder("cpm2", hf, header)


FAMILY = Family(
    name="cpm2",
    model_types=(),
    classes=(),
    config=config,
    dialects={openbmb.DIALECT: openbmb.encoder_decoder_map},
    tokenizer="cpm2",
)
