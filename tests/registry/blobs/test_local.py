from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from modelcenter.errors import BlobNotFound
from modelcenter.registry.blobs.local import LocalBlobStore
from tests.conformance.blobstore import BlobStoreSuite, address_of

# Puts what comes from its standard input, and says on its standard output when half of it is on disk.
WRITER = """
import sys
from pathlib import Path
from modelcenter.registry.blobs.local import LocalBlobStore

def pieces():
    yield b"x" * 3_000_000
    print("half", flush=True)
    yield sys.stdin.buffer.read()

print(LocalBlobStore(Path(sys.argv[1])).put(pieces()).sha256)
"""


class TestLocal(BlobStoreSuite):
    def make(self, tmp_path):
        return LocalBlobStore(tmp_path / "blobs")

    def leftovers(self, store):
        return [file.name for file in (store.folder / "tmp").iterdir()]


@pytest.fixture
def writer(tmp_path):
    """Another process in the middle of putting a blob."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"half\n"
        yield process
        process.kill()


def drafts(folder):
    return list((folder / "tmp").iterdir())


def test_what_a_kill_leaves_is_not_addressable_and_gone_at_the_next_start(tmp_path, writer):
    assert len(drafts(tmp_path)) == 1
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    store = LocalBlobStore(tmp_path)
    assert drafts(tmp_path) == []
    assert list(store) == []
    with pytest.raises(BlobNotFound):
        store.open(address_of(b"x" * 3_000_000))


def test_a_start_leaves_living_writers_alone(tmp_path, writer):
    LocalBlobStore(tmp_path)
    assert len(drafts(tmp_path)) == 1
    found, _ = writer.communicate(b"the rest")
    assert found.decode().strip() == address_of(b"x" * 3_000_000 + b"the rest")
    assert list(LocalBlobStore(tmp_path)) == [found.decode().strip()]


def test_a_writer_whose_file_was_cleared_before_its_lock_takes_another(tmp_path, monkeypatch):
    """A start between the making of the temporary file and its lock removes the file: nothing is lost."""
    store, lock = LocalBlobStore(tmp_path), fcntl.flock
    cleared: list[Path] = []

    def flock(file, operation):
        if not cleared:
            cleared.extend(drafts(tmp_path))
            cleared[0].unlink()
        lock(file, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    blob = store.put([b"content"])
    assert cleared
    assert store.stat(blob.sha256) == 7
    assert drafts(tmp_path) == []


def test_a_blob_cannot_be_written_by_accident(tmp_path):
    store = LocalBlobStore(tmp_path)
    assert store.path(store.put([b"content"]).sha256).stat().st_mode & 0o222 == 0


def test_a_full_disk_leaves_nothing(tmp_path):
    """A limit on the size of files stands in for the disk: the write fails in the middle of the blob."""
    program = """
import resource, signal, sys
from pathlib import Path
from modelcenter.registry.blobs.local import LocalBlobStore

store = LocalBlobStore(Path(sys.argv[1]))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    store.put([b"x" * 600_000] * 3)
except OSError as error:
    print(error.strerror)
"""
    found = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert found.stdout == "File too large\n"
    assert drafts(tmp_path) == []
    assert list(LocalBlobStore(tmp_path)) == []
