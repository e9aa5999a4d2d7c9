"""What is mapped is read in the background, where it fits, and no longer than anyone wants it."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
import torch

from modelcenter.weights import ahead
from tests.support.server import wait_for

SIZE = 16 << 20

pytestmark = pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux' /proc")


@pytest.fixture
def mapped(tmp_path: Path) -> torch.Tensor:
    (tmp_path / "weights").write_bytes(os.urandom(SIZE))
    with (tmp_path / "weights").open("rb") as file:
        return torch.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY), dtype=torch.bfloat16)


def resident(tensor: torch.Tensor) -> int:
    """Bytes of the mapping that holds the tensor which the process has in its page table."""
    place, is_here = tensor.data_ptr(), False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        head = line.split(maxsplit=1)[0]
        if "-" in head and not head.endswith(":"):
            start, stop = (int(part, 16) for part in head.split("-"))
            is_here = start <= place < stop
        elif is_here and head == "Rss:":
            return int(line.split()[1]) * 1024
    raise AssertionError("the tensor is not mapped")


def test_every_page_of_both_halves_is_read(mapped):
    assert resident(mapped) < SIZE
    parameters = [*mapped.split(3 << 20), mapped[:0]]
    ahead.read_ahead(parameters)
    wait_for(lambda: resident(mapped) == SIZE, 30)


def test_what_does_not_fit_or_is_dropped_is_not_read(mapped, monkeypatch):
    ahead.read([weakref.ref(mapped[:1])])
    assert resident(mapped) < SIZE
    monkeypatch.setattr(ahead, "available_bytes", lambda: SIZE - 1)
    monkeypatch.setattr(ahead, "read", lambda tensors: pytest.fail("it was read"))
    ahead.read_ahead([mapped])
    ahead.read_ahead([])


def test_the_memory_that_is_free_is_what_the_system_tells(monkeypatch, tmp_path):
    assert 0 < ahead.available_bytes() <= os.sysconf("SC_PHYS_PAGES") * mmap.PAGESIZE
    monkeypatch.setattr(ahead, "MEMINFO", tmp_path / "none")
    assert ahead.available_bytes() == 0


def test_a_program_that_ends_meanwhile_ends_well(tmp_path: Path):
    with (tmp_path / "weights").open("wb") as file:
        file.truncate(1 << 30)
    program = (
        "import mmap, sys, torch\n"
        "from modelcenter.weights.ahead import read_ahead\n"
        "with open(sys.argv[1], 'rb') as file:\n"
        "    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)\n"
        "tensor = torch.frombuffer(mapped, dtype=torch.float16)\n"
        "read_ahead([tensor[: 1 << 28], tensor[1 << 28 :]])\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "weights"], capture_output=True, text=True
    )
    assert (ended.returncode, ended.stderr) == (0, "")
