"""Gemma 2. Source: arXiv:2408.00118; transformers modeling_gemma2.py.

Norms before and after each sublayer, caps on the logits of attention and of the head, a scale of attention
that is not the head's width, and a window in every other layer.
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
    layer_types,
    llama_attention,
    llama_feedforward,
    rms_norm,
    window,
    windowed,
)
from modelcenter.families.family import Family, Header
from modelcenter.models.config import Block, Decoder
from modelcenter.weights.rules import RulesLike, WeightMap


def cap(hf: Configuration, name: str, default: float | None) -> float | None:
    """A limit of logits: none where it is null, `default` where it is absent."""
    return hf.positive(name, default=None if name in hf.values else default)


def config(hf: Configuration, header: Header) -> Decoder:
    hf.refuse(use_bidirectional_attention=(False,))
    block = Block(
        attention=attention(
            hf,
            lambda head_dim: hf.rotary(head_dim, theta=10000.0),
            head_dim=256,
            bias=attention_bias(hf),
            scale=hf.positive("query_pre_attn_scalar", default=256.0) ** -0.5,
            cap=cap(hf, "attn_logit_softcapping", 50.0),
        ),
        feedforward=gated(hf, "hidden_activation", activation=TANH_GELU),
        norm=rms_norm(hf, offset=1.0),
        norm_placement="both",
    )
    kinds = layer_types(hf, lambda i: i % 2 == 0)
    return decoder(
        hf,
        header,
        windowed(block, kinds, window(hf, 4096)),
        block.norm,
        head=replace(TIED, cap=cap(hf, "final_logit_softcapping", 30.0)),
        max_position_embeddings=8192,
        embedding_scale=sqrt(hf.integer("hidden_size")),
    )


def layer(block: Block) -> RulesLike:
    return {
        "attention_norm.*": "input_layernorm.*",
        **llama_attention(block),
        "attention_post_norm.*": "post_attention_layernorm.*",
        "feedforward_norm.*": "pre_feedforward_layernorm.*",
        **llama_feedforward(block),
        "feedforward_post_norm.*": "post_feedforward_layernorm.*",
    }


def huggingface(c: Decoder) -> WeightMap:
    return decoder_map(c, layer)


FAMILY = Family(
    name="gemma2",
    model_types=("gemma2",),
    classes=("Gemma2Model", "Gemma2ForCausalLM"),
    config=config,
    dialects={"huggingface": huggingface},
    tokenizer="gemma",
)
