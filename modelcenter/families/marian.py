"""Marian, the OPUS translators. Source: arXiv:1804.00344; transformers modeling_marian.py.

BART without the norm after the embedding; positions as Pegasus has them.
"""

from __future__ import annotations

from modelcenter.families import bart
from modelcenter.families.configuration import Configuration
from modelcenter.families.family import Family, Header
from modelcenter.models.config import EncoderDecoder


def config(hf: Configuration, header: Header) -> EncoderDecoder:
    hf.refuse(share_encoder_decoder_embeddings=(True,))
    vocabulary = hf.integer("vocab_size")
    hf.refuse(decoder_vocab_size=(vocabulary,))
    return bart.stacks(
        hf,
        header,
        bart.sinusoids(hf, header),
        pre_norm=False,
        embedding_norm=False,
        start=hf.pad_token_id or 0,
    )


FAMILY = Family(
    name="marian",
    model_types=("marian",),
    classes=("MarianModel", "MarianMTModel"),
    config=config,
    dialects={"huggingface": bart.huggingface},
)
