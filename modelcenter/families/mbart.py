"""mBART and mBART-50. Source: arXiv:2001.08210; arXiv:2008.00401; transformers modeling_mbart.py.

BART normalised before each sublayer, and at the end of each stack.
"""

from __future__ import annotations

from dataclasses import replace

from modelcenter.families import bart
from modelcenter.families.configuration import Configuration
from modelcenter.families.encoders import class_names
from modelcenter.families.family import Family, Header
from modelcenter.models.config import EncoderDecoder


def config(hf: Configuration, header: Header) -> EncoderDecoder:
    # The token that the decoder begins with is a language's: released files name it, or generation does.
    start = hf.integer("bos_token_id", default=0, least=0)
    made = bart.stacks(
        hf, header, bart.learned(hf, offset=2), pre_norm=True, embedding_norm=True, start=start
    )
    return replace(made, repeats_source=True, starts_with_last=True)


FAMILY = Family(
    name="mbart",
    model_types=("mbart",),
    classes=class_names("MBart", "ConditionalGeneration", *bart.CLASSIFYING),
    config=config,
    dialects={"huggingface": bart.huggingface},
    tokenizer="mbart",
)
