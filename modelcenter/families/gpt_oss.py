"""GPT-OSS, unquantised. Source: arXiv:2508.10925; transformers modeling_gpt_oss.py.

Sinks in the softmax of attention, every second layer in a window, biases throughout. Experts are stored
stacked, (in, out), the columns of gate and up by turns; both are clamped. The files that OpenAI released have
MXFP4 codes for them and are refused as quantised.
"""

from __future__ import annotations

from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import (
    attention,
    decoder,
    decoder_map,
    layer_types,
    llama_attention,
    rms_norm,
    window,
    windowed,
)
from modelcenter.families.family import Family, Header
from modelcenter.models.config import Block, ClampedGate, Decoder, Experts, Rotary, Router
from modelcenter.weights.rules import RulesLike, WeightMap


def config(hf: Configuration, header: Header) -> Decoder:
    block = Block(
        attention=attention(
            hf,
            lambda head_dim: rotary(hf, head_dim),
            head_dim=64,
            num_kv_heads=hf.integer("num_key_value_heads", default=8),
            bias="all" if hf.flag("attention_bias", default=True) else "none",
            sinks=True,
        ),
        feedforward=Experts(
            num_experts=hf.layers("num_local_experts", "num_experts", default=128),
            num_experts_per_token=hf.integer("num_experts_per_tok", "experts_per_token", default=4),
            intermediate_size=hf.integer("intermediate_size", default=2880),
            activation="silu",  # unread: the gate below takes its place, whatever `hidden_act` says
            layout="interleaved",
            transposed=True,
            bias=True,
            clamped_gate=ClampedGate(
                alpha=hf.positive("swiglu_alpha", default=1.702),
                limit=hf.positive("swiglu_limit", default=7.0),
            ),
            router=Router(bias=True),
        ),
        norm=rms_norm(hf, eps=1e-5, precise="fp16"),
    )
    blocks = windowed(block, layer_types(hf, lambda i: i % 2 == 0), window(hf, 128))
    return decoder(hf, header, blocks, block.norm, max_position_embeddings=131072)


def rotary(hf: Configuration, head_dim: int) -> Rotary:
    """The rotation; where files say nothing of its stretching, that of the released models."""
    if "rope_parameters" in hf or "rope_scaling" in hf:
        return hf.rotary(head_dim, theta=150000.0)
    released = {
        "rope_type": "yarn",
        "factor": 32.0,
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        "truncate": False,
        "original_max_position_embeddings": 4096,
    }
    return Configuration({**hf.values, "rope_parameters": released}).rotary(head_dim, theta=150000.0)


def layer(block: Block) -> RulesLike:
    return {
        "attention_norm.*": "input_layernorm.*",
        **llama_attention(block),
        "attention.sinks": "self_attn.sinks",
        "feedforward_norm.*": "post_attention_layernorm.*",
        "feedforward.router.*": "mlp.router.*",
        "feedforward.gate_up": "mlp.experts.gate_up_proj",
        "feedforward.gate_up_bias": "mlp.experts.gate_up_proj_bias",
        "feedforward.down": "mlp.experts.down_proj",
        "feedforward.down_bias": "mlp.experts.down_proj_bias",
    }


def huggingface(c: Decoder) -> WeightMap:
    return decoder_map(c, layer)


FAMILY = Family(
    name="gpt_oss",
    model_types=("gpt_oss",),
    classes=("GptOssModel", "GptOssForCausalLM"),
    config=config,
    dialects={"huggingface": huggingface},
)
