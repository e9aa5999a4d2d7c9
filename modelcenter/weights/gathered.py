"""The bytes of a plan as one stream, and as ranges of the files. Arithmetic on ranges; knows no bytes.

The reads follow each other without gaps, cut into frames, each with its digest after it:

    FRAME_BYTES of the reads | their SHA-256 | the next FRAME_BYTES | … | the rest | its SHA-256
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, groupby

from modelcenter.weights.steps import Read

FRAME_BYTES = 1 << 20
DIGEST_BYTES = 32  # of SHA-256, for which processors have instructions
GAP_BYTES = 256 << 10  # between two ranges that are asked for as one: less than a round trip brings


class Gathered:
    """Reads in the order of the files as one stream. An offset counts the bytes of reads, without digests."""

    def __init__(self, reads: Sequence[Read]) -> None:
        """reads: as `steps.merged` gives them."""
        self.reads = tuple(reads)
        self._starts = [0, *accumulate(read.size_bytes for read in self.reads)]
        numbered = groupby(enumerate(self.reads), key=lambda item: item[1].file)
        self._files = {name: _Shelf(list(mine)) for name, mine in numbered}

    @property
    def size_bytes(self) -> int:
        """The bytes of all reads."""
        return self._starts[-1]

    @property
    def frames(self) -> int:
        """How many frames there are."""
        return -(-self.size_bytes // FRAME_BYTES)

    @property
    def stream_bytes(self) -> int:
        """The bytes of all frames with their digests."""
        return self.size_bytes + self.frames * DIGEST_BYTES

    @property
    def files(self) -> tuple[str, ...]:
        """The files that are read."""
        return tuple(self._files)

    def frame(self, number: int) -> tuple[int, int]:
        """(start, stop) of a frame."""
        return number * FRAME_BYTES, min((number + 1) * FRAME_BYTES, self.size_bytes)

    def address(self, content: Callable[[str], str]) -> str:
        """What names the stream's bytes, in hexadecimal digits. content: what names those of a file."""
        digest = hashlib.sha256(f"modelcenter stream 1 {FRAME_BYTES} sha256\n".encode())
        named = {name: content(name) for name in self._files}
        for read in self.reads:
            line = f"{named[read.file]} {read.start} {read.size} {read.count} {read.stride}\n"
            digest.update(line.encode())
        return digest.hexdigest()

    def cut(self, start: int, stop: int) -> Iterator[Read]:
        """The bytes `start:stop` of the stream as reads of files, in its order."""
        number = bisect_right(self._starts, start) - 1
        while start < stop:
            first = self._starts[number]
            last = min(stop, self._starts[number + 1])
            yield from part(self.reads[number], start - first, last - first)
            start, number = last, number + 1

    def wanted(self, file: str, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """(offset, start, stop) of each run of these bytes of a file that the stream has, with its place."""
        for number in self._touching(file, start, stop):
            read, first = self.reads[number], self._starts[number]
            for row in _rows(read, start, stop):
                begin = read.start + row * read.stride
                one, other = max(start, begin), min(stop, begin + read.size)
                yield first + row * read.size + one - begin, one, other

    def extent(self, file: str, start: int, stop: int) -> tuple[int, int]:
        """The least range of the stream that has all of these bytes of a file which it has; else empty."""
        first, last = self.size_bytes, 0
        for number in self._touching(file, start, stop):
            read, place = self.reads[number], self._starts[number]
            if rows := _rows(read, start, stop):
                skipped = max(0, start - (read.start + rows[0] * read.stride))
                taken = min(read.size, stop - (read.start + rows[-1] * read.stride))
                first = min(first, place + rows[0] * read.size + skipped)
                last = max(last, place + rows[-1] * read.size + taken)
        return (first, last) if first < last else (0, 0)

    def _touching(self, file: str, start: int, stop: int) -> range:
        """Numbers of reads, all of those that touch these bytes among them."""
        shelf = self._files.get(file)
        if shelf is None:
            return range(0)
        return range(
            shelf.first + bisect_right(shelf.stops, start), shelf.first + bisect_left(shelf.starts, stop)
        )


class _Shelf:
    """The reads of one file: the number of the first, where each starts, where all up to it have ended."""

    def __init__(self, mine: Sequence[tuple[int, Read]]) -> None:
        self.first = mine[0][0]
        self.starts = [read.start for _, read in mine]
        self.stops = list(accumulate((read.stop for _, read in mine), max))


def _rows(read: Read, start: int, stop: int) -> range:
    """The runs of a read that touch the bytes `start:stop` of its file."""
    if read.count == 1:
        return range(int(read.start < stop and start < read.stop))
    first = max(0, (start - read.start - read.size) // read.stride + 1)
    return range(first, min(read.count, (stop - 1 - read.start) // read.stride + 1))


def part(read: Read, start: int, stop: int) -> Iterator[Read]:
    """The bytes `start:stop` of those of a read: the rest of a run, whole runs, the beginning of one."""
    if read.count == 1:
        yield Read(read.file, read.start + start, stop - start)
        return
    while start < stop:
        row, inner = divmod(start, read.size)
        place = read.start + row * read.stride + inner
        whole = 0 if inner else (stop - start) // read.size
        length = whole * read.size or min(stop - start, read.size - inner)
        run = Read(read.file, place, length)
        yield Read(read.file, place, read.size, whole, read.stride) if whole > 1 else run
        start += length


def spans(reads: Iterable[Read], gap: int = GAP_BYTES) -> list[Read]:
    """What a server of plain ranges is asked for: one run each, runs that lie within `gap` bytes as one."""
    runs: list[Read] = []
    for read in reads:
        if read.stride - read.size <= gap:
            runs.append(Read(read.file, read.start, read.stop - read.start))
        else:
            runs += (Read(read.file, start, stop - start) for start, stop in read.runs())
    found: list[Read] = []
    for run in sorted(runs, key=lambda run: (run.file, run.start)):
        last = found[-1] if found else None
        if last is not None and last.file == run.file and run.start <= last.stop + gap:
            found[-1] = Read(run.file, last.start, max(last.stop, run.stop) - last.start)
        else:
            found.append(run)
    return found
