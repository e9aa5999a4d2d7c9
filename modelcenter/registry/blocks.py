"""Parts of a blob, checked block by block: what was spoilt in the store is not served as if it were good.

The whole blob's SHA-256 vouches for nothing less. So the check that hashes all of it (`fsck`) also keeps what
each block hashes to; whoever reads a part then reads the blocks that it lies in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import BinaryIO

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelcenter.errors import BlobDamaged
from modelcenter.registry.blobs.interface import Blob
from modelcenter.registry.database import insert_missing
from modelcenter.registry.tables import BlobBlocks

BLOCK_BYTES = 1 << 20
DIGEST_BYTES = 32


class Digests:
    """Hashes the blocks of what is added, in its order."""

    def __init__(self) -> None:
        self._done: list[bytes] = []
        self._block, self._length = hashlib.sha256(), 0

    def add(self, data: bytes) -> None:
        """The next bytes."""
        rest = memoryview(data)
        while rest:
            given = rest[: BLOCK_BYTES - self._length]
            self._block.update(given)
            self._length += len(given)
            rest = rest[len(given) :]
            if self._length == BLOCK_BYTES:
                self._done.append(self._block.digest())
                self._block, self._length = hashlib.sha256(), 0

    def all(self) -> list[bytes]:
        """The digest of each block, of the last also where it is not whole."""
        return [*self._done, *([self._block.digest()] if self._length else [])]


def remember(session: Session, sha256: str, found: Digests) -> None:
    """Keeps what the blocks of a sound blob hash to."""
    digests = found.all()
    if len(digests) > 1:
        insert_missing(session, BlobBlocks, [{"sha256": sha256, "digests": b"".join(digests)}])


def known(session: Session, blobs: Iterable[Blob]) -> dict[str, bytes]:
    """What is known of the blocks of these blobs, by address."""
    small = {blob.sha256: bytes.fromhex(blob.sha256) for blob in blobs if blob.size <= BLOCK_BYTES}
    large = [blob.sha256 for blob in blobs if blob.size > BLOCK_BYTES]
    rows = session.scalars(select(BlobBlocks).where(BlobBlocks.sha256.in_(large))) if large else ()
    return small | {row.sha256: row.digests for row in rows}


class Checked:
    """Ranges of a blob's bytes. Knows the last block read, so that neighbours read it once."""

    def __init__(self, file: BinaryIO, blob: Blob, name: str, digests: bytes | None) -> None:
        """name: the file's, for people. digests: of the blocks; None: not known, so that all is taken."""
        self.file, self.blob, self.name, self.digests = file, blob, name, digests
        self._number, self._block = -1, b""

    def read(self, start: int, stop: int) -> bytes:
        """The bytes from `start` up to `stop`. Raises BlobDamaged."""
        if self.digests is None:
            return self._raw(start, stop)
        first, last = start // BLOCK_BYTES, (stop - 1) // BLOCK_BYTES
        blocks = [self._checked(number) for number in range(first, last + 1)]
        blocks[-1] = blocks[-1][: stop - last * BLOCK_BYTES]
        blocks[0] = blocks[0][start - first * BLOCK_BYTES :]
        return b"".join(blocks)

    def _checked(self, number: int) -> bytes:
        if number != self._number:
            assert self.digests is not None
            start, stop = number * BLOCK_BYTES, min((number + 1) * BLOCK_BYTES, self.blob.size)
            block = self._raw(start, stop)
            expected = self.digests[number * DIGEST_BYTES : (number + 1) * DIGEST_BYTES]
            if hashlib.sha256(block).digest() != expected:
                raise self._damaged(start, stop)
            self._number, self._block = number, block
        return self._block

    def _raw(self, start: int, stop: int) -> bytes:
        self.file.seek(start)
        data = self.file.read(stop - start)
        if len(data) != stop - start:
            raise self._damaged(start, stop)
        return data

    def _damaged(self, start: int, stop: int) -> BlobDamaged:
        place = f"between its bytes {start:,} and {stop:,} ({self.name})"
        return BlobDamaged(self.blob.sha256, f"is not what it was when it came, {place}")
