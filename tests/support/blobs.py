"""Blobs in memory, where what keeps them is not the matter."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO

from modelcenter.errors import BlobNotFound
from modelcenter.registry.blobs.interface import Blob, Source, address, hashed


class MemoryBlobStore:
    """A dictionary that keeps the promises of BlobStore, durability aside."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}
        self.damaged: dict[str, bytes] = {}

    def put(self, stream: Source, *, sha256: str | None = None, size: int | None = None) -> Blob:
        """Keeps the bytes: see BlobStore."""
        if sha256 is not None:
            address(sha256)
        buffer = io.BytesIO()
        blob = hashed(stream, buffer.write, sha256, size)
        self._blobs[blob.sha256] = buffer.getvalue()
        return blob

    def open(self, sha256: str) -> BinaryIO:
        """The bytes as a file: see BlobStore."""
        return io.BytesIO(self._bytes(sha256))

    def path(self, sha256: str) -> None:
        """None, for what is there: see BlobStore."""
        self._bytes(sha256)

    def stat(self, sha256: str) -> int:
        """The blob's size in bytes: see BlobStore."""
        return len(self._bytes(sha256))

    def delete(self, sha256: str) -> None:
        """Forgets the bytes: see BlobStore."""
        self._blobs.pop(address(sha256), None)

    def quarantine(self, sha256: str) -> None:
        """Puts the bytes aside: see BlobStore."""
        self.damaged[sha256] = self._bytes(sha256)
        self.delete(sha256)

    def link(self, sha256: str, *, content_type: str, disposition: str) -> None:
        """None: see BlobStore."""

    def __iter__(self) -> Iterator[str]:
        yield from tuple(self._blobs)

    def _bytes(self, sha256: str) -> bytes:
        try:
            return self._blobs[address(sha256)]
        except KeyError:
            raise BlobNotFound(sha256) from None
