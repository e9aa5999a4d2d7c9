"""`modelcenter convert` as people and scripts meet it."""

import json
import re
import shutil

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file

from modelcenter.checkpoint.source import READERS
from modelcenter.cli import cli
from modelcenter.exporting import export
from tests.support import checkpoints
from tests.support.pickles import NAMED, archive


def run(*words: object) -> Result:
    """A command, whose failures must be told and not raised."""
    result = CliRunner().invoke(cli, ["convert", *map(str, words)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture
def pickled(tmp_path):
    """A folder of a pickle, what belongs to it and what does not."""
    folder = tmp_path / "pickled"
    folder.mkdir()
    matrix = torch.arange(6.0).view(2, 3)
    torch.save({"w": matrix, "tied": matrix, "epoch": 3}, folder / "pytorch_model.bin")
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.model").write_bytes(b"\0")
    for name in (
        "training_args.bin",
        "tf_model.h5",
        "flax_model.msgpack",
        "pytorch_model.bin.index.json.bak",
    ):
        (folder / name).write_bytes(b"")
    (folder / ".git").mkdir()
    return folder


def test_a_folder_is_converted_and_the_proof_told(pickled, tmp_path):
    result = run(pickled, tmp_path / "converted")
    assert result.exit_code == 0
    assert "Converted: 2 of 2 tensors identical" in result.stdout
    assert "epoch (int)" in result.stdout
    assert "2 tensors, each written in full" in result.stdout
    assert re.search(r"model\.safetensors +\d+ B", result.stdout)
    assert {path.name for path in (tmp_path / "converted").iterdir()} == {
        "model.safetensors", "config.json", "tokenizer.model", "pytorch_model.bin.index.json.bak",
    }  # fmt: skip
    assert load_file(tmp_path / "converted" / "model.safetensors")["w"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_scripts_get_the_report(pickled, tmp_path):
    told = json.loads(run(pickled, tmp_path / "converted", "--json", "--to", "safetensors").stdout)
    assert (told["tensors"], told["identical"], told["files"]) == (2, 2, ["model.safetensors"])
    assert told["destination"] == str(tmp_path / "converted")
    assert "audit" in told["network"]


def test_a_folder_may_be_converted_in_place_and_once(pickled):
    assert run(pickled, pickled, "--max-shard-size", "0.00000002").exit_code == 0
    assert (pickled / "model.safetensors.index.json").exists()
    again = run(pickled, pickled)
    assert again.exit_code == 1
    assert "nothing to convert" in again.stderr


def test_a_folder_that_holds_something_else_is_left_alone(pickled, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    result = run(pickled, tmp_path / "full")
    assert result.exit_code == 2
    assert "is not empty" in result.stderr


def test_a_hostile_pickle_is_one_sentence_on_stderr(pickled, tmp_path):
    (pickled / "pytorch_model.bin").write_bytes(archive(NAMED["reduce"][0]))
    result = run(pickled, tmp_path / "converted")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "pytorch_model.bin asks to run os.system" in result.stderr
    assert not (tmp_path / "converted").exists()


def test_a_checkpoint_goes_to_openbmbs_form_and_back(tmp_path):
    source = checkpoints.folder(checkpoints.FAMILIES["gpt2"][0])
    result = run(source, tmp_path / "original", "--to", "modelcenter")
    assert result.exit_code == 0, result.stdout
    assert "tensors as they were meant" in result.stdout and "pytorch_model.pt" in result.stdout
    told = json.loads(run(tmp_path / "original", tmp_path / "back", "--to", "huggingface", "--json").stdout)
    assert (told["family"], told["source"], told["target"]) == ("gpt2", "modelcenter", "huggingface")
    assert told["identical"] == told["tensors"]
    same = load_file(source / "model.safetensors")
    assert load_file(tmp_path / "back" / "model.safetensors").keys() == same.keys()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("written") / "original"
    export(checkpoints.folder(checkpoints.FAMILIES["gpt2"][0]), folder, "modelcenter")
    return folder


@pytest.fixture
def original(written, tmp_path):
    """A pickle with its configuration."""
    return shutil.copytree(written, tmp_path / "original")


def test_pickles_go_to_another_form_through_the_closed_process(original, tmp_path, monkeypatch):

    def opened(*_):
        raise AssertionError("a pickle was read in this process")

    monkeypatch.setattr("modelcenter.checkpoint.source.READERS", {**READERS, "pickle": opened})
    result = run(original, tmp_path / "back", "--to", "huggingface", "--max-shard-size", "0.00001")
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "back" / "model.safetensors.index.json").exists()
    assert json.loads((tmp_path / "back" / "config.json").read_text())["model_type"] == "gpt2"
    assert {path.name for path in tmp_path.iterdir()} == {"original", "back"}


@pytest.mark.parametrize(
    ("words", "told"), [((), "asks to run os.system"), (("--timeout", "0.001"), "more than 0.001 seconds")]
)
def test_a_pickle_that_is_not_read_leaves_nothing_of_another_form(words, told, original, tmp_path):
    if not words:
        (original / "pytorch_model.pt").write_bytes(archive(NAMED["reduce"][0]))
    result = run(original, tmp_path / "back", "--to", "native", *words)
    assert result.exit_code == 1 and told in result.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"original"}


def test_what_another_form_cannot_hold_is_told_and_leaves_nothing(tmp_path):
    source = checkpoints.folder(checkpoints.FAMILIES["gpt_neox"][0])
    result = run(source, tmp_path / "original", "--to", "modelcenter")
    assert result.exit_code == 1
    assert "no form modelcenter" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_another_form_needs_the_configuration_too(pickled, tmp_path):
    result = run(pickled / "pytorch_model.bin", tmp_path / "x", "--to", "native")
    assert result.exit_code == 2 and "name the folder" in result.stderr
