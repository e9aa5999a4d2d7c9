"""Tiny checkpoints of distilbert, each beyond the defaults of its configuration."""

from __future__ import annotations

from functools import partial

from tests.support.recipe import Recipe, Values

_DISTILBERT: Values = {
    "vocab_size": 101, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 44,
    "max_position_embeddings": 40, "pad_token_id": 0,
}  # fmt: skip
_recipe = partial(Recipe, kind="encoder")
RECIPES = (
    _recipe("distilbert-masked", "DistilBertForMaskedLM", _DISTILBERT | {"activation": "relu"}),
    _recipe(
        "distilbert-copies", "DistilBertForMaskedLM", _DISTILBERT | {"sinusoidal_pos_embds": True},
        copies={"vocab_projector.weight": "distilbert.embeddings.word_embeddings.weight"},
    ),
    # A table that was trained is read, whatever it began as.
    _recipe("distilbert-sines", "DistilBertModel", _DISTILBERT, only_numbers=True, respell=lambda values: (
        values | {"sinusoidal_pos_embds": True}
    )),
    _recipe("distilbert-untied", "DistilBertForMaskedLM", _DISTILBERT | {"tie_word_embeddings": False}),
    _recipe("distilbert-model", "DistilBertModel", _DISTILBERT),
    _recipe("distilbert-sequence", "DistilBertForSequenceClassification", _DISTILBERT | {"num_labels": 3}),
    _recipe("distilbert-tokens", "DistilBertForTokenClassification", _DISTILBERT),
    _recipe("distilbert-question", "DistilBertForQuestionAnswering", _DISTILBERT),
    _recipe("distilbert-choice", "DistilBertForMultipleChoice", _DISTILBERT),
)  # fmt: skip
