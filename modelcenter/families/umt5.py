"""UMT5. Source: arXiv:2304.09151; transformers modeling_umt5.py.

mT5 with a relative bias in each layer.
"""

from __future__ import annotations

from modelcenter.families import t5
from modelcenter.families.configuration import Configuration
from modelcenter.families.encoders import class_names
from modelcenter.families.family import Family, Header
from modelcenter.models.config import EncoderDecoder


def config(hf: Configuration, header: Header) -> EncoderDecoder:
    tied = hf.flag("tie_word_embeddings", default=True)
    # The original scales as a tied head's alone, and its heads are not tied; transformers 5 scales always,
    # which leaves the most likely token what it is.
    return t5.stacks(hf, tied=tied, scaled=True, projection="gated-gelu", bias_in_each=True)


FAMILY = Family(
    name="umt5",
    model_types=("umt5",),
    classes=(*class_names("UMT5", "ConditionalGeneration", *t5.CLASSIFYING), "UMT5EncoderModel"),
    config=config,
    dialects={"huggingface": t5.huggingface},
    tokenizer="t5",
)
