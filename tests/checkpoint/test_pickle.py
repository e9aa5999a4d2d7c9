"""Checkpoints of torch.save: what their pickles say, read without torch, against torch itself."""

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modelcenter.checkpoint.header import FileHeader
from modelcenter.checkpoint.pickle import read_file_header
from modelcenter.checkpoint.source import LocalFiles, open_checkpoint, read_header
from modelcenter.errors import CheckpointDamaged, CheckpointError, CheckpointUnsupported
from tests.support.files import MemoryFiles
from tests.support.tensors import same

NAME = "pytorch_model.bin"
LEGACY = {"_use_new_zipfile_serialization": False}
V3_ONLY = (torch.float8_e4m3fn, torch.float8_e5m2, torch.uint16, torch.uint32)  # the legacy format lacks them
both_formats = pytest.mark.parametrize("options", [{}, LEGACY], ids=["zip", "legacy"])


def saved(value: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream, **options)
    return stream.getvalue()


def parsed(content: bytes) -> FileHeader:
    return read_file_header(MemoryFiles({NAME: content}), NAME)


def rezipped(
    content: bytes, change: Any, compression: int = zipfile.ZIP_STORED, added: Mapping[str, bytes] = {}
) -> bytes:
    """The archive with each entry passed through `change(name, data)` (None drops it) and entries added."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(stream, "w", compression) as new:
        for name in old.namelist():
            if (data := change(name, old.read(name))) is not None:
                new.writestr(name, data)
        for name, data in added.items():
            new.writestr(name, data)
    return stream.getvalue()


@both_formats
def test_every_tensor_is_found_as_torch_saved_it(tensors, tmp_path, options):
    tensors = {name: t for name, t in tensors.items() if not options or t.dtype not in V3_ONLY}
    content = saved(OrderedDict(tensors), **options)
    (tmp_path / NAME).write_bytes(content)
    with open_checkpoint(tmp_path) as checkpoint:
        assert checkpoint.header.format == "pickle"
        assert checkpoint.header.files == (NAME,)
        assert checkpoint.header.tensors.keys() == tensors.keys()
        for name, tensor in tensors.items():
            assert same(checkpoint.tensor(name), tensor), name
            info = checkpoint.header.tensors[name]
            raw = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
            assert content[info.start : info.stop] == raw, name


@both_formats
def test_strides_offsets_and_shared_storages_are_told(options):
    matrix = torch.arange(12.0).view(3, 4)
    content = saved({"whole": matrix, "tied": matrix, "transposed": matrix.T, "row": matrix[1]}, **options)
    tensors = parsed(content).tensors
    assert len({info.storage for info in tensors.values()}) == 1
    assert tensors["whole"] == tensors["tied"]
    assert tensors["transposed"].shape == (4, 3)
    assert tensors["transposed"].stride == (1, 4)
    row = tensors["row"]
    assert row.stride is None
    assert content[row.start : row.stop] == matrix[1].numpy().tobytes()


def test_zip_tensors_are_mapped_privately(tmp_path):
    (tmp_path / NAME).write_bytes(saved({"a": torch.zeros(1000)}))
    before = (tmp_path / NAME).read_bytes()
    open_checkpoint(tmp_path).tensor("a").fill_(1)
    assert open_checkpoint(tmp_path).tensor("a").sum() == 0
    assert (tmp_path / NAME).read_bytes() == before


def test_a_legacy_view_of_a_storage_is_found_inside_it():
    """Files from before torch 0.4 may keep a part of a storage with the whole one's name."""
    content = saved({"a": torch.arange(6.0)}, **LEGACY)
    # (…, numel 6, None) becomes (…, numel 6, ("v", 2, 3)); the tensor then has 3 elements from the third on.
    key = next(iter(parsed(content).tensors.values())).storage.encode()
    view = b"K\x06(X\x01\x00\x00\x00vK\x02K\x03t"
    assert content.count(b"K\x06N") == 1
    changed = content.replace(b"K\x06N", view).replace(b"K\x06\x85", b"K\x03\x85")
    info = parsed(changed).tensors["a"]
    assert info.shape == (3,)
    assert info.storage.encode() == key
    assert changed[info.start : info.stop] == torch.tensor([2.0, 3.0, 4.0]).numpy().tobytes()


@both_formats
def test_parameters_and_module_state_are_tensors(options):
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    state = module.state_dict(keep_vars=True)  # an OrderedDict with _metadata, of Parameters
    header = parsed(saved(state, **options))
    assert {name: info.shape for name, info in header.tensors.items()} == {
        name: tuple(tensor.shape) for name, tensor in state.items()
    }
    assert header.others == {}


