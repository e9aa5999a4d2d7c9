"""mT5. Source: arXiv:2010.11934; transformers modeling_mt5.py.

T5 v1.1 with another vocabulary, and a head of its own that is not scaled. OpenBMB's form does not tell it
from T5: what is written in it is read as T5.
"""

from __future__ import annotations

from modelcenter.families import openbmb, t5
from modelcenter.families.configuration import Configuration
from modelcenter.families.encoders import class_names
from modelcenter.families.family import Family, Header
from modelcenter.models.config import EncoderDecoder


def config(hf: Configuration, header: Header) -> EncoderDecoder:
    tied = hf.flag("tie_word_embeddings", default=True)
    return t5.stacks(hf, tied=tied, scaled=False, projection="gated-gelu")


FAMILY = Family(
    name="mt5",
    model_types=("mt5",),
    classes=(*class_names("MT5", "ConditionalGeneration", *t5.CLASSIFYING), "MT5EncoderModel"),
    config=config,
    dialects={"huggingface": t5.huggingface, openbmb.DIALECT: openbmb.encoder_decoder_map},
    readers={openbmb.DIALECT: t5.original_config},
    tokenizer="t5",
)
