"""Tiny checkpoints of umt5, each beyond the defaults of its configuration."""

from __future__ import annotations

from functools import partial

from tests.support.recipe import Recipe, Values
from tests.support.recipes.mt5 import released_mt5

_UMT5: Values = {
    "vocab_size": 101, "d_model": 32, "d_kv": 6, "d_ff": 44, "num_heads": 4, "num_layers": 2,
    "num_decoder_layers": 3, "relative_attention_num_buckets": 8, "relative_attention_max_distance": 20,
}  # fmt: skip
_recipe = partial(Recipe, kind="encoder_decoder")
RECIPES = (
    _recipe("umt5", "UMT5ForConditionalGeneration", _UMT5, respell=released_mt5, apart=("lm_head.weight",),
           copies={"lm_head.weight": "shared.weight"}),
    _recipe("umt5-tied", "UMT5ForConditionalGeneration", _UMT5 | {"feed_forward_proj": "relu"}),
    _recipe("umt5-ungated", "UMT5ForConditionalGeneration", _UMT5 | {
        "dense_act_fn": "mish", "is_gated_act": False,
    }, only_numbers=True),
    Recipe("umt5-encoder", "UMT5EncoderModel", _UMT5, kind="encoder"),
)  # fmt: skip
