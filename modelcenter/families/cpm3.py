"""CPM-3. Source: model-center 1.0.2 model/cpm3.py.

Learned prompts before the text, and a bias for distances within a segment and for pairs of segments.
"""

from __future__ import annotations

from modelcenter.families import openbmb
from modelcenter.families.configuration import Configuration
from modelcenter.families.family import Family, Header
from modelcenter.models.config import PrefixDecoder, Prompts, SegmentBias


def config(hf: Configuration, header: Header) -> PrefixDecoder:
    c = openbmb.arguments("cpm3", hf, header)
    bias = SegmentBias(
        num_buckets=c.integer("position_bias_num_buckets"),
        max_distance=c.integer("position_bias_max_distance"),
        num_segments=c.integer("segment_types"),
        num_heads=c.integer("num_heads"),
        absolute_inner_segment=c.flag("absolute_inner_segment", default=True),
    )
    prompts = Prompts(types=c.integer("prompt_types"), length=c.integer("prompt_length"))
    return openbmb.prefix_decoder(c, bias, prompts=prompts)


FAMILY = Family(
    name="cpm3",
    model_types=(),
    classes=(),
    config=config,
    dialects={openbmb.DIALECT: openbmb.prefix_decoder_map},
    tokenizer="cpmant",
)
