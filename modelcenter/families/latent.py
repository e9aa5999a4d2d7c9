"""What families with latent attention share: its settings and its names."""

from __future__ import annotations

from math import log

from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import llama_feedforward
from modelcenter.families.experts import sparse_feedforward
from modelcenter.models.config import Block, FeedForward, LatentAttention, Norm, Rotary
from modelcenter.weights.rules import RulesLike


def latent_attention(
    hf: Configuration,
    *,
    theta: float,
    interleaved: bool,
    q_lora_rank: int = 1536,
    kv_lora_rank: int = 512,
    qk_nope_head_dim: int = 128,
    qk_rope_head_dim: int = 64,
    v_head_dim: int = 128,
) -> LatentAttention:
    """Latent attention as config.json says it; what follows `interleaved` are the family's defaults."""
    # Nothing depends on `num_key_value_heads`: every head has keys and values, all made of one vector.
    num_heads = hf.integer("num_attention_heads")
    given = q_lora_rank if "q_lora_rank" not in hf.values else None  # null says: none
    nope = hf.integer("qk_nope_head_dim", default=qk_nope_head_dim)
    rope = hf.integer("qk_rope_head_dim", default=qk_rope_head_dim)
    rotary = hf.rotary(rope, theta=theta, interleaved=interleaved)
    return LatentAttention(
        num_heads=num_heads,
        num_kv_heads=num_heads,
        head_dim=nope + rope,
        causal=True,
        bias="all" if hf.flag("attention_bias", default=False) else "none",
        scale=(nope + rope) ** -0.5 * _stretched(hf, rotary) ** 2,
        rotary=rotary,
        q_lora_rank=hf.integer("q_lora_rank", default=given),
        kv_lora_rank=hf.integer("kv_lora_rank", default=kv_lora_rank),
        qk_nope_head_dim=nope,
        qk_rope_head_dim=rope,
        v_head_dim=hf.integer("v_head_dim", default=v_head_dim),
        # Not that of the other norms: the original leaves the default of its class.
        latent_norm=Norm(kind="rms", eps=1e-6),
    )


def _stretched(hf: Configuration, rotary: Rotary) -> float:
    """By how much queries, and keys, grow beyond the rotary table's own factor in a stretched context.

    Source: arXiv:2309.00071 eq. 22; DeepSeek-V2's modeling_deepseek.py, `mscale_all_dim`.
    """
    told: dict[str, object] = {}
    for name in ("rope_scaling", "rope_parameters"):
        told |= hf.values.get(name) or {}
    by = Configuration(told).number("mscale_all_dim", default=0.0)
    factor = rotary.scaling.factor if rotary.scaling else 1.0
    return 0.1 * by * log(factor) + 1.0 if factor > 1 else 1.0


def latent_layer(block: Block) -> RulesLike:
    """The names that DeepSeek's files use in a layer, dense or sparse."""
    dense = isinstance(block.feedforward, FeedForward)
    return {
        "attention_norm.*": "input_layernorm.*",
        "attention.q.*": "self_attn.q_proj.*",
        "attention.q_a.*": "self_attn.q_a_proj.*",
        "attention.q_a_norm.*": "self_attn.q_a_layernorm.*",
        "attention.q_b.*": "self_attn.q_b_proj.*",
        "attention.kv_a.*": "self_attn.kv_a_proj_with_mqa.*",
        "attention.kv_a_norm.*": "self_attn.kv_a_layernorm.*",
        "attention.kv_b.*": "self_attn.kv_b_proj.*",
        "attention.out.*": "self_attn.o_proj.*",
        "feedforward_norm.*": "post_attention_layernorm.*",
        **(llama_feedforward(block) if dense else sparse_feedforward(block)),
    }
