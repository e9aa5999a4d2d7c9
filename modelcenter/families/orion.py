"""Orion. Source: arXiv:2401.12246; its modeling_orion.py.

Llama's decoder with layer norms.
"""

from __future__ import annotations

from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import (
    attention,
    attention_bias,
    decoder,
    decoder_map,
    gated,
    layer_norm,
)
from modelcenter.families.family import Family, Header
from modelcenter.models.config import Block, Decoder


def config(hf: Configuration, header: Header) -> Decoder:
    block = Block(
        attention=attention(
            hf,
            lambda head_dim: hf.rotary(head_dim, theta=10000.0),
            own_head_dim=False,
            bias=attention_bias(hf),
        ),
        feedforward=gated(hf),
        norm=layer_norm(hf, "rms_norm_eps"),  # so it is called, whatever the norm
    )
    blocks = (block,) * hf.layers("num_hidden_layers")
    return decoder(hf, header, blocks, block.norm, max_position_embeddings=4096)


FAMILY = Family(
    name="orion",
    model_types=("orion",),
    classes=("OrionModel", "OrionForCausalLM"),
    config=config,
    dialects={"huggingface": decoder_map},
    tokenizer="sentencepiece",
)
