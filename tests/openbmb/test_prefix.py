"""Decoders whose context is seen whole, token by token: a cache changes no answer, generation runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from modelcenter import load
from tests.support.originals import ORIGINALS, folder, inputs

WRITERS = tuple(
    recipe
    for recipe in ORIGINALS
    if recipe.architecture in ("cpm1", "cpm3", "glm") and not recipe.name.endswith("classes")
)


@pytest.mark.parametrize("recipe", WRITERS, ids=lambda r: r.name)
def test_a_cache_changes_no_answer(recipe, tmp_path: Path):
    """What is told of each token, positions and segments, is told of new ones alone."""
    model = load(folder(recipe, tmp_path)[0])
    asked = inputs(recipe)
    if recipe.architecture == "glm":
        asked = {"input_ids": asked["input_ids"][1:2]}  # of one span: its positions do not change afterwards
    if "context" in asked:
        asked["context"] = asked["context"] & (torch.arange(12) < 9)  # what is written comes one by one
    asked.pop("attention_mask", None)
    with torch.no_grad():
        whole = model(**asked).logits
        cache = model.new_cache(12)
        parts = []
        for start, stop in ((0, 9), (9, 10), (10, 12)):
            step = {name: value[:, start:stop] for name, value in asked.items()}
            parts.append(model(**step, cache=cache).logits)
    assert (torch.cat(parts, dim=1) - whole).abs().max() <= 1e-5 * whole.abs().max()


@pytest.mark.parametrize("recipe", WRITERS, ids=lambda r: r.name)
def test_padding_on_the_left_changes_no_text(recipe, tmp_path: Path):
    model = load(folder(recipe, tmp_path)[0])
    ids = inputs(recipe)["input_ids"][1:2]
    if recipe.architecture == "cpm3":
        return  # its first tokens are prompts
    alone = model.generate(ids, max_new_tokens=4, eos_token_id=None)
    padding = ids.new_zeros(1, 2)
    mask = torch.cat((padding, torch.ones_like(ids)), dim=1)
    padded = model.generate(
        torch.cat((padding, ids), dim=1), attention_mask=mask, max_new_tokens=4, eos_token_id=None
    )
    assert torch.equal(padded[:, 2:], alone)


def test_the_originals_names_are_taken(tmp_path: Path):
    """`length` for a mask, `segment` for segments, and what the originals do not read."""
    recipe = next(r for r in ORIGINALS if r.name == "cpm3")
    model = load(folder(recipe, tmp_path)[0])
    asked = inputs(recipe)
    length = asked["attention_mask"].sum(dim=1)
    named = {
        "input": asked["input_ids"],
        "length": length,
        "context": asked["context"],
        "span": asked["span"],
        "segment": asked["token_type_ids"],
        "position": asked["position_ids"],
        "output_logits": True,
    }
    with torch.no_grad():
        assert torch.equal(model(**named).logits, model(**asked).logits)


def test_lengths_of_both_sides_are_taken(tmp_path: Path):
    recipe = next(r for r in ORIGINALS if r.name == "cpm2")
    model = load(folder(recipe, tmp_path)[0])
    asked = inputs(recipe)
    mask = torch.arange(7) < torch.tensor([7, 7, 3])[:, None]
    with torch.no_grad():
        expected = model(**asked | {"decoder_attention_mask": mask})
        found = model(
            input_ids=asked["input_ids"],
            length=asked["attention_mask"].sum(dim=1),
            decoder_input_ids=asked["decoder_input_ids"],
            decoder_length=torch.tensor([7, 7, 3]),
        )
    assert torch.equal(found.logits, expected.logits)
