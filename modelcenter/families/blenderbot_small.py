"""Blenderbot 90M. Source: arXiv:2004.13637; transformers modeling_blenderbot_small.py.

BART whose positions begin in the table's first row; the decoder normalises the embedding, unscaled, before
they are added.
"""

from __future__ import annotations

from dataclasses import replace

from modelcenter.families import bart
from modelcenter.families.configuration import Configuration
from modelcenter.families.family import Family, Header
from modelcenter.models.config import EncoderDecoder


def config(hf: Configuration, header: Header) -> EncoderDecoder:
    made = bart.stacks(hf, header, bart.learned(hf, offset=0), pre_norm=False, embedding_norm=True, start=1)
    assert made.decoder is not None
    return replace(made, decoder=replace(made.decoder, norm_first=True))


FAMILY = Family(
    name="blenderbot_small",
    model_types=("blenderbot-small",),
    classes=("BlenderbotSmallModel", "BlenderbotSmallForConditionalGeneration"),
    config=config,
    dialects={"huggingface": bart.huggingface},
)
