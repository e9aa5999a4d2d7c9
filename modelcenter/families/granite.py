"""Granite 3. Source: github.com/ibm-granite/granite-3.0-language-models; transformers modeling_granite.py.

Llama with four factors: of the embedding, of attention's logits, of what sublayers add, of the head's logits.
"""

from __future__ import annotations

from dataclasses import replace

from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import (
    UNTIED,
    attention,
    attention_bias,
    decoder,
    decoder_map,
    gated,
    rms_norm,
)
from modelcenter.families.family import Family, Header
from modelcenter.models.config import Block, Decoder, Experts


def config(hf: Configuration, header: Header, experts: Experts | None = None) -> Decoder:
    """experts: in place of a feedforward (Granite with experts)."""
    block = Block(
        attention=attention(
            hf,
            lambda head_dim: hf.rotary(head_dim, theta=10000.0),
            bias=attention_bias(hf),
            scale=hf.number("attention_multiplier", default=1.0),
        ),
        feedforward=experts or gated(hf, bias=hf.flag("mlp_bias", default=False)),
        norm=rms_norm(hf),
        residual_scale=hf.number("residual_multiplier", default=1.0),
    )
    return decoder(
        hf,
        header,
        (block,) * hf.layers("num_hidden_layers"),
        block.norm,
        head=replace(UNTIED, scale=1 / hf.positive("logits_scaling", default=1.0)),
        max_position_embeddings=2048,
        embedding_scale=hf.number("embedding_multiplier", default=1.0),
    )


FAMILY = Family(
    name="granite",
    model_types=("granite",),
    classes=("GraniteModel", "GraniteForCausalLM"),
    config=config,
    dialects={"huggingface": decoder_map},
)
