"""Gemma. Source: arXiv:2403.08295; transformers modeling_gemma.py.

The embedding is multiplied by sqrt(hidden_size), norms by 1 + their weight, and heads are 256 wide.
"""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import (
    TANH_GELU,
    TIED,
    attention,
    attention_bias,
    decoder,
    decoder_map,
    gated,
    rms_norm,
)
from modelcenter.families.family import Family, Header
from modelcenter.models.config import Block, Decoder


def config(hf: Configuration, header: Header) -> Decoder:
    hf.refuse(use_bidirectional_attention=(False,))
    activation = hf.activation("hidden_act", default=TANH_GELU)
    # The first releases say `gelu` and mean its approximation, as which they were trained.
    activation = TANH_GELU if activation == "gelu" else activation
    hf.refuse(hidden_activation=(activation,))
    block = Block(
        attention=attention(
            hf,
            lambda head_dim: hf.rotary(head_dim, theta=10000.0),
            head_dim=256,
            bias=attention_bias(hf),
        ),
        feedforward=replace(gated(hf, activation=TANH_GELU), activation=activation),
        norm=rms_norm(hf, offset=1.0),
    )
    return decoder(
        hf,
        header,
        (block,) * hf.layers("num_hidden_layers"),
        block.norm,
        head=TIED,
        max_position_embeddings=8192,
        embedding_scale=sqrt(hf.integer("hidden_size")),
    )


FAMILY = Family(
    name="gemma",
    model_types=("gemma",),
    classes=("GemmaModel", "GemmaForCausalLM"),
    config=config,
    dialects={"huggingface": decoder_map},
    tokenizer="gemma",
)
