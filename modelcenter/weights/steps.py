"""What a plan does with bytes: which of them each parameter needs, and whether it is mapped or copied.

Arithmetic on shapes and ranges; knows headers, not files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Literal, Protocol

import numpy as np

from modelcenter.weights.indices import Index, Shape
from modelcenter.weights.plan import Assignment, Tensor
from modelcenter.weights.relations import Piece

PAGE = 4096  # bytes


class Stored(Tensor, Protocol):
    """What a header says of a tensor: start -1 where a pickle does not say, stride where not row by row."""

    @property
    def torch_dtype(self) -> str: ...
    @property
    def itemsize(self) -> int: ...
    @property
    def stop(self) -> int: ...
    @property
    def stride(self) -> Shape | None: ...


@dataclass(frozen=True, slots=True)
class Read:
    """`count` runs of `size` bytes of a file, the first at `start`, each `stride` bytes after the last."""

    file: str
    start: int
    size: int
    count: int = 1
    stride: int = 0

    @property
    def size_bytes(self) -> int:
        """The bytes of all runs together."""
        return self.size * self.count

    @property
    def stop(self) -> int:
        """Where the last run ends."""
        return self.start + self.stride * (self.count - 1) + self.size

    def runs(self) -> Iterator[tuple[int, int]]:
        """(start, stop) of each run."""
        for number in range(self.count):
            start = self.start + number * self.stride
            yield start, start + self.size


@dataclass(frozen=True, eq=False)
class Step:
    """How one parameter comes about.

    dtype: that it will have, by torch's name. way: `mapped`, a view of what is stored; `copied`, cast,
    fused or moved into memory of its own. reads: the bytes it needs, in the order of the files.
    """

    assignment: Assignment
    dtype: str
    way: Literal["mapped", "copied"]
    reads: tuple[Read, ...]


def steps(
    assignments: Iterable[Assignment],
    header: Mapping[str, Stored],
    dtypes: Mapping[str, str],
    *,
    mapped: bool = True,
) -> Iterator[Step]:
    """The assignments, each with its bytes and its way.

    dtypes: of the parameters, by torch's names. mapped: whether what is stored as it should be stays where it
    is, each place by the first parameter that reads it: tuned, two views of it would change together.
    """
    viewed: set[object] = set()
    for assignment in assignments:
        pieces, own = assignment.pieces, dtypes[assignment.parameter]
        found = [read for piece in pieces for read in reads(piece, header[piece.source])]
        place = (pieces[0].source, pieces[0].src) if pieces else ()
        is_view = (
            mapped
            and assignment.is_view
            and place not in viewed
            and header[pieces[0].source].torch_dtype == own
            and is_run(pieces[0], header[pieces[0].source])
            and all(read.start % header[pieces[0].source].itemsize == 0 for read in found)
        )
        viewed.add(place if is_view else None)
        yield Step(assignment, own, "mapped" if is_view else "copied", tuple(merged(found)))


def is_run(piece: Piece, stored: Stored) -> bool:
    """Whether what a gather reads of a tensor lies in one run, in its order."""
    inner = [len(index) != n for index, n in zip(piece.src, stored.shape, strict=True)]
    last = max((d for d, is_cut in enumerate(inner) if is_cut), default=0)
    return stored.stride is None and all(len(index) == 1 for index in piece.src[:last])


def reads(piece: Piece, stored: Stored) -> Iterator[Read]:
    """The bytes that a gather reads of a tensor.

    All of its range where a pickle does not keep it row by row; none where the header does not say where.
    """
    if stored.start < 0:
        return
    if stored.stride is not None:
        yield Read(stored.file, stored.start, stored.stop - stored.start)
        return
    if all(is_all(index, n) for index, n in zip(piece.src, stored.shape, strict=True)):
        if 0 not in stored.shape:
            yield Read(stored.file, stored.start, prod(stored.shape) * stored.itemsize)
        return
    for theirs, _ in piece.boxes():
        yield from box_reads(theirs, stored)


def is_all(index: Index, n: int) -> bool:
    """Whether an index set along a dimension of `n` elements holds each of them once, in whatever order."""
    if len(index) != n or isinstance(index, range):
        return len(index) == n
    seen = np.zeros(n, bool)
    seen[index] = True
    return bool(seen.all())


def box_reads(box: Sequence[range], stored: Stored) -> Iterator[Read]:
    """The bytes of one rectangle of a tensor that lies row by row."""
    if not all(len(index) for index in box):
        return
    cut = [d for d, index in enumerate(box) if len(index) != stored.shape[d]]
    inner = cut[-1] if cut else 0  # from here on, what is wanted of a row is one run
    steps = [prod(stored.shape[d + 1 :]) * stored.itemsize for d in range(len(box))]
    size = prod(map(len, box[inner:])) * stored.itemsize
    first = stored.start + box[inner].start * steps[inner] if box else stored.start
    if inner == 0:
        yield Read(stored.file, first, size)
        return
    rows = box[inner - 1]
    for outer in product(*box[: inner - 1]):
        start = first + sum(place * step for place, step in zip(outer, steps, strict=False))
        yield Read(stored.file, start + rows.start * steps[inner - 1], size, len(rows), steps[inner - 1])


def merged(found: Iterable[Read]) -> list[Read]:
    """The same bytes in the order of the files, each once, runs that touch each other as one."""
    ordered: list[Read] = []
    for read in sorted(set(found), key=lambda read: (read.file, read.start)):
        last = ordered[-1] if ordered else None
        if read.count > 1 and read.size == read.stride:
            read = Read(read.file, read.start, read.size_bytes)
        plain = last is not None and last.count == 1 and read.count == 1 and last.file == read.file
        if last is not None and plain and read.start <= last.stop:
            ordered[-1] = replace(last, size=max(last.stop, read.stop) - last.start)
        else:
            ordered.append(read)
    return ordered


def touched(found: Iterable[Read]) -> int:
    """The bytes of the pages that these reads touch, which is what a file gives at the least."""
    total, file, after = 0, "", -1
    for read in found:
        if read.file != file:
            file, after = read.file, -1
        if read.stride and read.stride - read.size < PAGE:  # no page between two runs is spared
            spans: Iterable[tuple[int, int]] = ((read.start, read.stop),)
        else:
            spans = read.runs()
        for start, stop in spans:
            first, end = max(start // PAGE, after), -(-stop // PAGE)
            total += max(end - first, 0) * PAGE
            after = max(after, end)
    return total
