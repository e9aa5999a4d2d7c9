"""Another form of a file of several dtypes: each tensor keeps its own, and the way back gives every bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from modelcenter import load
from modelcenter.exporting import export
from tests.support import checkpoints
from tests.support.checkpoints import copy_companions, folder, stored, write
from tests.support.recipe import Recipe
from tests.support.tensors import same

RECIPES = [checkpoints.FAMILIES[name][0] for name in ("llama", "gpt2", "t5")] + [checkpoints.BERT[2]]


def mixed(recipe: Recipe, place: Path) -> dict[str, torch.Tensor]:
    """The recipe's checkpoint in bfloat16, all vectors in fp32, as mixed files have them; its tensors."""
    copy_companions(folder(recipe), place)
    tensors = {n: v if v.ndim < 2 else v.bfloat16() for n, v in stored(folder(recipe)).items()}
    write(place, tensors)
    values = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps(values | {"dtype": "bfloat16"}))
    return tensors


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_our_own_form_and_back_gives_every_dtype_and_bit(recipe: Recipe, tmp_path: Path):
    tensors = mixed(recipe, tmp_path / "source")
    report = export(tmp_path / "source", tmp_path / "native", "native")
    assert set(report.dtype.split(", ")) == {"bfloat16", "float32"}
    assert {v.dtype for v in stored(tmp_path / "native").values()} == {torch.bfloat16, torch.float32}
    export(tmp_path / "native", tmp_path / "back", "huggingface")
    back = stored(tmp_path / "back")
    assert back.keys() == tensors.keys()
    assert [name for name, value in tensors.items() if not same(back[name], value)] == []
    assert load(tmp_path / "native").dtype == load(tmp_path / "back").dtype == torch.bfloat16


def test_openbmbs_form_has_the_one_dtype_that_holds_them_all(tmp_path: Path):
    tensors = mixed(checkpoints.FAMILIES["opt"][0], tmp_path / "source")
    report = export(tmp_path / "source", tmp_path / "original", "modelcenter")
    assert report.dtype == "float32"
    export(tmp_path / "original", tmp_path / "back", "huggingface")
    back = stored(tmp_path / "back")
    assert all(torch.equal(back[name], value.float()) for name, value in tensors.items())
