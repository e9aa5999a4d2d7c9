"""CPM-1. Source: arXiv:2012.00413; model-center 1.0.2 model/cpm1.py.

T5's bias of distances in both directions, products divided by the square root of their inputs, a context that
is seen whole. Its GPT-2 relative in transformers (CPM-Generate) is another model.
"""

from __future__ import annotations

from modelcenter.families import openbmb
from modelcenter.families.configuration import Configuration
from modelcenter.families.family import Family, Header
from modelcenter.models.config import PrefixDecoder


def config(hf: Configuration, header: Header) -> PrefixDecoder:
    c = openbmb.arguments("cpm1", hf, header)
    return openbmb.prefix_decoder(c, openbmb.relative_bias(c, bidirectional=True))


FAMILY = Family(
    name="cpm1",
    model_types=(),
    classes=(),
    config=config,
    dialects={openbmb.DIALECT: openbmb.prefix_decoder_map},
    tokenizer="cpm1",
)
