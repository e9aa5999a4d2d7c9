"""Tiny checkpoints of cohere, each beyond the defaults of its configuration."""

from __future__ import annotations

from tests.support.recipe import Recipe, Values, old_rope, without

_COHERE: Values = {
    "vocab_size": 101, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 48, "max_position_embeddings": 64, "layer_norm_eps": 1e-3,
    "rope_parameters": {"rope_type": "default", "rope_theta": 50.0}, "pad_token_id": 0, "logit_scale": 0.3,
    "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
_COHERE2 = _COHERE | {"num_hidden_layers": 4, "sliding_window": 4}


def released_cohere(values: Values) -> Values:
    """As Cohere's files: what is the default unsaid, and a pattern of layers."""
    values = without("tie_word_embeddings", "use_qk_norm", "layer_types")(old_rope(values))
    return values | ({"sliding_window_pattern": 4} if "sliding_window" in values else {})


RECIPES = (
    Recipe("cohere", "CohereForCausalLM", _COHERE | {"use_qk_norm": True, "attention_bias": True}),
    Recipe("cohere-released", "CohereForCausalLM", _COHERE | {"num_key_value_heads": 4},
           respell=released_cohere),
    Recipe("cohere-base", "CohereModel", _COHERE | {"use_qk_norm": True}),
    Recipe("cohere2", "Cohere2ForCausalLM", _COHERE2 | {"attention_bias": True}),
    Recipe("cohere2-released", "Cohere2ForCausalLM", _COHERE2, respell=released_cohere),
    Recipe("cohere-head-dim", "CohereForCausalLM", _COHERE | {"head_dim": 6}),
    Recipe("cohere2-head-dim", "Cohere2ForCausalLM", _COHERE2 | {"head_dim": 10}),
    Recipe("cohere2-base", "Cohere2Model", _COHERE2),
)  # fmt: skip
