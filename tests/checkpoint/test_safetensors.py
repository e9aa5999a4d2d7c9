"""The safetensors reader against the reference library, and against bytes that are not what they say."""

import json
from typing import Any

import pytest
import safetensors
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modelcenter.checkpoint.safetensors import FIRST_READ, read_file_header
from modelcenter.checkpoint.source import LocalFiles, open_checkpoint, read_header
from modelcenter.errors import CheckpointDamaged, CheckpointError
from tests.support.files import MemoryFiles
from tests.support.tensors import same

NAME = "model.safetensors"


def file(header: Any, data: bytes = b"") -> bytes:
    """A file with this header (JSON text, or what becomes it) and data."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(dtype: str, shape: list, start: int, stop: int) -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def parsed(content: bytes) -> dict:
    return read_file_header(MemoryFiles({NAME: content}), NAME).tensors


def problem(content: bytes) -> str:
    with pytest.raises(CheckpointDamaged) as caught:
        parsed(content)
    assert str(caught.value).startswith(f"{NAME} is damaged: ")
    assert caught.value.file == NAME
    return caught.value.problem


def test_every_tensor_is_read_as_the_reference_wrote_it(tensors, tmp_path):
    safetensors.torch.save_file(tensors, tmp_path / NAME, metadata={"format": "pt"})
    with open_checkpoint(tmp_path) as checkpoint:
        assert checkpoint.header.format == "safetensors"
        assert checkpoint.header.files == (NAME,)
        assert checkpoint.header.metadata == {"format": "pt"}
        assert checkpoint.header.tensors.keys() == tensors.keys()
        for name, tensor in tensors.items():
            assert same(checkpoint.tensor(name), tensor), name
            info = checkpoint.header.tensors[name]
            assert info.numel == tensor.numel()
            assert info.size_bytes == info.stop - info.start == tensor.nbytes


def test_tensors_are_views_whose_changes_never_reach_the_file(tmp_path):
    safetensors.torch.save_file({"a": torch.zeros(1000)}, tmp_path / NAME)
    before = (tmp_path / NAME).read_bytes()
    first, second = open_checkpoint(tmp_path), open_checkpoint(tmp_path)
    first.tensor("a").fill_(1)
    assert first.tensor("a").sum() == 1000  # the same pages again: no copy was made
    assert first.tensor("a").data_ptr() == first.tensor("a").data_ptr()
    assert second.tensor("a").sum() == 0
    assert (tmp_path / NAME).read_bytes() == before


def test_views_outlive_their_checkpoint(tmp_path):
    safetensors.torch.save_file({"a": torch.arange(5)}, tmp_path / NAME)
    with open_checkpoint(tmp_path) as checkpoint:
        tensor = checkpoint.tensor("a")
    (tmp_path / NAME).unlink()
    assert tensor.tolist() == [0, 1, 2, 3, 4]


def test_unaligned_tensors_are_copied_to_aligned_memory(tmp_path):
    values = torch.tensor([1.5, -2.0], dtype=torch.float64)
    data = b"\x07" + bytes(values.view(torch.uint8).tolist())
    (tmp_path / NAME).write_bytes(file({"b": entry("U8", [1], 0, 1), "w": entry("F64", [2], 1, 17)}, data))
    tensor = open_checkpoint(tmp_path).tensor("w")
    assert tensor.data_ptr() % 8 == 0
    assert tensor.tolist() == [1.5, -2.0]


def test_a_file_replaced_by_a_shorter_one_is_refused_before_it_is_mapped(tmp_path):
    safetensors.torch.save_file({"a": torch.zeros(5000)}, tmp_path / NAME)
    checkpoint = open_checkpoint(tmp_path)
    safetensors.torch.save_file({"a": torch.zeros(5)}, tmp_path / NAME)
    with pytest.raises(CheckpointDamaged, match="when its header was read"):
        checkpoint.tensor("a")


def test_the_header_is_all_that_is_read():
    content = safetensors.torch.save({"a": torch.zeros(1_000_000)})
    files = MemoryFiles({NAME: content})
    read_header(files)
    assert [count for _, count in files.reads] == [FIRST_READ]


def test_a_long_header_is_read_whole():
    names = {f"a rather long name of a tensor, number {i}": torch.zeros(1) for i in range(5000)}
    files = MemoryFiles({NAME: safetensors.torch.save(names)})
    assert read_header(files).tensors.keys() == names.keys()
    assert len(files.reads) == 2


def test_a_truncated_file_names_the_tensor_and_both_sizes():
    content = safetensors.torch.save({"a": torch.zeros(4), "b": torch.zeros(4)})
    said = problem(content[:-3])
    assert f"it has {len(content) - 3} bytes, but b (F32 (4)) needs {len(content)}" in said


@pytest.mark.parametrize("length", [0, 7, 8, 20])
def test_a_file_cut_in_its_header_says_so(length):
    content = safetensors.torch.save({"a": torch.zeros(4)})
    assert "bytes" in problem(content[:length])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (file(b""), "begins with"),
        (file(b" {}"), "begins with"),
        (file(b"[]"), "begins with"),
        (file(b"{]"), "not JSON"),
        (file(b"\xff{}"), "begins with"),
        (file(b'{"\xff": 1}'), "not JSON"),
        (file(b'{"\\ud800": 1}'), "not JSON"),
        (file(b'{"a": ' + b"[" * 100_000), "not JSON"),
        (file(b'{"a": NaN}'), "not JSON"),
        (file(b'{"a": ' + b"1" * 10_000 + b"}"), "not JSON"),
        (file(b'{"a": 1, "b": 1, "a": 1}'), "names a twice"),
        ((200_000_000).to_bytes(8, "little") + b"{}", "limit is 100000000"),
        (b"\xff" * 8 + b"{}", "limit"),
        ((50).to_bytes(8, "little") + b"{}", "needs 58 bytes, the file has 10"),
        (file({"a": 1}), "entry of a"),
        (file({"a": {"dtype": "F32"}}), "entry of a"),
        (file({"__metadata__": {"a": 1}}), "__metadata__"),
        (file({"a": entry("F31", [1], 0, 4)}, bytes(4)), "unknown dtype 'F31'"),
        (file({"a": entry("F32", [-1], 0, 4)}, bytes(4)), "shape of a"),
        (file({"a": entry("F32", [True], 0, 4)}, bytes(4)), "shape of a"),
        (file({"a": entry("F32", [1.0], 0, 4)}, bytes(4)), "shape of a"),
        (file({"a": entry("F32", [1], 4, 0)}, bytes(4)), "data_offsets of a"),
        (file({"a": entry("F32", [2], 0, 4)}, bytes(4)), "takes 8 bytes; its range has 4"),
        (file({"a": entry("F32", [1 << 60] * 60, 0, 4)}, bytes(4)), "more bytes than any file"),
        (file({"a": entry("F4", [3], 0, 1)}, bytes(1)), "takes 1.5 bytes"),
        (file({"a": entry("F32", [1], 0, 4), "b": entry("F32", [1], 2, 6)}, bytes(6)), "inside a"),
        (file({"a": entry("F32", [1], 0, 4), "b": entry("F32", [1], 8, 12)}, bytes(12)), "a hole of 4 bytes"),
        (file({"a": entry("F32", [1], 4, 8)}, bytes(8)), "a hole of 4 bytes"),
        (file({"a": entry("F32", [1], 0, 4)}, bytes(9)), "its last tensor ends at"),
    ],
)  # fmt: skip
def test_contradictions_are_named(content, said):
    assert said in problem(content)


def test_no_tensors_at_all_is_a_sound_file():
    assert parsed(file({})) == {}


SOUND = safetensors.torch.save(
    {"a": torch.zeros(2, 3), "b.weight": torch.ones(4, dtype=torch.bfloat16), "e": torch.zeros(0)}, {"k": "v"}
)


def verdicts(content: bytes) -> tuple[dict | None, dict | None]:
    """What we and the reference make of a file: shapes by name, or None for refused."""
    try:
        ours = {name: (info.dtype, list(info.shape)) for name, info in parsed(content).items()}
    except CheckpointError:
        ours = None
    try:
        theirs = {name: (info["dtype"], info["shape"]) for name, info in safetensors.deserialize(content)}
    except safetensors.SafetensorError:
        theirs = None
    return ours, theirs


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_changed_bytes_are_judged_as_the_reference_judges_them(data):
    content = bytearray(SOUND)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        match data.draw(st.sampled_from(["change", "cut", "insert"])):
            case "change":
                content[at] = data.draw(st.integers(0, 255) | st.sampled_from(b'0123456789[]{},:"'))
            case "cut":
                del content[at : at + data.draw(st.integers(1, 8))]
            case "insert":
                content[at:at] = data.draw(st.binary(max_size=8))
        if not content:
            break
    ours, theirs = verdicts(bytes(content))
    if ours is None and theirs is not None:
        with pytest.raises(CheckpointDamaged, match=r"twice|unknown dtype"):  # stricter by intent
            parsed(bytes(content))
    else:
        assert ours == theirs


lengths = st.lists(st.integers(0, 4), max_size=3)
dtypes = st.sampled_from(["F32", "BF16", "U8", "F4", "F6_E2M3", "C64", "F8_E8M0", "X"])
entries = st.builds(entry, dtypes, lengths, st.integers(0, 40), st.integers(0, 40))


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(st.text(max_size=3), entries, max_size=3), st.integers(0, 40))
def test_headers_of_any_ranges_are_judged_as_the_reference_judges_them(header, size):
    ours, theirs = verdicts(file(header, bytes(size)))
    assert ours == theirs


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_an_answer_or_a_checkpoint_error(content):
    ours, theirs = verdicts(content)
    assert ours == theirs


def test_a_folder_without_a_checkpoint_says_what_was_looked_for(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"model.safetensors, .*pytorch_model.bin, .*pytorch_model.pt"):
        read_header(LocalFiles(tmp_path))
