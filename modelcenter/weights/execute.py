"""Runs a plan: from a checkpoint's tensors to parameters, and back. The one room of the map with torch."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, reduce
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from modelcenter.errors import BeyondRange, Invalid
from modelcenter.weights.arena import HUGE_PAGE, Arena, needed
from modelcenter.weights.indices import Index, Shape
from modelcenter.weights.plan import Assignment
from modelcenter.weights.relations import Piece, sources
from modelcenter.weights.rules import WeightMap
from modelcenter.weights.steps import Step

JOB_ELEMENTS = 2 << 20  # that a thread copies at a time: they stay in its cache while they are looked at

_SETTING = threading.Lock()
Copy = tuple[Tensor, Tensor]  # destination, source
Progress = Callable[[int, int], object]


class Tensors(Protocol):
    """Where stored tensors come from: as views, mapped where possible."""

    def tensor(self, name: str) -> Tensor: ...

    def release(self, name: str) -> None:
        """Gives back the memory that reading the tensor took; its views stay good."""


@dataclass(frozen=True)
class Job:
    """What one thread does at a time: copies from one stored tensor into one parameter."""

    source: str
    parameter: str
    copies: tuple[Copy, ...]

    @property
    def size_bytes(self) -> int:
        """How many bytes are written."""
        return sum(out.nbytes for out, _ in self.copies)


def execute(
    steps: Iterable[Step],
    tensors: Tensors,
    *,
    device: torch.device | str = "cpu",
    clamp: bool = False,
    progress: Progress = lambda done, total: None,
) -> dict[str, Tensor]:
    """Every parameter that a step makes, by name, on `device`.

    What is mapped stays a view of the files. What is copied is written straight into its destination, in
    parallel, in the order of the files; what was read of a file is given back.
    clamp: whether values beyond the range of fp16 become its largest; else they raise BeyondRange.
    progress: told the bytes that are copied, and those that are to be.
    """
    made: dict[str, Tensor] = {}
    copied = []
    is_local = torch.device(device).type == "cpu"
    for step in steps:
        name = step.assignment.parameter
        if step.way == "mapped" and is_local:
            [piece] = step.assignment.pieces
            made[name] = tensors.tensor(piece.source)[tuple(as_slice(index) for index in piece.src)]
        else:
            copied.append((step.assignment, getattr(torch, step.dtype)))
    empty = arena(copied) if is_local else partial(torch.empty, device=device)
    for assignment, dtype in copied:
        made[assignment.parameter] = empty(assignment.shape, dtype=dtype)
    todo = list(jobs((assignment for assignment, _ in copied), tensors, made))
    run(todo, tensors, clamp=clamp, progress=progress)
    return made


def arena(copied: Iterable[tuple[Assignment, torch.dtype]]) -> Callable[..., Tensor]:
    """Makes tensors in memory for all of these."""
    size = sum(needed(assignment.shape, dtype) for assignment, dtype in copied)
    return Arena(size).empty if size >= HUGE_PAGE else torch.empty


def jobs(assignments: Iterable[Assignment], tensors: Tensors, made: Mapping[str, Tensor]) -> Iterator[Job]:
    """The copies that fill these parameters: large ones cut, small ones together."""
    for assignment in assignments:
        out = made[assignment.parameter]
        for piece in assignment.pieces:
            stored = tensors.tensor(piece.source)
            together: list[Copy] = []
            size = 0
            for theirs, ours in slices(piece):
                for copy in cut(out[ours], permuted(stored[theirs], piece.dims)):
                    together.append(copy)
                    size += copy[0].numel()
                    if size >= JOB_ELEMENTS:
                        yield Job(piece.source, assignment.parameter, tuple(together))
                        together, size = [], 0
            if together:
                yield Job(piece.source, assignment.parameter, tuple(together))


def cut(out: Tensor, stored: Tensor) -> Iterator[Copy]:
    """The copy of one tensor to another of its shape, in parts of about JOB_ELEMENTS."""
    while out.ndim > 1 and out.shape[0] == 1:
        out, stored = out[0], stored[0]
    if out.ndim == 0 or out.numel() <= JOB_ELEMENTS:
        yield out, stored
        return
    rows = max(1, JOB_ELEMENTS * out.shape[0] // out.numel())
    yield from zip(out.split(rows), stored.split(rows), strict=True)


def run(todo: list[Job], tensors: Tensors, *, clamp: bool, progress: Progress) -> None:
    """Does the jobs, and gives each stored tensor back after its last. Raises BeyondRange."""
    if not todo:
        return
    left = Counter(job.source for job in todo)
    total, done = sum(job.size_bytes for job in todo), 0

    def do(job: Job) -> Job:
        for out, stored in job.copies:
            out.copy_(stored)
            if out.dtype is torch.float16 and torch.finfo(stored.dtype).max > torch.finfo(out.dtype).max:
                hold_in_range(job, out, stored, clamp=clamp)
        return job

    with copiers() as pool:
        for job in pool.map(do, todo):
            done += job.size_bytes
            progress(done, total)
            left[job.source] -= 1
            if not left[job.source]:
                tensors.release(job.source)


@contextmanager
def copiers() -> Iterator[ThreadPoolExecutor]:
    """Threads of which each computes alone: several fill memory faster than one, and torch's own beside them
    would only fight over the cores."""
    count = min(8, os.cpu_count() or 1)
    started = threading.Barrier(count)

    def compute_alone(_: int) -> None:
        torch.set_num_threads(1)
        started.wait()  # so that each of them says it

    with ThreadPoolExecutor(count) as pool:
        # What one thread sets holds for it and for all that torch has not seen yet: set back at once.
        with _SETTING:
            threads = torch.get_num_threads()
            list(pool.map(compute_alone, range(count)))
            torch.set_num_threads(threads)
        yield pool


def hold_in_range(job: Job, out: Tensor, stored: Tensor, *, clamp: bool) -> None:
    """Makes values that overflowed in `out`, of fp16, its largest ones, or raises BeyondRange."""
    # Infinities and NaN have the largest bits but for the sign: far quicker than torch.isinf.
    if not out.numel() or int((out.view(torch.int16) & 0x7FFF).max()) < 0x7C00:
        return
    lost = torch.isinf(out) & torch.isfinite(stored)
    if not lost.any():
        return
    if not clamp:
        raise BeyondRange(job.source, job.parameter, float(stored[lost].abs().max()))
    out.copy_(torch.where(lost, out.sign() * torch.finfo(torch.float16).max, out))


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
