"""What a plan tells is what loading does: the bytes it names are needed, and no others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from modelcenter import load
from modelcenter.checkpoint.files import LocalFiles
from modelcenter.errors import CannotShard, Invalid, Mismatch
from modelcenter.planning import plan, size_bytes
from tests.support import checkpoints
from tests.support.checkpoints import folder
from tests.support.recipe import Recipe


def named(family: str, name: str) -> Recipe:
    return next(recipe for recipe in checkpoints.FAMILIES[family] if recipe.name == name)


RECIPES = [
    named("llama", "llama-gqa"),
    named("t5", "t5-v1.1"),
    named("mixtral", "mixtral-window"),
    named("gpt2", "gpt2"),
    named("bert", "bert-pretraining"),
    named("deepseek_v3", "deepseek_v3"),
    named("bloom", "bloom"),
]


def poisoned(recipe: Recipe, place: Path, rank: int, world: int, fuse: bool) -> Path:
    """The checkpoint with every byte of its weights spoiled that the plan does not name."""
    shutil.copytree(folder(recipe), place)
    found = plan(LocalFiles(place), rank=rank, world=world, fuse=fuse)
    [file] = found.header.files
    content = (place / file).read_bytes()
    start = min(info.start for info in found.header.tensors.values())
    spoiled = bytearray(content[:start] + b"\xff" * (len(content) - start))
    needed = 0
    for read in found.reads:
        for first, stop in read.runs():
            spoiled[first:stop] = content[first:stop]
            needed += stop - first
    for name in {*found.audit.copies, *found.audit.copies.values(), *found.audit.derived}:
        info = found.header.tensors[name]  # compared, whatever is loaded
        spoiled[info.start : info.stop] = content[info.start : info.stop]
    assert needed == found.bytes_read <= found.bytes_touched
    (place / file).write_bytes(spoiled)
    return place


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_loading_needs_the_bytes_that_the_plan_names_alone(recipe, fuse, tmp_path):
    whole = load(folder(recipe), fuse=fuse)
    model = load(poisoned(recipe, tmp_path / "model", 0, 1, fuse), fuse=fuse)
    for name, parameter in whole.named_parameters():
        assert torch.equal(parameter, model.get_parameter(name)), name


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_the_ranks_read_each_byte_of_a_split_parameter_once(recipe):
    files = LocalFiles(folder(recipe))
    whole, halves = plan(files), [plan(files, rank=rank, world=2) for rank in range(2)]
    split = {name for name, parameter in whole.config.tree().items() if parameter.shard_dim is not None}
    assert split
    for step in halves[0].steps:
        other = next(s for s in halves[1].steps if s.assignment.parameter == step.assignment.parameter)
        own, theirs = ({run for read in s.reads for run in read.runs()} for s in (step, other))
        assert bool(own & theirs) == (step.assignment.parameter not in split)
    sizes = [sum(map(size_bytes, found.steps)) for found in (*halves, whole)]
    assert sizes[0] + sizes[1] >= sizes[2] > max(sizes[0], sizes[1])
    assert max(half.bytes_read for half in halves) < whole.bytes_read


def test_what_is_mapped_and_what_is_copied_is_what_load_does(monkeypatch):
    recipe = RECIPES[0]
    for dtype, fuse, mapped in (
        (None, False, True),
        (None, True, True),
        ("fp16", False, True),
        (None, False, False),
    ):
        found = plan(LocalFiles(folder(recipe)), dtype=dtype, fuse=fuse, mapped=mapped)
        model = load(folder(recipe), dtype=dtype, fuse=fuse, mmap=mapped)
        ways = {step.assignment.parameter: step.way for step in found.steps}
        ours = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
        assert {step.assignment.parameter: step.assignment.shape for step in found.steps} == ours
        assert found.bytes_mapped + found.bytes_copied == sum(p.nbytes for p in model.parameters())
        assert found.dtype == model.report.dtype
        assert found.bytes_read == model.report.bytes_read
        if mapped and not fuse and dtype is None:
            assert set(ways.values()) == {"mapped"}
            assert found.bytes_copied == 0
        if not mapped or dtype == "fp16":
            assert set(ways.values()) == {"copied"}
        if fuse:
            assert {"mapped", "copied"} == set(ways.values())


def test_a_plan_is_refused_as_loading_is(tmp_path):
    files = LocalFiles(folder(RECIPES[0]))
    with pytest.raises(Invalid, match="Rank 2 is none of 2"):
        plan(files, rank=2, world=2)
    with pytest.raises(Invalid, match="no floating dtype"):
        plan(files, dtype="int8")
    with pytest.raises(CannotShard):
        plan(files, world=3)
    shutil.copytree(folder(RECIPES[0]), tmp_path / "broken")
    config = tmp_path / "broken" / "config.json"
    config.write_text(config.read_text().replace('"num_hidden_layers": 2', '"num_hidden_layers": 3'))
    with pytest.raises(Mismatch, match="missing"):
        plan(LocalFiles(tmp_path / "broken"))


def test_json_names_every_parameter_with_its_bytes():
    found = plan(LocalFiles(folder(RECIPES[0])), dtype="fp16", rank=1, world=2).to_json()
    assert (found["rank"], found["world"], found["dtype"]) == (1, 2, "float16")
    assert found["bytesCopied"] * 2 == sum(
        read["size"] * read["count"] for p in found["parameters"] for read in p["reads"]
    )
