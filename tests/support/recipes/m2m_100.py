"""Tiny checkpoints of m2m_100, each beyond the defaults of its configuration."""

from __future__ import annotations

from functools import partial

from tests.support.recipe import Recipe, Values
from tests.support.recipes.bart import BART, COPIES

_M2M: Values = BART | {"pad_token_id": 1}
_recipe = partial(Recipe, kind="encoder_decoder")
RECIPES = (
    _recipe("m2m_100", "M2M100ForConditionalGeneration", _M2M),
    _recipe("m2m_100-copies", "M2M100ForConditionalGeneration", _M2M | {
        "scale_embedding": False, "activation_function": "gelu",
    }, copies=COPIES),
    _recipe("m2m_100-untied", "M2M100ForConditionalGeneration", _M2M | {"tie_word_embeddings": False},
            lacks=("model.shared.weight",)),
    _recipe("m2m_100-base", "M2M100Model", _M2M),
)  # fmt: skip
