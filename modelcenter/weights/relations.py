"""Weight relations: where each element of one of our tensors lives in a checkpoint.

Layouts of checkpoints differ by names, fusions, orders of rows and stacking; none of these mixes two
elements. So a relation says one thing, `inward`: which part of its children makes up a wanted part of itself,
and how their pieces sit in it. Everything else is read off that: forwards it imports, backwards it exports,
restricted to a rank's indices it shards, summed over a model it accounts for every tensor. Knows elements,
not files and not values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from modelcenter.weights.indices import (
    Index,
    Shape,
    Want,
    at,
    inside,
    moved,
    pick,
    resized,
    series,
    shifted,
    whole,
)

Relation: TypeAlias = "Source | Concat | Take | Stack | Row | Transposed"


@dataclass(frozen=True, eq=False)
class Piece:
    """One rectangular gather: `ours[dst] = theirs[src].permute(dims)`.

    src, dst: an index set per dimension of theirs and of ours. dims[k]: their dimension that is our k-th,
    None where the dimension is ours alone (stacked experts). A dimension of theirs that is none of ours has
    one element.
    """

    source: str
    src: Want
    dst: Want
    dims: tuple[int | None, ...]

    def boxes(self) -> Iterator[tuple[tuple[range, ...], tuple[range, ...]]]:
        """The gather as (src, dst) pairs of plain slices."""
        for found in self.series():
            for numbers in product(*(range(repeat.count) for repeat in found.repeats)):
                src, dst = list(found.src), list(found.dst)
                for number, repeat in zip(numbers, found.repeats, strict=True):
                    src[repeat.src_dim] = moved(src[repeat.src_dim], number * repeat.src_step)
                    dst[repeat.dst_dim] = moved(dst[repeat.dst_dim], number * repeat.dst_step)
                yield tuple(src), tuple(dst)

    def series(self) -> Iterator[Series]:
        """The boxes, those that follow each other at even steps told as one."""
        along = [
            [(None, range(int(i), int(i) + 1), ()) for i in index]
            if d is None
            else list(series(self.src[d], index))
            for d, index in zip(self.dims, self.dst, strict=True)
        ]
        for box in product(*along):
            src: list[range] = [range(int(i[0]), int(i[0]) + 1) if len(i) else range(0) for i in self.src]
            for d, (theirs, *_) in zip(self.dims, box, strict=True):
                if d is not None and theirs is not None:
                    src[d] = theirs
            repeats = tuple(
                Repeat(count, d, theirs_step, k, ours_step)
                for k, (d, (_, _, again)) in enumerate(zip(self.dims, box, strict=True))
                if d is not None
                for count, theirs_step, ours_step in again
            )
            yield Series(tuple(src), tuple(ours for _, ours, _ in box), repeats)


@dataclass(frozen=True, slots=True)
class Repeat:
    """`count` boxes, each `src_step` further along dimension `src_dim` of theirs than the last and `dst_step`
    along `dst_dim` of ours."""

    count: int
    src_dim: int
    src_step: int
    dst_dim: int
    dst_step: int


@dataclass(frozen=True, slots=True)
class Series:
    """Boxes of one size: the first one, and how often it comes again along each dimension."""

    src: tuple[range, ...]
    dst: tuple[range, ...]
    repeats: tuple[Repeat, ...]


Outward: TypeAlias = Callable[[Piece], Piece]
Inward: TypeAlias = "Iterator[tuple[Relation, Shape, Want, Outward]]"


@dataclass(frozen=True)
class Source:
    """A checkpoint tensor, under the first of `names` that the checkpoint has.

    length: how many elements it has along the dimension that an enclosing Concat joins, where that needs to
    know.
    """

    names: tuple[str, ...]
    length: int | None = None


@dataclass(frozen=True)
class Concat:
    """Its parts one after the other along `dim`; one part may leave its length open and takes the rest.

    length: as in Source, where this stands in another Concat.
    """

    parts: tuple[Relation, ...]
    dim: int = 0
    length: int | None = None

    def inward(self, shape: Shape, want: Want) -> Inward:
        dim = self.dim % len(shape)
        lengths = [extent(part, dim, len(shape)) for part in self.parts]
        rest = shape[dim] - sum(length or 0 for length in lengths)
        start = 0
        for part, known in zip(self.parts, lengths, strict=True):
            length = rest if known is None else known
            here = inside(want[dim], start, start + length)
            if len(here):

                def outward(piece: Piece, here: Index = here) -> Piece:
                    return replace(piece, dst=at(piece.dst, dim, pick(here, piece.dst[dim])))

                inner = at(want, dim, shifted(pick(want[dim], here), -start))
                yield part, resized(shape, dim, length), inner, outward
            start += length
        # The shapes come from the same config as the lengths, so a difference is a mistake in a family's
        # file.
        assert start == shape[dim] and rest >= 0, (self, shape)


@dataclass(frozen=True, eq=False)
class Take:
    """`inner[order]` along `dim`: a slice, an interleaving. `of`: the inner tensor's length there."""

    inner: Relation
    order: NDArray[np.int64]
    of: int
    dim: int = 0

    def inward(self, shape: Shape, want: Want) -> Inward:
        dim = self.dim % len(shape)
        assert shape[dim] == len(self.order), (shape, len(self.order))
        yield (
            self.inner,
            resized(shape, dim, self.of),
            at(want, dim, pick(self.order, want[dim])),
            lambda p: p,
        )


