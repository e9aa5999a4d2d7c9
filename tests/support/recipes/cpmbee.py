"""Tiny checkpoints of CPM-Bee."""

from __future__ import annotations

from functools import partial

from tests.support.recipe import Recipe, Values

_BEE: Values = {
    "vocab_size": 101, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "dim_head": 6,
    "dim_ff": 44, "position_bias_num_buckets": 16, "position_bias_num_segment_buckets": 12,
    "position_bias_max_distance": 24, "eps": 1e-3, "pad_token_id": 0, "distance_scale": 16,
    "mask_modules": [[False, False], [False, False]],
}  # fmt: skip
_recipe = partial(Recipe, model="CpmBeeForCausalLM", oracle="cpmbee")
RECIPES = (
    _recipe("cpmbee", settings=_BEE),
    _recipe(
        "cpmbee-halves",
        settings=_BEE
        | {
            "num_hidden_layers": 3,
            "mask_modules": [[True, False], [False, True], [False, False]],
        },
    ),
    _recipe("cpmbee-copies", settings=_BEE, copies={"lm_head.weight": "cpmbee.input_embedding.weight"}),
)
