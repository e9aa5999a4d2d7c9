"""Tiny checkpoints of granitemoe, each beyond the defaults of its configuration."""

from __future__ import annotations

from tests.support.recipe import Recipe, Values, old_rope

_GRANITE: Values = {
    "vocab_size": 101, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 20, "num_local_experts": 5, "num_experts_per_tok": 3,
    "max_position_embeddings": 64, "rms_norm_eps": 1e-3, "pad_token_id": 0,
    "rope_parameters": {"rope_type": "default", "rope_theta": 50.0}, "embedding_multiplier": 12.0,
    "attention_multiplier": 0.2, "residual_multiplier": 0.22, "logits_scaling": 8.0,
}  # fmt: skip
RECIPES = (
    Recipe("granitemoe", "GraniteMoeForCausalLM", _GRANITE | {"attention_bias": True}),
    Recipe("granitemoe-tied", "GraniteMoeForCausalLM", _GRANITE | {
        "tie_word_embeddings": True, "num_local_experts": 3, "intermediate_size": 48,
    }, respell=old_rope),
    Recipe("granitemoe-base", "GraniteMoeModel", _GRANITE),
    Recipe("granitemoe-shared", "GraniteMoeSharedForCausalLM", _GRANITE | {"shared_intermediate_size": 28}),
    Recipe("granitemoe-shared-none", "GraniteMoeSharedForCausalLM", _GRANITE, only_numbers=True),
)  # fmt: skip
