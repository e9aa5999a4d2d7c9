"""What a blob store promises. Knows bytes and their SHA-256, nothing of repositories or rights."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

from modelcenter.errors import BlobMismatch, Invalid

CHUNK = 1 << 20  # bytes read at once while streaming


@runtime_checkable
class Readable(Protocol):
    """Anything to read bytes from: a file, a request's body."""

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes; empty at the end."""
        ...


@dataclass(frozen=True, slots=True)
class Blob:
    """The address and the length of stored bytes."""

    sha256: str
    size: int


Source = Readable | Iterable[bytes]


class BlobStore(Protocol):
    """Content addressed by SHA-256. A blob is there whole or not at all, and never changes.

    All methods may be called from many threads and processes at once. Addresses are 64 lower-case hexadecimal
    digits; anything else is Invalid.
    """

    def put(self, stream: Source, *, sha256: str | None = None, size: int | None = None) -> Blob:
        """Stores the bytes and returns their address, once they are durable: a crash loses nothing.

        They are hashed while they stream, always. Where `sha256` or `size` is given and differs, raises
        BlobMismatch; then, as after any exception of the stream itself, nothing is kept. Putting what is
        there already is no error and makes it new: garbage collection counts its age from then.
        """
        ...

    def open(self, sha256: str) -> BinaryIO:
        """The blob as a seekable file, for reading whole or in ranges. Raises BlobNotFound."""
        ...

    def path(self, sha256: str) -> Path | None:
        """The blob's file, to read only; None where the store is no local directory. Raises BlobNotFound."""
        ...

    def stat(self, sha256: str) -> int:
        """The blob's size in bytes. Raises BlobNotFound."""
        ...

    def delete(self, sha256: str) -> None:
        """Removes the blob; no error where it is not there. Who reads it at the moment may finish."""
        ...

    def __iter__(self) -> Iterator[str]:
        """The addresses of all whole blobs, in no order; one put or deleted meanwhile may appear or not."""
        ...


def address(sha256: str) -> str:
    """`sha256`, if it is an address. Raises Invalid: what is none never reaches a path."""
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise Invalid(f"{sha256!r} is no SHA-256: expected 64 lower-case hexadecimal digits.")
    return sha256


def hashed(stream: Source, write: Callable[[bytes], object], sha256: str | None, size: int | None) -> Blob:
    """Passes the stream on to `write`, piece by piece, and returns what it was. Raises BlobMismatch.

    A stream longer than announced is left at once: its sender decides no further how much is written.
    """
    digest, length = hashlib.sha256(), 0
    for chunk in _chunks(stream):
        length += len(chunk)
        if size is not None and length > size:
            raise BlobMismatch(f"{size} bytes", "more")
        digest.update(chunk)
        write(chunk)
    if size is not None and length != size:
        raise BlobMismatch(f"{size} bytes", f"{length} bytes")
    if sha256 is not None and digest.hexdigest() != sha256:
        raise BlobMismatch(sha256, digest.hexdigest())
    return Blob(digest.hexdigest(), length)


def _chunks(stream: Source) -> Iterator[bytes]:
    if not isinstance(stream, Readable):
        yield from stream
        return
    while chunk := stream.read(CHUNK):
        yield chunk
