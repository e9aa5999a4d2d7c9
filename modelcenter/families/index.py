"""Index. Source: github.com/bilibili/Index-1.9B; its modeling_index.py.

Llama's decoder; the head of the larger models is normalised.
"""

from __future__ import annotations

from dataclasses import replace

from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import UNTIED, attention, decoder, decoder_map, gated, rms_norm
from modelcenter.families.family import Family, Header
from modelcenter.models.config import Block, Decoder


def config(hf: Configuration, header: Header) -> Decoder:
    block = Block(
        attention=attention(hf, lambda head_dim: hf.rotary(head_dim, theta=10000.0), own_head_dim=False),
        feedforward=gated(hf),
        norm=rms_norm(hf),
    )
    # A number in the released files, where others write true.
    normalized = hf.values.get("norm_head") is True or bool(
        hf.integer("norm_head", default=0, least=0, most=1)
    )
    return decoder(
        hf,
        header,
        (block,) * hf.layers("num_hidden_layers"),
        block.norm,
        head=replace(UNTIED, normalized=normalized),
        max_position_embeddings=2048,
    )


FAMILY = Family(
    name="index",
    model_types=("index",),
    classes=("IndexModel", "IndexForCausalLM"),
    config=config,
    dialects={"huggingface": decoder_map},
    tokenizer="sentencepiece",
)
