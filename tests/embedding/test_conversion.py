"""Vectors of texts before a checkpoint is saved or converted and after: the same, whatever the form."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

from modelcenter import load, save, verify
from modelcenter.checkpoint.source import LocalFiles
from modelcenter.cli import cli
from modelcenter.errors import CheckpointDamaged, CheckpointUnsafe
from tests.embedding.test_embedding import RECIPES, SIZE, TEXTS, place
from tests.support.checkpoints import folder, stored, write

NAME = "bert-pooler"
Step = Callable[[Path, Path], None]

FIRST: dict[str, object] = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}


def converted(to: str) -> Step:
    """What `modelcenter convert --to` does, as people call it."""

    def step(source: Path, target: Path) -> None:
        result = CliRunner().invoke(cli, ["convert", str(source), str(target), "--to", to])
        assert result.exit_code == 0, result.output
        assert "1_Pooling/config.json" in result.output

    return step


def saved(source: Path, target: Path) -> None:
    save(load(source), target)


def pickled(source: Path, target: Path) -> None:
    """The same checkpoint with its weights, not those of its modules, in a pickle."""
    shutil.copytree(source, target)
    (target / "model.safetensors").unlink()
    shutil.copy(folder(RECIPES[NAME], "bin") / "pytorch_model.bin", target)


WAYS: dict[str, tuple[Step, ...]] = {
    "save": (saved,),
    "safetensors": (pickled, converted("safetensors")),
    "huggingface": (converted("huggingface"),),
    "native": (converted("native"),),
    "modelcenter": (converted("modelcenter"),),
    "modelcenter and back": (converted("modelcenter"), converted("huggingface")),
    "native, saved": (converted("native"), saved),
}


def sentences(tmp_path: Path, *modules: str, pooling: dict[str, object]) -> Path:
    """A BERT whose vectors are pooled so, with a Dense in a folder of its own where one is named."""
    dense = {"in_features": SIZE, "out_features": 7, "bias": True,
             "activation_function": "torch.nn.modules.activation.Tanh"}  # fmt: skip
    files = {"1_Pooling__config": pooling, "sentence_bert_config": {"max_seq_length": 6}}
    if "Dense" in modules:
        files["2_Dense__config"] = dense
    tmp_path.mkdir(exist_ok=True)
    where = place(tmp_path / "source", RECIPES[NAME], ["Pooling", *modules], **files)
    if "Dense" in modules:
        generator = torch.Generator().manual_seed(5)
        tensors = {"linear.weight": (7, SIZE), "linear.bias": (7,)}
        save_file(
            {name: torch.randn(shape, generator=generator) for name, shape in tensors.items()},
            where / "2_Dense" / "model.safetensors",
        )
    return where


@pytest.mark.parametrize("modules", [(), ("Dense", "Normalize")], ids=["cls", "cls-dense"])
@pytest.mark.parametrize("way", WAYS)
def test_vectors_are_the_same_in_every_form(way: str, modules: tuple[str, ...], tmp_path: Path):
    source = sentences(tmp_path, *modules, pooling=FIRST)
    (source / "LICENSE").write_text("Apache-2.0")
    (source / "1_Pooling" / ".hidden").write_text("")
    (source / "onnx").mkdir()
    (source / "onnx" / "config.json").write_text("{}")
    expected = load(source).encode(TEXTS)
    mean = load(place(tmp_path / "mean", RECIPES[NAME], [])).encode(TEXTS)
    assert expected.shape != mean.shape or (expected - mean).abs().max() > 0.1  # the mean would be told apart

    last = source
    for i, step in enumerate(WAYS[way]):
        step(last, tmp_path / str(i))
        last = tmp_path / str(i)
    assert verify(LocalFiles(last)).is_complete
    assert torch.equal(load(last, fuse=False).encode(TEXTS), load(source, fuse=False).encode(TEXTS))
    assert torch.equal(load(last).encode(TEXTS), expected)
    assert (last / "LICENSE").read_text() == "Apache-2.0"
    if last.name == "0" and way != "safetensors":
        assert not (last / "onnx").exists() and not (last / "1_Pooling" / ".hidden").exists()


@pytest.mark.parametrize(
    ("to", "in_place"),
    [("safetensors", False), ("safetensors", True), ("huggingface", False), ("native", False)],
)
def test_a_dense_in_a_pickle_is_read_and_converted(to: str, in_place: bool, tmp_path: Path):
    whole = sentences(tmp_path, "Dense", pooling=FIRST)
    expected = load(whole).encode(TEXTS)
    source = tmp_path / "pickled"
    if to == "safetensors":
        pickled(whole, source)
    else:
        shutil.copytree(whole, source)
    tensors = stored(whole / "2_Dense")
    write(source / "2_Dense", tensors, "bin")
    (source / "2_Dense" / "model.safetensors").unlink()
    assert torch.equal(load(source).encode(TEXTS), expected) and verify(source).is_complete
    target = source if in_place else tmp_path / "target"
    result = CliRunner().invoke(cli, ["convert", str(source), str(target), "--to", to, "--json"])
    assert result.exit_code == 0, result.output
    assert torch.equal(load(target).encode(TEXTS), expected)
    if to == "safetensors":
        report = json.loads(result.output)
        held = len(tensors) + len(stored(whole))
        assert (report["tensors"], report["identical"]) == (held, held)
        assert set(report["files"]) == {"2_Dense/model.safetensors", "model.safetensors"}
        assert stored(target / "2_Dense").keys() == tensors.keys()
        assert (target / "2_Dense" / "pytorch_model.bin").exists() == in_place


def test_a_dense_that_asks_to_run_code_is_refused(tmp_path: Path):
    where = sentences(tmp_path, "Dense", pooling=FIRST)
    (where / "2_Dense" / "model.safetensors").unlink()

    class Hostile:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"linear.weight": Hostile()}, where / "2_Dense" / "pytorch_model.bin")
    with pytest.raises(CheckpointUnsafe):
        load(where)
    assert verify(where).status == "damaged" and not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [None, "{}", "[]"], ids=["absent", "empty", "list"])
def test_a_pooling_that_says_nothing_is_damaged_and_not_the_mean(content: str | None, tmp_path: Path):
    where = sentences(tmp_path, pooling=FIRST)
    if content is None:
        shutil.rmtree(where / "1_Pooling")
    else:
        (where / "1_Pooling" / "config.json").write_text(content)
    with pytest.raises(CheckpointDamaged, match=r"1_Pooling/config\.json"):
        load(where)
    verdict = verify(LocalFiles(where))
    assert verdict.status == "damaged" and "1_Pooling/config.json" in verdict.problem


@pytest.mark.parametrize(
    ("later", "earlier"),
    [
        ("cls", ["cls_token"]),
        ("lasttoken", ["lasttoken"]),
        (["cls", "weightedmean"], ["cls_token", "weightedmean_tokens"]),
        (["mean_sqrt_len_tokens"], ["mean_sqrt_len_tokens"]),
    ],
    ids=str,
)
def test_later_files_name_the_modes(later: object, earlier: list[str], tmp_path: Path):
    known: dict[str, object] = {"pooling_mode_mean_tokens": False}
    known |= {f"pooling_mode_{name}": True for name in earlier}
    expected = load(sentences(tmp_path / "earlier", pooling=known)).encode(TEXTS)
    told = {"embedding_dimension": SIZE, "pooling_mode": later, "include_prompt": True}
    assert torch.equal(load(sentences(tmp_path / "later", pooling=told)).encode(TEXTS), expected)


@pytest.mark.parametrize("mode", ["attention", [], ["cls", None], 3], ids=str)
def test_a_mode_that_is_not_known_is_told(mode: object, tmp_path: Path):
    where = sentences(tmp_path, pooling={"pooling_mode": mode})
    with pytest.raises(CheckpointDamaged, match=r"pooling_mode is .*; expected cls"):
        load(where)


@pytest.mark.parametrize("path", ["1_Pooling/", "./1_Pooling"])
def test_a_folder_may_be_written_in_another_way(path: str, tmp_path: Path):
    source = sentences(tmp_path, pooling=FIRST)
    expected = load(source).encode(TEXTS)
    listed = json.loads((source / "modules.json").read_text())
    listed[1]["path"] = path
    (source / "modules.json").write_text(json.dumps(listed))
    saved(source, tmp_path / "saved")
    assert torch.equal(load(tmp_path / "saved").encode(TEXTS), expected)
