"""What a blob store promises. Knows bytes and their SHA-256, nothing of repositories or rights."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

from modelcenter.errors import BlobMismatch, Invalid

CHUNK = 1 << 20  # bytes read at once while streaming
MOST_BYTES = 2**63 - 1  # of a file that both databases can count


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

    def quarantine(self, sha256: str) -> None:
        """Takes a damaged blob out of the store and keeps its bytes aside for people. Raises BlobNotFound."""
        ...

    def link(self, sha256: str, *, content_type: str, disposition: str) -> str | None:
        """A signed address from which a client may read the blob itself, answered with these two headers.

        None where clients cannot reach the store, or should not. Does not ask whether the blob is there.
        """
        ...

    def __iter__(self) -> Iterator[str]:
        """The addresses of all whole blobs, in no order; one put or deleted meanwhile may appear or not."""
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an upload, numbered from 1, as the store acknowledged it."""

    number: int
    etag: str


@runtime_checkable
class DirectStore(Protocol):
    """A store that clients can reach: they send to signed addresses, and the hub takes over what has arrived.

    `name` is the hub's own for each upload; nothing under it is a blob before `accept`.
    """

    @property
    def takes_uploads(self) -> bool:
        """Whether clients may be sent to the store."""
        ...

    def upload_link(self, name: str, blob: Blob, *, seconds: int) -> str:
        """Where to PUT the bytes of `blob`; length and hash are signed, for stores that enforce them."""
        ...

    def begin_parts(self, name: str) -> str:
        """Begins an upload in parts and returns the store's id of it."""
        ...

    def part_link(self, name: str, upload: str, number: int, size: int, *, seconds: int) -> str:
        """Where to PUT part `number`, of so many bytes."""
        ...

    def finish_parts(self, name: str, upload: str, parts: Sequence[Part]) -> None:
        """Puts the parts together; again is no error. Raises Invalid where they are not all there."""
        ...

    def accept(self, name: str, blob: Blob) -> bool:
        """Makes what has arrived under `name` the announced blob, and says whether anything had.

        It is read back and hashed before it gets its address. Raises BlobMismatch, and removes it then.
        """
        ...

    def clear(self, before: datetime) -> None:
        """Removes what began to arrive before that moment and never became a blob."""
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
    for chunk in pieces(stream):
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


def pieces(stream: Source) -> Iterator[bytes]:
    """The stream's bytes, a little at a time."""
    if not isinstance(stream, Readable):
        yield from stream
        return
    while chunk := stream.read(CHUNK):
        yield chunk
