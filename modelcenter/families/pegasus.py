"""Pegasus. Source: arXiv:1912.08777; transformers modeling_pegasus.py.

BART normalised before each sublayer, and at the end of each stack; positions are sines and cosines, whose
tables some files hold: then those are read.
"""

from __future__ import annotations

from modelcenter.families import bart
from modelcenter.families.configuration import Configuration
from modelcenter.families.family import Family, Header
from modelcenter.models.config import EncoderDecoder


def config(hf: Configuration, header: Header) -> EncoderDecoder:
    return bart.stacks(hf, header, bart.sinusoids(hf, header), pre_norm=True, embedding_norm=False, start=0)


FAMILY = Family(
    name="pegasus",
    model_types=("pegasus",),
    classes=("PegasusModel", "PegasusForConditionalGeneration"),
    config=config,
    dialects={"huggingface": bart.huggingface},
    tokenizer="pegasus",
)
