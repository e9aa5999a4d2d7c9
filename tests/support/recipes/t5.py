"""Tiny checkpoints of t5, each beyond the defaults of its configuration."""

from __future__ import annotations

from functools import partial

from tests.support.recipe import Recipe, Values, without


def released_t5(values: Values) -> Values:
    """As google/t5-v1_1-* say it: untied, and by that unscaled; no word on the activation's parts."""
    values["tie_word_embeddings"] = False
    return without("scale_decoder_outputs", "dense_act_fn", "is_gated_act", "num_decoder_layers")(values)


_T5: Values = {
    "vocab_size": 101, "d_model": 32, "d_kv": 6, "d_ff": 44, "num_heads": 4, "num_layers": 2,
    "num_decoder_layers": 3, "relative_attention_num_buckets": 8, "relative_attention_max_distance": 20,
}  # fmt: skip
_T5_COPIES = {
    "encoder.embed_tokens.weight": "shared.weight",
    "decoder.embed_tokens.weight": "shared.weight",
    "lm_head.weight": "shared.weight",
}
_GATED = _T5 | {"feed_forward_proj": "gated-gelu"}
_recipe = partial(Recipe, kind="encoder_decoder")
RECIPES = (
    _recipe("t5", "T5ForConditionalGeneration", _T5),
    _recipe("t5-copies", "T5ForConditionalGeneration", _T5 | {"layer_norm_epsilon": 1e-3}, copies=_T5_COPIES),
    _recipe("t5-unscaled", "T5ForConditionalGeneration", _GATED | {"scale_decoder_outputs": False}),
    _recipe("t5-v1.1", "T5ForConditionalGeneration", _GATED | {"num_decoder_layers": 2}, respell=released_t5,
           apart=("lm_head.weight",), copies=_T5_COPIES),
    _recipe("t5-v1.1-rewritten", "T5ForConditionalGeneration", _GATED | {"scale_decoder_outputs": False},
           apart=("lm_head.weight",), copies={"lm_head.weight": "shared.weight"}),
    _recipe("t5-gated-silu", "T5ForConditionalGeneration", _T5 | {
        "feed_forward_proj": "gated-silu", "num_decoder_layers": 1, "relative_attention_num_buckets": 32,
    }),
    _recipe("t5-old-config", "T5ForConditionalGeneration", _T5 | {"num_decoder_layers": 2}, respell=without(
        "feed_forward_proj", "dense_act_fn", "is_gated_act", "scale_decoder_outputs", "num_decoder_layers",
        "relative_attention_max_distance", "tie_word_embeddings",
    ), only_numbers=True),
    # The parts of the activation, which transformers writes beside it, count more than it.
    _recipe("t5-apart", "T5ForConditionalGeneration", _T5 | {"dense_act_fn": "silu"}, only_numbers=True),
    _recipe("t5-ungated", "T5ForConditionalGeneration", _GATED | {"is_gated_act": False}, only_numbers=True),
    _recipe("t5-base", "T5Model", _T5),
    Recipe("t5-encoder", "T5EncoderModel", _T5, kind="encoder",
           copies={"encoder.embed_tokens.weight": "shared.weight"}),
)  # fmt: skip
