"""Tiny checkpoints of blenderbot-small, each beyond the defaults of its configuration."""

from __future__ import annotations

from functools import partial

from tests.support.recipe import Recipe
from tests.support.recipes.bart import BART, BIAS, COPIES

_recipe = partial(Recipe, kind="encoder_decoder", optional=BIAS)
RECIPES = (
    _recipe("blenderbot_small", "BlenderbotSmallForConditionalGeneration", BART | {"scale_embedding": True},
            apart=BIAS),
    _recipe("blenderbot_small-copies", "BlenderbotSmallForConditionalGeneration", BART | {
        "activation_function": "relu",
    }, copies=COPIES, apart=BIAS),
    _recipe("blenderbot_small-base", "BlenderbotSmallModel", BART),
)  # fmt: skip
