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


Repeats: TypeAlias = tuple[tuple[int, int, int], ...]


def series(a: Index, b: Index) -> Iterator[tuple[range, range, Repeats]]:
    """The longest stretches over which two equally long index sets both count up by one: (a's, b's, repeats).

    repeats: (count, a's step, b's step) by which a stretch comes again, outermost first. Stretches of one
    length that follow each other at even steps are told as one, and so are such series of them.
    """
    if isinstance(a, range) and isinstance(b, range):
        if len(a):
            yield a, b, ()
        return
    # numpy would make an array of a range element by element.
    left, right = (np.arange(i.start, i.stop) if isinstance(i, range) else i for i in (a, b))
    breaks = np.flatnonzero((np.diff(left) != 1) | (np.diff(right) != 1)) + 1
    starts = np.concatenate(([0], breaks))
    lengths, places = np.diff(starts, append=len(left)), np.stack((left[starts], right[starts]))
    first, count, steps = evenly(lengths[None], places)
    lengths, places = lengths[first], places[:, first]
    again, times, strides = evenly(np.stack((lengths, count, *steps)), places)
    for group, number, stride in zip(again.tolist(), times.tolist(), strides.T.tolist(), strict=True):
        length = int(lengths[group])
        here, there = (range(int(place), int(place) + length) for place in places[:, group])
        both = ((number, *stride), (int(count[group]), *steps[:, group].tolist()))
        yield here, there, tuple(repeat for repeat in both if repeat[0] > 1)


Integers: TypeAlias = "NDArray[np.int64]"


def evenly(kinds: Integers, places: Integers) -> tuple[Integers, Integers, Integers]:
    """The columns in groups of one kind whose places follow each other at even steps, none of them backwards:
    the first of each group, how many they are, and the steps, 0 for one alone."""
    steps = np.diff(places)
    together = (np.diff(kinds) == 0).all(axis=0) & (steps >= 0).all(axis=0)
    ends = np.flatnonzero(~(together[1:] & (np.diff(steps) == 0).all(axis=0)))
    ends = np.append(ends, len(together) - 1)  # after which of the steps a series cannot go on
    firsts, counts = [], []
    first, total = 0, kinds.shape[1]
    while first < total:
        count = 1
        if first + 1 < total and together[first]:
            count = int(ends[np.searchsorted(ends, first)]) - first + 2
        firsts.append(first)
        counts.append(count)
        first += count
    group, number = np.array(firsts), np.array(counts)
    found = np.append(steps, np.zeros((len(places), 1), np.int64), axis=1)[:, group]
    return group, number, np.where(number > 1, found, 0)


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
