"""Parameters that stay in single precision in a model of half, as the original implementation keeps them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers

from modelcenter import load, save, verify
from tests.support import checkpoints
from tests.support.checkpoints import copy_companions, folder, inputs, stored, write
from tests.support.recipe import Recipe
from tests.support.tensors import same

FIRST = {name: checkpoints.FAMILIES[name][0] for name in ("t5", "mt5", "umt5", "gpt_oss", "ernie4_5_moe")}
SOURCES = [pytest.param(recipe, id=name) for name, recipe in FIRST.items()]
T5S = [pytest.param(FIRST[name], id=name) for name in ("t5", "mt5", "umt5")]


def theirs(place: Path, recipe: Recipe, dtype: torch.dtype) -> transformers.PreTrainedModel:
    """transformers' model in that dtype."""
    kind = getattr(transformers, recipe.model)
    return kind.from_pretrained(
        place, dtype=dtype, attn_implementation="eager", experts_implementation="eager"
    ).eval()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("recipe", SOURCES)
def test_the_same_parameters_stay_in_single_precision_as_in_transformers(recipe: Recipe, dtype: torch.dtype):
    model = load(folder(recipe), dtype=dtype, fuse=False)
    ours = sum(p.numel() for p in model.parameters() if p.dtype == torch.float32)
    original = theirs(folder(recipe), recipe, dtype)
    assert ours == sum(p.numel() for p in original.parameters() if p.dtype == torch.float32)


@pytest.mark.parametrize("recipe", T5S)
def test_products_beyond_the_range_of_fp16_are_those_of_transformers(recipe: Recipe, tmp_path: Path):
    """As in the released weights of large models: what the last product of a layer gives exceeds 65504."""
    copy_companions(folder(recipe), tmp_path)
    tensors = stored(folder(recipe))
    write(tmp_path, {n: v * 3e4 if n.endswith(".wo.weight") else v for n, v in tensors.items()})
    asked = inputs(recipe)
    with torch.no_grad():
        found = load(tmp_path, dtype="fp16")(**asked).logits
        expected = theirs(tmp_path, recipe, torch.float16)(**asked).logits
        exact = load(tmp_path)(**asked).logits
    assert found.dtype == torch.float16 and found.isfinite().all()
    error, their_error = (found.float() - exact).abs().max(), (expected.float() - exact).abs().max()
    assert error <= their_error + 4 * torch.finfo(torch.float16).eps * exact.abs().max()


@pytest.mark.parametrize("recipe", SOURCES)
def test_a_file_in_half_precision_is_given_back_as_it_was(recipe: Recipe, tmp_path: Path):
    place = folder(recipe, dtype=torch.float16)
    model = load(place)
    assert torch.float32 in {p.dtype for p in model.parameters()}
    save(model, tmp_path)
    again, before = stored(tmp_path), stored(place)
    assert again.keys() == before.keys()
    assert all(same(again[name], value) for name, value in before.items())


@pytest.mark.parametrize("recipe", SOURCES)
def test_verify_counts_the_memory_that_loading_takes(recipe: Recipe):
    told = verify(folder(recipe)).to_json()["memory"]["fp16"]
    model = load(folder(recipe), dtype="fp16")
    assert told == sum(p.numel() * p.element_size() for p in model.parameters())
