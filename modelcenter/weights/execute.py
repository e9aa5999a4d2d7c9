"""Runs a plan: from a checkpoint's tensors to parameters, and back. The one room of the map with torch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial, reduce
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from modelcenter.errors import Invalid
from modelcenter.weights.indices import Index, Shape
from modelcenter.weights.plan import Assignment
from modelcenter.weights.relations import Piece, sources
from modelcenter.weights.rules import WeightMap


class Tensors(Protocol):
    """Where stored tensors come from: as views, mapped where possible."""

    def tensor(self, name: str) -> Tensor: ...


def execute(
    assignments: Iterable[Assignment],
    tensors: Tensors,
    *,
    dtype: torch.dtype,
    device: torch.device,
    others: Mapping[str, torch.dtype] | None = None,
) -> dict[str, Tensor]:
    """Every assigned parameter, by name, as `dtype` on `device`; those that `others` names, as it says.

    Untransformed tensors that keep their dtype stay mapped, by the first parameter that reads them where
    several do; casts, fusions and slices are written straight into their destination, in parallel.
    """
    assignments = tuple(assignments)
    repeats = seen_twice(assignments)

    def assign(assignment: Assignment) -> tuple[str, Tensor]:
        own = (others or {}).get(assignment.parameter, dtype)
        made = assemble(assignment, tensors, own, device)
        return assignment.parameter, made.clone() if assignment.parameter in repeats else made

    # Two or more threads fill memory faster than one; torch's own threads would only fight over the cores.
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        return dict(pool.map(assign, assignments))


def seen_twice(assignments: Iterable[Assignment]) -> set[str]:
    """The parameters that would be views of what an earlier one is a view of: tuned, both would change."""
    viewed: set[object] = set()
    found = set()
    for assignment in assignments:
        if assignment.is_view:
            place = (assignment.pieces[0].source, assignment.pieces[0].src)
            if place in viewed:
                found.add(assignment.parameter)
            viewed.add(place)
    return found


def assemble(assignment: Assignment, tensors: Tensors, dtype: torch.dtype, device: torch.device) -> Tensor:
    """One parameter. A view of the mapped file where nothing has to change, else memory of its own."""
    if assignment.is_view:
        piece = assignment.pieces[0]
        view = tensors.tensor(piece.source)[tuple(as_slice(index) for index in piece.src)]
        return view.to(device=device, dtype=dtype).contiguous()
    out = torch.empty(assignment.shape, dtype=dtype, device=device)
    for piece in assignment.pieces:
        stored = tensors.tensor(piece.source)
        for theirs, ours in slices(piece):
            out[ours].copy_(permuted(stored[theirs], piece.dims))
    return out


Slices = tuple[slice, ...]


def slices(piece: Piece) -> Iterator[tuple[Slices, Slices]]:
    """The gather as pairs of plain slices, into theirs and ours."""
    for theirs, ours in piece.boxes():
        yield tuple(map(as_slice, theirs)), tuple(map(as_slice, ours))


def as_slice(index: Index) -> slice:
    """A range as a slice."""
    assert isinstance(index, range)
    return slice(index.start, index.stop)


def permuted(stored: Tensor, dims: tuple[int | None, ...]) -> Tensor:
    """`stored` seen with our dimensions: theirs in our order, a dimension of one where it is ours alone."""
    alone, order = sides(stored.ndim, dims)
    view = stored.permute(alone + order).flatten(0, len(alone)) if alone else stored.permute(order)
    for k, d in enumerate(dims):
        if d is None:
            view = view.unsqueeze(k)
    return view


def sides(ndim: int, dims: tuple[int | None, ...]) -> tuple[list[int], list[int]]:
    """Of their `ndim` dimensions those that are none of ours, of one element, and the others in our order."""
    order = [d for d in dims if d is not None]
    return [d for d in range(ndim) if d not in order], order


def restored(value: Tensor, dims: tuple[int | None, ...], ndim: int) -> Tensor:
    """The inverse of `permuted`, with their `ndim` dimensions."""
    for k in reversed([k for k, d in enumerate(dims) if d is None]):
        value = value.squeeze(k)
    alone, order = sides(ndim, dims)
    return value[(None,) * len(alone)].permute(np.argsort(alone + order).tolist())


def exported(
    weights: WeightMap, parameters: Mapping[str, Tensor]
) -> Iterator[tuple[str, Shape, torch.dtype, Callable[[], Tensor]]]:
    """(name, shape, dtype, values) of each tensor that the rules read, bit for bit; made when called.

    Raises Invalid where parameters that share a tensor no longer hold the same values.
    """
    parts: dict[str, list[tuple[Tensor, Piece]]] = {}
    shapes: dict[str, Shape] = {}
    for ours, shape in weights.parameters.items():
        for source, stored in sources(weights.rules[ours], shape):
            shapes[source.names[0]] = stored
        for piece in weights.pieces(ours):
            parts.setdefault(piece.source, []).append((parameters[ours], piece))

    def values(name: str) -> Tensor:
        gathers = parts[name]
        out = torch.empty(shapes[name], dtype=dtype_of(gathers), device="cpu")
        left = out.numel()
        for parameter, piece in gathers:
            for theirs, ours in slices(piece):
                value = restored(parameter.detach()[ours], piece.dims, out.ndim)
                if left > 0:
                    out[theirs].copy_(value)
                elif not equal_bits(out[theirs], value.cpu()):
                    raise Invalid(
                        f"{name} belongs to several layers, which no longer hold the same values: "
                        "files of this form cannot tell them apart."
                    )
                left -= value.numel()
        return out

    for name, shape in shapes.items():
        yield name, shape, dtype_of(parts[name]), partial(values, name)


def dtype_of(gathers: Iterable[tuple[Tensor, Piece]]) -> torch.dtype:
    """The dtype that holds every value of the parameters that a tensor is gathered from."""
    return reduce(torch.promote_types, (parameter.dtype for parameter, _ in gathers))


def equal_bits(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors have the same shape, dtype and bits (a NaN equals itself)."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    same_place = a.data_ptr() == b.data_ptr() and a.stride() == b.stride()
    return same_place or torch.equal(
        a.contiguous().flatten().view(torch.uint8), b.contiguous().flatten().view(torch.uint8)
    )
