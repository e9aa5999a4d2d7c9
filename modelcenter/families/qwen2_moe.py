"""Qwen 1.5 and 2 with experts. Source: arXiv:2407.10671; transformers modeling_qwen2_moe.py.

Biases on q, k and v; besides the chosen experts a shared one, weighed by a gate; some layers may be dense.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import (
    attention,
    decoder,
    decoder_map,
    gated,
    layer_types,
    rms_norm,
    window,
    windowed,
)
from modelcenter.families.experts import sparse_layer, sparse_layers
from modelcenter.families.family import Family, Header
from modelcenter.models.config import Block, Decoder, Experts, Router
from modelcenter.weights.rules import WeightMap


def config(hf: Configuration, header: Header) -> Decoder:
    block = Block(
        attention=attention(
            hf,
            lambda head_dim: hf.rotary(head_dim, theta=10000.0),
            bias="qkv" if hf.flag("qkv_bias", default=True) else "none",
        ),
        feedforward=gated(hf),
        norm=rms_norm(hf),
    )
    sparse = Experts(
        num_experts=hf.layers("num_experts", default=60),
        num_experts_per_token=hf.integer("num_experts_per_tok", default=4),
        intermediate_size=hf.integer("moe_intermediate_size", default=1408),
        activation=hf.activation("hidden_act", default="silu"),
        layout="separate",
        router=Router(normalized=hf.flag("norm_topk_prob", default=False)),
        shared=gated(hf, intermediate_size=hf.integer("shared_expert_intermediate_size", default=5632)),
        shared_gate=True,
    )
    blocks = [
        replace(layer, feedforward=sparse) if is_sparse else layer
        for layer, is_sparse in zip(first_windowed(hf, block), sparse_layers(hf), strict=True)
    ]
    return decoder(hf, header, blocks, block.norm, max_position_embeddings=32768)


def first_windowed(hf: Configuration, block: Block) -> tuple[Block, ...]:
    """Every second layer below `max_window_layers` sees a window, if any does: transformers' rule of this
    family, where files have no `layer_types`."""
    used, first = (
        hf.flag("use_sliding_window", default=False),
        hf.integer("max_window_layers", default=28, least=0),
    )
    kinds = layer_types(hf, lambda i: used and i % 2 == 0 and i < first)
    return windowed(block, kinds, window(hf, 4096) if used else None)


def huggingface(c: Decoder) -> WeightMap:
    return decoder_map(c, partial(sparse_layer, shared="mlp.shared_expert"))


FAMILY = Family(
    name="qwen2_moe",
    model_types=("qwen2_moe",),
    classes=("Qwen2MoeModel", "Qwen2MoeForCausalLM"),
    config=config,
    dialects={"huggingface": huggingface},
    tokenizer="qwen2",
)
