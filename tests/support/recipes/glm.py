"""Tiny checkpoints of glm, each beyond the defaults of its configuration."""

from __future__ import annotations

from tests.support.recipe import Recipe, Values, old_rope

_GLM: Values = {
    "vocab_size": 101, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 12, "intermediate_size": 44, "max_position_embeddings": 64,
    "rms_norm_eps": 1e-3, "pad_token_id": 0, "eos_token_id": 1,
    "rope_parameters": {"rope_type": "default", "rope_theta": 50.0, "partial_rotary_factor": 0.5},
}  # fmt: skip


def old_glm(values: Values) -> Values:
    """The rotated share at the top level."""
    share = values["rope_parameters"].pop("partial_rotary_factor")
    return old_rope(values) | {"partial_rotary_factor": share}


RECIPES = (
    Recipe("glm", "GlmForCausalLM", _GLM),
    Recipe("glm-tied", "GlmForCausalLM", _GLM | {
        "attention_bias": False, "tie_word_embeddings": True, "head_dim": 10,
        "rope_parameters": _GLM["rope_parameters"] | {"partial_rotary_factor": 1.0},
    }, respell=old_glm),
    Recipe("glm-base", "GlmModel", _GLM),
    # An odd number of elements is rotated: one more than that turns.
    *(
        Recipe(f"{kind}-odd-{head_dim}", name, _GLM | {"head_dim": head_dim}, only_numbers=True)
        for head_dim in (6, 10, 18)
        for kind, name in (("glm", "GlmForCausalLM"), ("glm4", "Glm4ForCausalLM"))
    ),
    Recipe("glm4", "Glm4ForCausalLM", _GLM | {"attention_bias": False}),
    Recipe("glm4-old", "Glm4ForCausalLM", _GLM | {"tie_word_embeddings": True}, respell=old_glm),
    Recipe("glm4-base", "Glm4Model", _GLM),
)  # fmt: skip
