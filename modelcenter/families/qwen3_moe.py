"""Qwen 3 with experts. Source: arXiv:2505.09388; transformers modeling_qwen3_moe.py.

Each head's queries and keys are normalised before their rotation; some layers may be dense.
"""

from __future__ import annotations

from dataclasses import replace

from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import attention, decoder, decoder_map, gated, rms_norm, window
from modelcenter.families.experts import sparse_layer, sparse_layers
from modelcenter.families.family import Family, Header
from modelcenter.models.config import Block, Decoder, Experts, QueryKeyNorm, Router
from modelcenter.weights.rules import WeightMap


def config(hf: Configuration, header: Header) -> Decoder:
    norm = rms_norm(hf)
    dense = Block(
        attention=attention(
            hf,
            lambda head_dim: hf.rotary(head_dim, theta=10000.0),
            bias="all" if hf.flag("attention_bias", default=False) else "none",
            query_key_norm=QueryKeyNorm(norm=norm),
            window=window(hf, 4096) if hf.flag("use_sliding_window", default=False) else None,
        ),
        feedforward=gated(hf),
        norm=norm,
    )
    sparse = replace(
        dense,
        feedforward=Experts(
            num_experts=hf.layers("num_local_experts", "num_experts", default=128),
            num_experts_per_token=hf.integer("num_experts_per_tok", default=8),
            intermediate_size=hf.integer("moe_intermediate_size", default=768),
            activation=hf.activation("hidden_act", default="silu"),
            layout="separate",
            router=Router(normalized=hf.flag("norm_topk_prob", default=False)),
        ),
    )
    blocks = [sparse if is_sparse else dense for is_sparse in sparse_layers(hf)]
    return decoder(hf, header, blocks, norm, max_position_embeddings=32768)


def huggingface(c: Decoder) -> WeightMap:
    return decoder_map(c, sparse_layer)


FAMILY = Family(
    name="qwen3_moe",
    model_types=("qwen3_moe",),
    classes=("Qwen3MoeModel", "Qwen3MoeForCausalLM"),
    config=config,
    dialects={"huggingface": huggingface},
    spellings={"Qwen3MoeForQuestionAnswering": ("model.", "transformer.")},
    tokenizer="qwen2",
)
