"""Tiny checkpoints of mt5, each beyond the defaults of its configuration."""

from __future__ import annotations

from functools import partial

from tests.support.recipe import Recipe, Values, without

_MT5: Values = {
    "vocab_size": 101, "d_model": 32, "d_kv": 6, "d_ff": 44, "num_heads": 4, "num_layers": 2,
    "num_decoder_layers": 3, "relative_attention_num_buckets": 8, "relative_attention_max_distance": 20,
}  # fmt: skip
_COPIES = {"encoder.embed_tokens.weight": "shared.weight", "decoder.embed_tokens.weight": "shared.weight"}


def released_mt5(values: Values) -> Values:
    """As google/mt5-* say it: untied, whatever today's configuration makes of that."""
    values["tie_word_embeddings"] = False
    return without("dense_act_fn", "is_gated_act", "bos_token_id")(values)


_recipe = partial(Recipe, kind="encoder_decoder")
RECIPES = (
    _recipe("mt5", "MT5ForConditionalGeneration", _MT5, respell=released_mt5, apart=("lm_head.weight",),
           copies={"lm_head.weight": "shared.weight"}),
    _recipe("mt5-tied", "MT5ForConditionalGeneration", _MT5 | {"feed_forward_proj": "relu"}, copies=_COPIES),
    _recipe("mt5-gelu", "MT5ForConditionalGeneration", _MT5 | {"dense_act_fn": "gelu"}, only_numbers=True),
    _recipe("mt5-base", "MT5Model", _MT5, respell=without("feed_forward_proj")),
    Recipe("mt5-encoder", "MT5EncoderModel", _MT5, kind="encoder"),
)  # fmt: skip