def test_tensors_with_attributes_are_tensors():
    tensor = torch.nn.Parameter(torch.ones(2, 3))
    tensor.note = "kept by torch"  # type: ignore[attr-defined]
    assert parsed(saved({"a": tensor})).tensors["a"].shape == (2, 3)


@pytest.mark.parametrize("keys", [("state_dict",), ("model",), ("module",), ("model", "state_dict")])
def test_a_state_dict_may_be_wrapped(tmp_path, keys):
    value: Any = {"a": torch.arange(3)}
    for key in reversed(keys):
        value = {key: value, "epoch": 3, "history": [1.0, {"x": torch.zeros(2)}]}
    (tmp_path / NAME).write_bytes(saved(value))
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.header.tensors.keys() == {"a"}
    assert checkpoint.tensor("a").tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"model": {"a": torch.zeros(1)}, "state_dict": {"a": torch.zeros(1)}}, "models: state_dict, model"),
        ({"a": torch.zeros(1), "state_dict": {"a": torch.zeros(1)}}, "directly and under state_dict"),
        ([torch.zeros(1)], "holds a list"),
        (torch.zeros(1), "holds a Tensor"),
        ({"a": torch.zeros(1, dtype=torch.complex128)}, "ComplexDoubleStorage"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_is_not_guessed(value, said):
    with pytest.raises(CheckpointUnsupported, match=said):
        parsed(saved(value))


def test_entries_that_are_no_tensors_are_listed_with_their_kind():
    value = {
        "a": torch.zeros(1), "epoch": 3, "name": "x", "args": {"lr": 0.1}, "steps": [1, 2], "none": None,
        "tags": {"x"}, "shape": torch.Size([2]), "device": torch.device("cpu"),
        "sparse": torch.zeros(2).to_sparse(),
    }  # fmt: skip
    header = parsed(saved(value))
    assert header.tensors.keys() == {"a"}
    assert header.others == {
        "epoch": "int", "name": "str", "args": "dict", "steps": "list", "none": "NoneType", "tags": "set",
        "shape": "tuple", "device": "device", "sparse": "sparse tensor",
    }  # fmt: skip


def test_the_openbmb_file_is_a_checkpoint_and_safetensors_come_first(tmp_path):
    import safetensors.torch

    (tmp_path / "pytorch_model.pt").write_bytes(saved(OrderedDict(a=torch.zeros(1, dtype=torch.float16))))
    assert read_header(LocalFiles(tmp_path)).files == ("pytorch_model.pt",)
    (tmp_path / NAME).write_bytes(saved({"b": torch.zeros(1)}))
    assert read_header(LocalFiles(tmp_path)).files == (NAME,)
    safetensors.torch.save_file({"c": torch.zeros(1)}, tmp_path / "model.safetensors")
    assert read_header(LocalFiles(tmp_path)).files == ("model.safetensors",)


def test_only_the_ends_of_a_large_archive_are_read():
    files = MemoryFiles({NAME: saved({"a": torch.zeros(1_000_000), "b": torch.zeros(1_000_000)})})
    read_file_header(files, NAME)
    assert sum(count for _, count in files.reads) < 400_000
    assert len(files.reads) < 8


def test_only_the_beginning_of_a_large_legacy_file_is_read():
    files = MemoryFiles({NAME: saved({"a": torch.zeros(1_000_000), "b": torch.zeros(1_000_000)}, **LEGACY)})
    read_file_header(files, NAME)
    assert sum(count for _, count in files.reads) < 400_000


def test_compressed_archives_are_read_though_not_mapped(tmp_path):
    value = {"a": torch.arange(300), "b": torch.ones(5)}
    content = rezipped(saved(value), lambda _, data: data, zipfile.ZIP_DEFLATED)
    header = parsed(content)
    assert not header.mappable
    assert header.tensors["a"].shape == (300,)
    assert header.tensors["a"].start == -1


def test_a_truncated_legacy_file_names_the_tensor_and_both_sizes(tmp_path):
    content = saved({"a": torch.zeros(4), "b": torch.zeros(100)}, **LEGACY)
    with pytest.raises(CheckpointDamaged) as caught:
        parsed(content[:-100])
    said = caught.value.problem
    assert f"it has {len(content) - 100} bytes" in said
    assert "cut short" in said
    assert " that b (F32 (100)) needs" in said or " that a " in said  # torch orders storages by their address


def test_a_truncated_archive_is_named_as_such():
    content = saved({"a": torch.zeros(4), "b": torch.zeros(100)})
    with pytest.raises(CheckpointDamaged, match="cut short"):
        parsed(content[:-100])


def test_a_storage_that_is_absent_or_short_is_named_with_its_tensor():
    content = saved({"a": torch.zeros(4), "b": torch.zeros(100)})
    with pytest.raises(CheckpointDamaged, match=r"the bytes of b \(F32 \(100\)\) are not in it"):
        parsed(rezipped(content, lambda name, data: None if name.endswith("data/1") else data))
    with pytest.raises(CheckpointDamaged, match=r"of the 400 that b \(F32 \(100\)\) needs 399"):
        parsed(rezipped(content, lambda name, data: data[:399] if name.endswith("data/1") else data))


def test_a_tensor_beyond_its_storage_is_named():
    content = saved({"a": torch.zeros(2, 3)})
    wider = rezipped(content, lambda _, data: data.replace(b"K\x02K\x03\x86", b"K\x09K\x03\x86"))
    with pytest.raises(
        CheckpointDamaged, match=r"a \(F32 \(9, 3\)\) reaches to byte 108 of its storage.* 24"
    ):
        parsed(wider)


def test_later_pickle_protocols_are_named_rather_than_failing_in_torch(tmp_path):
    content = saved({"a": torch.zeros(2)}, pickle_protocol=4)
    with pytest.raises(CheckpointUnsupported, match=r"which torch[.]load refuses"):
        parsed(content)


def test_what_the_header_takes_torch_opens_too(tmp_path):
    """The header's verdict is worth nothing if torch.load(weights_only=True) then refuses the file."""
    value = {
        "a": torch.zeros(2, 3),
        "b": {"c": [1, 2.5, None, True, 2**70, -5, "x"]},
        "d": b"bytes",
        "e": (1, 2),
    }
    (tmp_path / NAME).write_bytes(saved(value))
    assert open_checkpoint(tmp_path).tensor("a").shape == (2, 3)


def test_torchscript_big_endian_and_foreign_files_are_named():
    content = saved({"a": torch.zeros(2)})
    with pytest.raises(CheckpointUnsupported, match="TorchScript"):  # torch.jit.save keeps constants and code
        parsed(rezipped(content, lambda _, data: data, added={"archive/constants.pkl": b""}))
    with pytest.raises(CheckpointUnsupported, match="big-endian"):
        parsed(rezipped(content, lambda name, data: b"big" if name.endswith("byteorder") else data))
    with pytest.raises(CheckpointUnsupported, match=r"no data.pkl"):
        parsed(rezipped(content, lambda name, data: None if name.endswith("data.pkl") else data))
    for other in (b"", b"hello", pickle.dumps({"a": 1}), b"\x80\x02}."):
        with pytest.raises(CheckpointDamaged, match="neither a zip archive nor a legacy"):
            parsed(other)


ZIP = saved({"a": torch.zeros(2, 3), "b": torch.nn.Parameter(torch.ones(4, dtype=torch.bfloat16)), "n": 3})
OLD = saved(
    {"a": torch.zeros(2, 3), "b": torch.nn.Parameter(torch.ones(4, dtype=torch.bfloat16)), "n": 3}, **LEGACY
)
PICKLE = zipfile.ZipFile(io.BytesIO(ZIP)).read("archive/data.pkl")


def survives(content: bytes) -> None:
    """Reading ends with an answer or a CheckpointError, never otherwise."""
    try:
        header = parsed(content)
    except CheckpointError as error:
        assert NAME in str(error)  # noqa: PT017
    else:
        for info in header.tensors.values():
            assert info.stop <= len(content)


def mutated(content: bytes, data: st.DataObject) -> bytes:
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(0, len(changed) - 1)))
        match data.draw(st.sampled_from(["change", "cut", "insert"])):
            case "change" if changed:
                changed[at] = data.draw(st.integers(0, 255))
            case "cut":
                del changed[at : at + data.draw(st.integers(1, 8))]
            case "insert":
                changed[at:at] = data.draw(st.binary(max_size=8))
    return bytes(changed)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_changed_bytes_are_an_answer_or_a_checkpoint_error(data):
    survives(mutated(data.draw(st.sampled_from([ZIP, OLD])), data))


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_changed_pickles_in_sound_archives_are_an_answer_or_a_checkpoint_error(data):
    changed = mutated(PICKLE, data)
    survives(rezipped(ZIP, lambda name, content: changed if name.endswith("data.pkl") else content))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=100))
def test_any_pickle_is_an_answer_or_a_checkpoint_error(content):
    survives(rezipped(ZIP, lambda name, old: content if name.endswith("data.pkl") else old))
    survives(OLD[:300] + content)
