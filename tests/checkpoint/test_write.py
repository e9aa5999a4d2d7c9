"""Writing safetensors: the reference's bytes, shards, and all or nothing."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import safetensors
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModel, BertConfig, BertModel

from modelcenter.checkpoint.source import LocalFiles, open_checkpoint, read_header
from modelcenter.checkpoint.write import Pending, write_safetensors
from modelcenter.errors import CheckpointUnsupported
from tests.support.tensors import DTYPES, same, values


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_holds(folder: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    checkpoint = open_checkpoint(folder)
    assert checkpoint.header.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert same(checkpoint.tensor(name), tensor), name


def test_the_bytes_are_the_reference_librarys(tensors, tmp_path):
    assert write_safetensors(tmp_path, tensors) == ("model.safetensors",)
    assert (tmp_path / "model.safetensors").read_bytes() == safetensors.torch.save(tensors, {"format": "pt"})


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=4).filter(
            lambda name: name != "__metadata__"
        ),
        st.tuples(st.sampled_from(DTYPES), st.lists(st.integers(0, 3), max_size=3)),
        max_size=6,
    )
)
def test_the_bytes_are_the_reference_librarys_for_any_names_and_shapes(tmp_path_factory, specification):
    folder = tmp_path_factory.mktemp("written")
    tensors = {name: values(dtype, *shape) for name, (dtype, shape) in specification.items()}
    write_safetensors(folder, tensors, metadata={})
    assert (folder / "model.safetensors").read_bytes() == safetensors.torch.save(tensors)


def test_every_tensor_lies_aligned(tensors, tmp_path):
    write_safetensors(tmp_path, tensors)
    for name, info in read_header(LocalFiles(tmp_path)).tensors.items():
        assert info.start % tensors[name].element_size() == 0, name


def test_shards_are_filled_in_order_and_read_back(tmp_path):
    tensors = {f"layer.{i}": torch.full((10,), float(i)) for i in reversed(range(7))}
    written = write_safetensors(tmp_path, tensors, max_shard_bytes=100)
    assert written == (
        *(f"model-{i:05}-of-00004.safetensors" for i in range(1, 5)),
        "model.safetensors.index.json",
    )
    assert files(tmp_path) == set(written)
    index = json.loads((tmp_path / written[-1]).read_text())
    assert index["metadata"] == {"total_size": 280, "total_parameters": 70}
    assert index["weight_map"]["layer.6"] == index["weight_map"]["layer.5"] == written[0]
    assert index["weight_map"]["layer.0"] == written[3]
    assert_holds(tmp_path, tensors)
    for shard in written[:-1]:
        with safetensors.safe_open(tmp_path / shard, "pt") as file:
            assert file.metadata() == {"format": "pt"}
            for name in file.keys():  # noqa: SIM118
                assert torch.equal(file.get_tensor(name), tensors[name])


def test_a_tensor_larger_than_a_shard_has_one_alone(tmp_path):
    tensors = {"a": torch.zeros(2), "big": torch.zeros(100), "b": torch.zeros(2)}
    assert len(write_safetensors(tmp_path, tensors, max_shard_bytes=50)) == 4
    assert_holds(tmp_path, tensors)


@pytest.mark.parametrize("max_shard_bytes", [10**9, 20_000])
def test_transformers_reads_what_is_written(tmp_path, max_shard_bytes):
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    model = BertModel(config)
    config.save_pretrained(tmp_path)
    write_safetensors(tmp_path, model.state_dict(), max_shard_bytes=max_shard_bytes)
    for name, tensor in AutoModel.from_pretrained(tmp_path).state_dict().items():
        assert same(tensor, model.state_dict()[name]), name


def test_views_are_written_row_major(tmp_path):
    matrix = torch.arange(6.0).view(2, 3)
    tensors = {"t": matrix.T, "column": matrix[:, 1], "conj": torch.tensor([1 + 2j]).conj()}
    write_safetensors(tmp_path, tensors)
    assert_holds(tmp_path, {name: tensor.clone().resolve_conj() for name, tensor in tensors.items()})


def test_pending_tensors_are_made_one_at_a_time(tmp_path):
    alive: set[int] = set()
    most = 0

    class Watched(torch.Tensor):
        def __del__(self) -> None:
            alive.discard(id(self))

    def make(i: int) -> torch.Tensor:
        nonlocal most
        tensor = torch.full((5,), float(i)).as_subclass(Watched)
        alive.add(id(tensor))
        most = max(most, len(alive))
        return tensor

    pending = {f"t{i}": Pending("F32", (5,), lambda i=i: make(i)) for i in range(9)}  # type: ignore[misc]
    write_safetensors(tmp_path, pending, max_shard_bytes=60)
    assert most <= 2  # the one before is let go when the next has been made
    assert_holds(tmp_path, {f"t{i}": torch.full((5,), float(i)) for i in range(9)})


def test_pending_bytes_are_written_as_they_are(tmp_path):
    data = torch.tensor([1.5, 2.5]).numpy().tobytes()
    write_safetensors(tmp_path, {"a": Pending("F32", (2,), lambda: data)})
    assert_holds(tmp_path, {"a": torch.tensor([1.5, 2.5])})


def failing() -> torch.Tensor:
    raise OSError("the disk is full")


@pytest.mark.parametrize("fails", [failing, lambda: torch.zeros(3)], ids=["error", "wrong size"])
@pytest.mark.parametrize("old", [10**9, 40], ids=["over a file", "over shards"])
def test_a_failure_leaves_what_was_there(tmp_path, fails, old):
    write_safetensors(tmp_path, {f"old{i}": torch.zeros(10) for i in range(3)}, max_shard_bytes=old)
    before = contents(tmp_path)
    broken: dict[str, Any] = {f"t{i}": torch.zeros(10) for i in range(3)}
    broken["z"] = Pending("F32", (10,), fails)
    for max_shard_bytes in (10**9, 40):
        with pytest.raises((OSError, ValueError)):
            write_safetensors(tmp_path, broken, max_shard_bytes=max_shard_bytes)
        assert contents(tmp_path) == before


@pytest.mark.parametrize("old", [10**9, 40, 80])
@pytest.mark.parametrize("new", [10**9, 40, 80])
def test_the_new_checkpoint_replaces_the_old_one_whole(tmp_path, old, new):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.notes.safetensors").write_text("not ours")
    write_safetensors(tmp_path, {f"old{i}": torch.zeros(10) for i in range(4)}, max_shard_bytes=old)
    tensors = {f"new{i}": torch.ones(10) for i in range(3)}
    written = write_safetensors(tmp_path, tensors, max_shard_bytes=new)
    assert files(tmp_path) == {*written, "config.json", "model.notes.safetensors"}
    assert_holds(tmp_path, tensors)


def test_a_checkpoint_may_be_written_over_itself(tmp_path):
    tensors = {"a": torch.arange(1000), "b": torch.ones(7)}
    write_safetensors(tmp_path, tensors)
    checkpoint = open_checkpoint(tmp_path)
    mapped = {name: checkpoint.tensor(name) for name in tensors}
    write_safetensors(tmp_path, mapped)
    assert_holds(tmp_path, tensors)
    assert_holds(tmp_path, mapped)


@pytest.mark.parametrize(
    "tensor",
    [torch.zeros(2, dtype=torch.complex128), torch.zeros(2).to_sparse(), torch.zeros(2, device="meta")],
)
def test_what_the_format_cannot_hold_is_named(tmp_path, tensor):
    with pytest.raises(CheckpointUnsupported, match="cannot hold odd"):
        write_safetensors(tmp_path, {"fine": torch.zeros(2), "odd": tensor})
    with pytest.raises(CheckpointUnsupported, match="named __metadata__"):
        write_safetensors(tmp_path, {"__metadata__": torch.zeros(2)})
    assert files(tmp_path) == set()
