"""Tiny checkpoints of bart, each beyond the defaults of its configuration."""

from __future__ import annotations

from functools import partial

from tests.support.recipe import Recipe, Values, without

BART: Values = {
    "vocab_size": 101, "d_model": 32, "encoder_layers": 2, "decoder_layers": 3, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 44, "decoder_ffn_dim": 40, "max_position_embeddings": 48,
    "pad_token_id": 0, "decoder_start_token_id": 0,
}  # fmt: skip
COPIES = {
    "model.encoder.embed_tokens.weight": "model.shared.weight",
    "model.decoder.embed_tokens.weight": "model.shared.weight",
    "lm_head.weight": "model.shared.weight",
}
BIAS = ("final_logits_bias",)  # zeros unless it gets values of its own
_recipe = partial(Recipe, kind="encoder_decoder", optional=BIAS)
RECIPES = (
    _recipe("bart", "BartForConditionalGeneration", BART, apart=BIAS),
    _recipe("bart-scaled", "BartForConditionalGeneration", BART | {
        "scale_embedding": True, "activation_function": "relu",
    }, copies=COPIES, lacks=BIAS),
    # Of its four tables one is read by nothing.
    _recipe("bart-untied", "BartForConditionalGeneration", BART | {"tie_word_embeddings": False},
            apart=BIAS, lacks=("model.shared.weight",)),
    _recipe("bart-base", "BartModel", BART | {"decoder_layers": 1}),
    # Its first token is the end token at which the class is told; no other is one.
    _recipe(
        "bart-sequence", "BartForSequenceClassification", BART | {"num_labels": 5}, first_id=2, least_id=3,
    ),
    _recipe("bart-question", "BartForQuestionAnswering", BART | {"num_labels": 2}),
    _recipe("bart-old-config", "BartForConditionalGeneration", BART, apart=BIAS, respell=without(
        "activation_function", "scale_embedding", "tie_word_embeddings", "dtype",
    ), only_numbers=True),
)  # fmt: skip
