"""Which files are a checkpoint, and that reading headers needs no torch."""

import subprocess
import sys

import safetensors.torch
import torch

from modelcenter.checkpoint.files import LocalFiles, Window
from tests.support.files import MemoryFiles

HEADERS_WITHOUT_TORCH = """
import sys
from pathlib import Path
from modelcenter.checkpoint.source import LocalFiles, open_checkpoint, read_header
for folder in sys.argv[1:]:
    assert read_header(LocalFiles(Path(folder))).tensors["a"].shape == (2, 3)
    open_checkpoint(Path(folder)).close()
import modelcenter.checkpoint.write
assert "torch" not in sys.modules, "torch was imported"
"""


def test_headers_are_read_without_torch(tmp_path):
    for name in ("safetensors", "zip", "legacy"):
        (tmp_path / name).mkdir()
    value = {"a": torch.zeros(2, 3)}
    safetensors.torch.save_file(value, tmp_path / "safetensors" / "model.safetensors")
    torch.save(value, tmp_path / "zip" / "pytorch_model.bin")
    torch.save(value, tmp_path / "legacy" / "pytorch_model.pt", _use_new_zipfile_serialization=False)
    folders = [str(path) for path in tmp_path.iterdir()]
    result = subprocess.run(
        [sys.executable, "-c", HEADERS_WITHOUT_TORCH, *folders], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


def test_local_files_are_named_from_their_folder(tmp_path):
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text("{}")
    (tmp_path / "blob").write_bytes(b"0123456789")
    (tmp_path / "link").symlink_to(tmp_path / "blob")  # as caches link to their blobs
    files = LocalFiles(tmp_path)
    assert set(files.names()) == {"1_Pooling/config.json", "blob", "link"}
    assert files.size("link") == 10
    assert files.read("link") == b"0123456789"
    assert files.read("link", 2, 5) == b"234"
    assert files.read("link", 8, 50) == b"89"
    assert files.read("link", 5, 2) == b""


def test_a_window_reads_as_a_file_does():
    content = bytes(range(256)) * 3000  # more than its buffer
    window = Window(MemoryFiles({"f": content}), "f", 10, 700_000)
    parts, position = [], 10
    for count in (1, 0, 5, 300_000, 7, 262_144, 1, 1_000_000, 5):
        parts.append(window.read(count))
        position += len(parts[-1])
        assert window.tell() == position
    assert b"".join(parts) == content[10:700_000]


def test_a_window_reads_lines_over_its_buffers():
    content = b"a" * 600_000 + b"\n" + b"b\n" + b"end"
    window = Window(MemoryFiles({"f": content}), "f")
    assert window.read(3) == b"aaa"
    assert window.readline() == content[3:600_001]
    assert [window.readline(), window.readline(), window.readline()] == [b"b\n", b"end", b""]