@dataclass(frozen=True)
class Stack:
    """Its parts along a new first dimension: experts."""

    parts: tuple[Relation, ...]
    length: int | None = None

    def inward(self, shape: Shape, want: Want) -> Inward:
        assert shape[0] == len(self.parts), (shape, len(self.parts))
        for place, number in enumerate(want[0]):

            def outward(piece: Piece, place: int = place) -> Piece:
                return replace(piece, dst=(range(place, place + 1), *piece.dst), dims=(None, *piece.dims))

            yield self.parts[int(number)], shape[1:], want[1:], outward


@dataclass(frozen=True)
class Row:
    """The only row of a tensor that has one dimension more, the first, of one element."""

    inner: Relation
    length: int | None = None

    def inward(self, shape: Shape, want: Want) -> Inward:
        def outward(piece: Piece) -> Piece:
            return replace(piece, dst=piece.dst[1:], dims=piece.dims[1:])

        yield self.inner, (1, *shape), (range(1), *want), outward


@dataclass(frozen=True)
class Transposed:
    """`inner` with its dimensions in reverse: a matrix that the checkpoint keeps the other way round."""

    inner: Relation
    length: int | None = None

    def inward(self, shape: Shape, want: Want) -> Inward:
        def outward(piece: Piece) -> Piece:
            return replace(piece, dst=piece.dst[::-1], dims=piece.dims[::-1])

        yield self.inner, shape[::-1], want[::-1], outward


def extent(relation: Relation, dim: int, ndim: int) -> int | None:
    """How many elements `relation`, of `ndim` dimensions, has along `dim`; None where it does not say."""
    if isinstance(relation, Take):
        same = relation.dim % ndim == dim
        return len(relation.order) if same else extent(relation.inner, dim, ndim)
    return relation.length


def pieces(relation: Relation, shape: Shape, want: Want) -> Iterator[Piece]:
    """The gathers that make `relation[want]`; their `dst` counts within `want`."""
    if isinstance(relation, Source):
        local = whole([len(index) for index in want])
        yield Piece(relation.names[0], want, local, tuple(range(len(want))))
        return
    for child, inner_shape, inner_want, outward in relation.inward(shape, want):
        yield from map(outward, pieces(child, inner_shape, inner_want))


def sources(relation: Relation, shape: Shape) -> Iterator[tuple[Source, Shape]]:
    """Each checkpoint tensor that `relation` reads, with the shape it must have to make ours of `shape`."""
    if isinstance(relation, Source):
        yield relation, shape
        return
    for child, inner_shape, *_ in relation.inward(shape, whole(shape)):
        yield from sources(child, inner_shape)


def names(relation: Relation) -> Iterator[str]:
    """Every name, alternatives too, of the checkpoint tensors that `relation` reads."""
    match relation:
        case Source():
            yield from relation.names
        case Take() | Row() | Transposed():
            yield from names(relation.inner)
        case _:
            for part in relation.parts:
                yield from names(part)


def renamed(relation: Relation, rename: Callable[[tuple[str, ...]], tuple[str, ...]]) -> Relation:
    """The same relation with every source's names passed through `rename`."""
    # Loading does this for every parameter; dataclasses.replace would take most of its time.
    match relation:
        case Source():
            return Source(rename(relation.names), relation.length)
        case Take():
            return Take(renamed(relation.inner, rename), relation.order, relation.of, relation.dim)
        case Row() | Transposed():
            return type(relation)(renamed(relation.inner, rename), relation.length)
        case Concat():
            parts = tuple(renamed(part, rename) for part in relation.parts)
            return Concat(parts, relation.dim, relation.length)
        case Stack():
            return Stack(tuple(renamed(part, rename) for part in relation.parts), relation.length)
