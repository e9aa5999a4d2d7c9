"""Tiny checkpoints of glm4_moe, each beyond the defaults of its configuration."""

from __future__ import annotations

from tests.support.recipe import Recipe, Values, old_rope

_GLM: Values = {
    "vocab_size": 101, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 12, "intermediate_size": 48, "moe_intermediate_size": 20,
    "n_routed_experts": 6, "num_experts_per_tok": 3, "n_shared_experts": 2, "routed_scaling_factor": 2.5,
    "use_qk_norm": True, "attention_bias": True, "max_position_embeddings": 64, "rms_norm_eps": 1e-3,
    "pad_token_id": 0,
    "rope_parameters": {"rope_type": "default", "rope_theta": 50.0, "partial_rotary_factor": 0.5},
}  # fmt: skip
_BIAS = "model.layers.1.mlp.gate.e_score_correction_bias"  # a buffer, which is zero where it is made


def released_glm(values: Values) -> Values:
    """As Zhipu's files: base and share at the top level."""
    values = old_rope(values | {"rope_parameters": dict(values["rope_parameters"])})
    return values | {"rope_scaling": None, "partial_rotary_factor": 0.5}


RECIPES = (
    Recipe("glm4_moe", "Glm4MoeForCausalLM", _GLM | {"n_group": 3, "topk_group": 2}, apart=(_BIAS,)),
    Recipe("glm4_moe-released", "Glm4MoeForCausalLM", _GLM | {"use_qk_norm": False, "attention_bias": False},
           respell=released_glm, apart=(_BIAS,)),
    Recipe("glm4_moe-tied", "Glm4MoeForCausalLM", _GLM | {
        "tie_word_embeddings": True, "first_k_dense_replace": 0, "norm_topk_prob": False,
    }),
    Recipe("glm4_moe-odd", "Glm4MoeForCausalLM", _GLM | {"head_dim": 10}, apart=(_BIAS,), only_numbers=True),
    Recipe("glm4_moe-base", "Glm4MoeModel", _GLM),
)  # fmt: skip
