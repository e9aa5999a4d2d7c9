"""The lines in which Git speaks: each begins with its length. Knows no repositories.

Source: git's Documentation/gitprotocol-common.txt and gitprotocol-pack.txt.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from itertools import count

from dulwich.protocol import pkt_line

from modelcenter.errors import Invalid, TooLarge
from modelcenter.registry.blobs.interface import Readable

LINES, LINE_BYTES = 100_000, 4096  # of a request, between its marks
REQUEST_BYTES = 8 << 20  # of a whole fetch: 160,000 commits wanted and had
FLUSH, DELIMITER = b"0000", b"0001"
BAND_BYTES = 65_515  # of data in a line of a side band
PACK, PROGRESS, FATAL = 1, 2, 3  # side bands


class Mark(Enum):
    """What may stand between lines."""

    FLUSH = 0
    DELIMITER = 1
    END = 2


class Limited:
    """A stream of at most `most` bytes. Reading what is behind them raises TooLarge."""

    def __init__(self, stream: Readable, most: int) -> None:
        self._stream, self._most, self._left = stream, most, most

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, at most `size`."""
        more = self._left + 1
        data = self._stream.read(more if size < 0 else min(size, more))
        self._left -= len(data)
        if self._left < 0:
            raise TooLarge(f"The request is larger than {self._most} bytes. Ask for less at once.")
        return data


def line(text: str) -> bytes:
    """A line of text, ended by a line feed."""
    return pkt_line(f"{text}\n".encode())


def read(stream: Readable) -> bytes | Mark:
    """The next line without its length and line feed. Raises Invalid for what is none."""
    length = _exactly(stream, 4)
    if not length:
        return Mark.END
    try:
        size = int(length, 16) if len(length) == 4 and length.isalnum() else -1
    except ValueError:
        size = -1
    if 0 <= size <= 2:
        return Mark(size)
    data = _exactly(stream, size - 4) if 4 <= size <= BAND_BYTES + 5 else b""
    if not 4 <= size <= BAND_BYTES + 5 or len(data) != size - 4:
        raise Invalid(f"This is not Git's protocol: a line of it cannot begin with {length!r}.")
    return data.removesuffix(b"\n")


def read_until(stream: Readable, *marks: Mark) -> Iterator[str]:
    """The lines up to one of `marks` or the end, as text. Raises Invalid."""
    for number in count():
        found = read(stream)
        if isinstance(found, Mark):
            break
        if number >= LINES or len(found) > LINE_BYTES:
            raise Invalid(f"The request has more than {LINES} lines, or one of more than {LINE_BYTES} bytes.")
        try:
            yield found.decode()
        except UnicodeDecodeError:
            raise Invalid(f"{found[:200]!r} is not UTF-8.") from None
    if found not in (*marks, Mark.END):
        raise Invalid("This is not Git's protocol: its lines are in the wrong order.")


def band(number: int, chunks: Iterable[bytes], most: int = BAND_BYTES) -> Iterator[bytes]:
    """`chunks` in lines of a side band, of at most `most` bytes and gathered into few of them."""
    waiting = bytearray()
    for chunk in chunks:
        waiting += chunk
        while len(waiting) >= most:
            yield pkt_line(bytes([number]) + waiting[:most])
            del waiting[:most]
    if waiting:
        yield pkt_line(bytes([number]) + waiting)


def _exactly(stream: Readable, size: int) -> bytes:
    """`size` bytes, fewer only at the end."""
    data = b""
    while len(data) < size and (part := stream.read(size - len(data))):
        data += part
    return data
