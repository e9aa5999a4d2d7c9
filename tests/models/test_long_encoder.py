"""Longformer: which tokens are global where a forward is not told, and windows beside the whole text."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from modelcenter import load
from modelcenter.errors import Invalid
from tests.support.checkpoints import FAMILIES, folder, inputs, original
from tests.support.recipe import Recipe


def named(name: str) -> Recipe:
    return next(recipe for recipe in FAMILIES["longformer"] if recipe.name == name)


def untold(recipe: Recipe) -> dict[str, torch.Tensor]:
    """The usual inputs, with three separators a row and no word on global tokens."""
    asked = inputs(recipe, length=23)
    ids = asked["input_ids"]
    ids[ids == recipe.settings["sep_token_id"]] = 7
    for row, places in enumerate(((4, 5, 22), (9, 10, 20), (1, 2, 3))):
        ids[row, list(places)] = recipe.settings["sep_token_id"]
    del asked["global_attention_mask"]
    return asked


@pytest.mark.parametrize("name", ["longformer-classification", "longformer-answers", "longformer-masked"])
def test_the_task_says_which_tokens_are_global(name: str):
    recipe = named(name)
    asked, model = untold(recipe), load(folder(recipe))
    with torch.no_grad():
        ours, theirs = model(**asked), original(recipe)(**asked)
        none = model(**asked, global_attention_mask=torch.zeros_like(asked["input_ids"]))
    fields = ("start_logits", "end_logits") if name == "longformer-answers" else ("logits",)
    for field in fields:
        found, expected = getattr(ours, field), theirs[field]
        assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert torch.equal(none.last_hidden_state, ours.last_hidden_state) == (name == "longformer-masked")


def test_what_follows_the_question_is_global_where_one_of_several_is_chosen():
    recipe = replace(
        named("longformer-answers"), name="longformer-choice", model="LongformerForMultipleChoice"
    )
    asked = untold(recipe)
    with torch.no_grad():
        found = load(folder(recipe))(**asked).logits
        expected = original(recipe)(**{name: ids[:, None] for name, ids in asked.items()}).logits
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_a_question_without_separators_is_told():
    asked = untold(named("longformer-answers"))
    asked["input_ids"][1, 10] = 7
    with pytest.raises(Invalid, match="global_attention_mask"):
        load(folder(named("longformer-answers")))(**asked)


def test_a_mask_of_what_each_query_sees_is_refused():
    recipe = named("longformer-masked")
    asked = inputs(recipe) | {"attention_mask": torch.ones(3, 11, 11)}
    with pytest.raises(Invalid, match="attention_mask is \\(3, 11, 11\\)"):
        load(folder(recipe))(**asked)


@pytest.mark.parametrize("length", [1, 3, 4, 5, 8, 9, 16, 31, 50])
def test_chunks_of_any_number_agree(length: int):
    recipe = named("longformer-masked")
    asked = inputs(recipe, length=length, seed=length)
    with torch.no_grad():
        found, expected = load(folder(recipe))(**asked).logits, original(recipe)(**asked).logits
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
