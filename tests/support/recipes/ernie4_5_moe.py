"""Tiny checkpoints of ernie4_5_moe, each beyond the defaults of its configuration."""

from __future__ import annotations

from tests.support.recipe import Recipe, Values, old_rope

_ERNIE: Values = {
    "vocab_size": 101, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 48, "moe_intermediate_size": 20, "moe_num_experts": 5,
    "moe_k": 3, "moe_num_shared_experts": 2, "max_position_embeddings": 64, "rms_norm_eps": 1e-3,
    "pad_token_id": 0, "rope_parameters": {"rope_type": "default", "rope_theta": 50.0},
}  # fmt: skip


def released_ernie(values: Values) -> Values:
    """As Baidu's files, which keep settings of their own code."""
    return old_rope(values) | {"compression_ratio": 1.0, "moe_gate": "topk", "moe_use_aux_free": True}


def _bias(layer: int) -> tuple[str, ...]:
    """A buffer, which is zero where it is made."""
    return (f"model.layers.{layer}.mlp.moe_statics.e_score_correction_bias",)


RECIPES = (
    Recipe("ernie4_5_moe", "Ernie4_5_MoeForCausalLM", _ERNIE | {
        "use_bias": True, "tie_word_embeddings": False, "num_hidden_layers": 4, "moe_layer_end_index": 2,
        "moe_layer_interval": 2, "head_dim": 12,
    }, apart=_bias(1)),
    Recipe("ernie4_5_moe-released", "Ernie4_5_MoeForCausalLM", _ERNIE, respell=released_ernie,
           apart=_bias(1)),
    Recipe("ernie4_5_moe-least", "Ernie4_5_MoeForCausalLM", _ERNIE | {"moe_norm_min": 0.9}, apart=_bias(1),
           only_numbers=True),
    Recipe("ernie4_5_moe-base", "Ernie4_5_MoeModel", _ERNIE | {"moe_num_shared_experts": 0}),
)  # fmt: skip
