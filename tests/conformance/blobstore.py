"""What every blob store must do. A store's test is one line:

class TestLocal(BlobStoreSuite):
    def make(self, tmp_path): return LocalBlobStore(tmp_path / "blobs")
"""

from __future__ import annotations

import hashlib
import io
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from modelcenter.errors import BlobMismatch, BlobNotFound, Invalid
from modelcenter.registry.blobs.interface import CHUNK, Blob, BlobStore


def address_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class BlobStoreSuite:
    """Inherit, and say how to make an empty store. Teardown fails where one keeps what it should not."""

    def make(self, tmp_path) -> BlobStore:
        raise NotImplementedError

    def leftovers(self, store: BlobStore) -> list[str]:
        """What the store holds besides whole blobs: half-written files, unfinished uploads."""
        return []

    @pytest.fixture
    def store(self, tmp_path) -> Iterator[BlobStore]:
        store = self.make(tmp_path)
        yield store
        assert self.leftovers(store) == []
        for sha256 in store:
            with store.open(sha256) as file:
                assert address_of(file.read()) == sha256

    @pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, 3 * CHUNK + 7])
    def test_gives_back_what_was_put(self, store, size):
        data = random.Random(size).randbytes(size)
        blob = store.put(io.BytesIO(data))
        assert blob == Blob(address_of(data), size)
        assert store.stat(blob.sha256) == size
        with store.open(blob.sha256) as file:
            assert file.read() == data

    def test_takes_pieces_as_well_as_files(self, store):
        assert store.put([b"one", b"", b"two"]).sha256 == address_of(b"onetwo")
        assert store.put(iter([b"three"])).sha256 == address_of(b"three")

    def test_reads_ranges(self, store):
        data = random.Random(1).randbytes(100_000)
        with store.open(store.put([data]).sha256) as file:
            file.seek(70_000)
            assert file.read(10) == data[70_000:70_010]
            file.seek(-5, io.SEEK_END)
            assert file.read() == data[-5:]
            file.seek(0)
            assert file.read(3) == data[:3]

    def test_a_path_leads_to_the_same_bytes_or_there_is_none(self, store):
        path = store.path(store.put([b"content"]).sha256)
        assert path is None or path.read_bytes() == b"content"

    def test_accepts_what_was_announced(self, store):
        data = b"as announced"
        assert store.put([data], sha256=address_of(data), size=len(data)).size == len(data)

    @pytest.mark.parametrize(
        ("sha256", "size"),
        [(address_of(b"other"), None), (None, 3), (None, 5), (address_of(b"data"), 0), (address_of(b""), 4)],
    )
    def test_refuses_other_bytes_than_announced_and_keeps_nothing(self, store, sha256, size):
        with pytest.raises(BlobMismatch):
            store.put([b"data"], sha256=sha256, size=size)
        assert list(store) == []
        with pytest.raises(BlobNotFound):
            store.stat(address_of(b"data"))

    def test_leaves_an_endless_stream_at_the_announced_size(self, store):
        sent = []

        def endless() -> Iterator[bytes]:
            while True:
                sent.append(1)
                yield b"x" * 1000

        with pytest.raises(BlobMismatch):
            store.put(endless(), size=5000)
        assert len(sent) == 6

    def test_keeps_nothing_of_a_stream_that_breaks(self, store):
        def broken() -> Iterator[bytes]:
            yield b"x" * CHUNK
            raise ConnectionResetError("the client went away")

        with pytest.raises(ConnectionResetError):
            store.put(broken())
        assert list(store) == []

    def test_shows_nothing_of_a_blob_before_it_is_whole(self, store):
        data = b"half" + b"half"
        seen = []

        def pieces() -> Iterator[bytes]:
            yield data[:4]
            seen.extend(store)
            with pytest.raises(BlobNotFound):
                store.open(address_of(data))
            with pytest.raises(BlobNotFound):
                store.open(address_of(data[:4]))
            yield data[4:]

        store.put(pieces(), sha256=address_of(data))
        assert seen == []
        assert list(store) == [address_of(data)]

    def test_says_what_is_not_there(self, store):
        for ask in (store.open, store.stat, store.path):
            with pytest.raises(BlobNotFound):
                ask("0" * 64)

    @pytest.mark.parametrize(
        "name", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 65, "0" * 63 + "\n", "tmp"]
    )
    def test_takes_addresses_only(self, store, name):
        for ask in (store.open, store.stat, store.path, store.delete, store.quarantine):
            with pytest.raises(Invalid):
                ask(name)
        with pytest.raises(Invalid):
            store.put([b""], sha256=name)

    def test_putting_twice_is_no_error(self, store):
        assert store.put([b"same"]) == store.put([b"same"])
        assert list(store) == [address_of(b"same")]

    def test_deletes(self, store):
        kept, gone = store.put([b"kept"]), store.put([b"gone"])
        store.delete(gone.sha256)
        store.delete(gone.sha256)
        assert list(store) == [kept.sha256]
        with pytest.raises(BlobNotFound):
            store.open(gone.sha256)
        assert store.put([b"gone"]) == gone
        assert store.stat(gone.sha256) == 4

    def test_what_is_damaged_is_put_aside_and_may_come_again(self, store):
        blob = store.put([b"content"])
        store.quarantine(blob.sha256)
        assert list(store) == []
        for ask in (store.open, store.stat, store.quarantine):
            with pytest.raises(BlobNotFound):
                ask(blob.sha256)
        assert store.put([b"content"]) == blob
        store.quarantine(blob.sha256)
        store.put([b"content"])

    def test_who_reads_may_finish_after_a_deletion(self, store):
        data = random.Random(2).randbytes(3 * CHUNK)
        blob = store.put([data])
        with store.open(blob.sha256) as file:
            head = file.read(10)
            store.delete(blob.sha256)
            assert head + file.read() == data

    def test_names_all_blobs(self, store):
        blobs = {store.put([str(number).encode()]).sha256 for number in range(50)}
        assert set(store) == blobs

    def test_many_writers_of_the_same_and_of_different_blobs(self, store):
        contents = [random.Random(number % 10).randbytes(50_000) for number in range(40)]
        start = threading.Barrier(8)

        def put(part: list[bytes]) -> None:
            start.wait()
            for data in part:
                blob = store.put([data[:30_000], data[30_000:]])
                with store.open(blob.sha256) as file:
                    assert file.read() == data

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(put, [contents[number::8] for number in range(8)]))
        assert set(store) == {address_of(data) for data in contents}
