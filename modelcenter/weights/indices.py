"""Index sets along one dimension: a range where they count up by one, else an array. No values, no files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Index: TypeAlias = "range | NDArray[np.int64]"
Want: TypeAlias = tuple[Index, ...]  # one index set per dimension: the rectangle that is asked for
Shape: TypeAlias = tuple[int, ...]


def whole(shape: Sequence[int]) -> Want:
    """All of a tensor of `shape`."""
    return tuple(range(n) for n in shape)


def at(items: tuple[Index, ...], dim: int, item: Index) -> tuple[Index, ...]:
    """`items` with the one at `dim` replaced."""
    return (*items[:dim], item, *items[dim + 1 :])


def resized(shape: Shape, dim: int, length: int) -> Shape:
    """`shape` with `length` elements along `dim`."""
    return (*shape[:dim], length, *shape[dim + 1 :])


def compact(index: NDArray[np.int64]) -> Index:
    """`index` as a range where it is one."""
    if len(index) == 0:
        return range(0)
    first, last = int(index[0]), int(index[-1])
    if last - first + 1 == len(index) and bool((np.diff(index) == 1).all()):
        return range(first, last + 1)
    return index


def pick(index: Index, where: Index) -> Index:
    """`index[where]`."""
    if isinstance(index, range):
        if isinstance(where, range):
            return index[where.start : where.stop]
        return where + index.start
    return compact(index[where.start : where.stop] if isinstance(where, range) else index[where])


def shifted(index: Index, by: int) -> Index:
    """Every element plus `by`."""
    return moved(index, by) if isinstance(index, range) else index + by


def inside(index: Index, start: int, stop: int) -> Index:
    """The places of `index` whose elements lie in [start, stop)."""
    if isinstance(index, range):
        first, last = max(index.start, start), min(index.stop, stop)
        return range(first - index.start, max(last, first) - index.start)
    return compact(np.flatnonzero((index >= start) & (index < stop)))


def moved(index: range, by: int) -> range:
    """A range, every element plus `by`."""
    return range(index.start + by, index.stop + by)


def series(a: Index, b: Index) -> Iterator[tuple[range, range, int, int, int]]:
    """The longest stretches over which two equally long index sets both count up by one, those of one length
    that follow each other at even steps told as one: (a's first, b's first, count, a's step, b's step)."""
    if isinstance(a, range) and isinstance(b, range):
        if len(a):
            yield a, b, 1, 0, 0
        return
    # numpy would make an array of a range element by element.
    left, right = (np.arange(i.start, i.stop) if isinstance(i, range) else i for i in (a, b))
    breaks = np.flatnonzero((np.diff(left) != 1) | (np.diff(right) != 1)) + 1
    starts = np.concatenate(([0], breaks))
    lengths = np.diff(starts, append=len(left))
    at = np.stack((left[starts], right[starts]))
    steps = np.diff(at)
    # After which stretches the one after next does not follow as the next one does.
    uneven = np.flatnonzero((np.diff(lengths)[1:] != 0) | (np.diff(steps) != 0).any(axis=0))
    uneven = np.append(uneven, len(starts) - 2)
    first = 0
    while first < len(starts):
        count = 1
        if first + 1 < len(starts) and lengths[first + 1] == lengths[first] and (steps[:, first] >= 0).all():
            count = int(uneven[np.searchsorted(uneven, first)]) - first + 2
        length = int(lengths[first])
        here, there = (range(int(x), int(x) + length) for x in at[:, first])
        step = (int(steps[0, first]), int(steps[1, first])) if count > 1 else (0, 0)
        yield here, there, count, *step
        first += count


def stretches(index: Index) -> list[tuple[int, int, int]]:
    """(start, stop, step) of ranges that, one after the other, are the index set."""
    if isinstance(index, range):
        return [(index.start, index.stop, 1)] if len(index) else []
    found, first = [], 0
    differences = np.diff(index)
    ends = [*(np.flatnonzero(np.diff(differences)) + 1).tolist(), len(index) - 1]
    for end in ends:
        if end < first:
            continue  # it ended the one before
        start, last = int(index[first]), int(index[end])
        step = int(differences[first]) if end > first else 1
        if step:
            found.append((start, last + (1 if step > 0 else -1), step))
        else:  # the same one again
            found += [(start, start + 1, 1)] * (end - first + 1)
        first = end + 1
    return found
