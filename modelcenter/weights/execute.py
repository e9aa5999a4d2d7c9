"""Runs a plan: from a checkpoint's tensors to parameters, and back. The one room of the map with torch."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
SCRATCH_ELEMENTS = 1 << 20  # that a thread widens at a time
HALVES = frozenset((torch.float16, torch.bfloat16))

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
    arena = arena_of(copied) if is_local else None
    empty = arena.empty if arena else partial(torch.empty, device=device)
    for assignment, dtype in copied:
        made[assignment.parameter] = empty(assignment.shape, dtype=dtype)
    todo = list(jobs((assignment for assignment, _ in copied), tensors, made))
    run(todo, tensors, arena=arena, clamp=clamp, progress=progress)
    return made


def arena_of(copied: Iterable[tuple[Assignment, torch.dtype]]) -> Arena | None:
    """Memory for all of these, None where they are too small to need any of their own."""
    size = sum(needed(assignment.shape, dtype) for assignment, dtype in copied)
    return Arena(size) if size >= HUGE_PAGE else None


def jobs(assignments: Iterable[Assignment], tensors: Tensors, made: Mapping[str, Tensor]) -> Iterator[Job]:
    """The copies that fill these parameters: large ones cut, small ones together."""
    for assignment in assignments:
        out = made[assignment.parameter]
        for piece in assignment.pieces:
            stored = tensors.tensor(piece.source)
            together: list[Copy] = []
            size = 0
            for ours, theirs in views(out, stored, piece):
                for part in cut(ours, theirs, JOB_ELEMENTS):
                    together.append(part)
                    size += part[0].numel()
                    if size >= JOB_ELEMENTS:
                        yield Job(piece.source, assignment.parameter, tuple(together))
                        together, size = [], 0
            if together:
                yield Job(piece.source, assignment.parameter, tuple(together))


def cut(out: Tensor, stored: Tensor, most: int) -> Iterator[Copy]:
    """The copy of one tensor to another of its shape, in parts of at most `most` elements."""
    while out.ndim > 1 and out.shape[0] == 1:
        out, stored = out[0], stored[0]
    if out.ndim == 0 or out.numel() <= most:
        yield out, stored
        return
    rows = max(1, most * out.shape[0] // out.numel())
    for part in zip(out.split(rows), stored.split(rows), strict=True):
        if rows == 1 and out.ndim > 1:
            yield from cut(*part, most)
        else:
            yield part


def run(
    todo: list[Job], tensors: Tensors, *, arena: Arena | None = None, clamp: bool, progress: Progress
) -> None:
    """Does the jobs, and gives each stored tensor back after its last. Raises BeyondRange.

    arena: where their destinations lie.
    """
    if not todo:
        return
    left = Counter(job.source for job in todo)
    total, done = sum(job.size_bytes for job in todo), 0
    waiting, taking = iter(todo), threading.Lock()

    def work() -> None:
        nonlocal done
        scratch = torch.empty(SCRATCH_ELEMENTS)
        while True:
            with taking:
                job = next(waiting, None)
            if job is None:
                return
            perform(job, scratch, arena=arena, clamp=clamp)
            with taking:
                done += job.size_bytes
                progress(done, total)
                left[job.source] -= 1
            if not left[job.source]:
                tensors.release(job.source)

    with copiers() as (pool, count):
        working = [pool.submit(work) for _ in range(count)]
        try:
            for worker in working:
                worker.result()
        finally:
            with taking:
                waiting = iter(())  # where one failed, the others stop
    if arena is not None:
        arena.settle()


def copy(out: Tensor, stored: Tensor, scratch: Tensor) -> None:
    """`out.copy_(stored)`, to the last bit.

    Between the two halves by way of `scratch`, in single precision, which holds every value of both: torch
    has vector code for each of the two steps and none for the direct one (measured: 2.7 to 5 times slower).
    """
    if out.device.type != "cpu" or out.dtype is stored.dtype or not {out.dtype, stored.dtype} <= HALVES:
        out.copy_(stored)
        return
    for ours, theirs in cut(out, stored, len(scratch)):
        wide = scratch[: ours.numel()].view(ours.shape)
        wide.copy_(theirs)
        ours.copy_(wide)


def perform(job: Job, scratch: Tensor, *, arena: Arena | None, clamp: bool) -> None:
    """Does one job. Raises BeyondRange."""
    for out, stored in job.copies:
        if arena is not None:
            arena.back(out)
        copy(out, stored, scratch)
        if out.dtype is torch.float16 and torch.finfo(stored.dtype).max > torch.finfo(out.dtype).max:
            hold_in_range(job, out, stored, clamp=clamp)


@contextmanager
def copiers() -> Iterator[tuple[ThreadPoolExecutor, int]]:
    """Threads, and how many. Each computes alone: several fill memory faster than one, and torch's own beside
    them would only fight over the cores."""
    count = min(8, os.cpu_count() or 1)
    started = threading.Barrier(count)

    def compute_alone(_: int) -> None:
        torch.get_num_threads()  # torch gives a thread the common number when it first sees it: now
        torch.set_num_threads(1)
        started.wait()  # so that each of them says it

    with ThreadPoolExecutor(count) as pool:
        # What one thread sets holds for it and for all that torch has not seen yet: set back at once.
        with _SETTING:
            threads = torch.get_num_threads()
            list(pool.map(compute_alone, range(count)))
            torch.set_num_threads(threads)
        yield pool, count


def hold_in_range(job: Job, out: Tensor, stored: Tensor, *, clamp: bool) -> None:
    """Makes values that overflowed in `out`, of fp16, its largest ones, or raises BeyondRange."""
    if is_finite(out):
        return
    lost = torch.isinf(out) & torch.isfinite(stored)
    if not lost.any():
        return
    if not clamp:
        raise BeyondRange(job.source, job.parameter, float(stored[lost].abs().max()))
    out.copy_(torch.where(lost, out.sign() * torch.finfo(torch.float16).max, out))


def is_finite(values: Tensor) -> bool:
    """Whether none of these fp16 values is infinite or NaN, which have the largest bits of each sign."""
    bits = values.view(torch.int16)
    if not bits.numel():
        return True
    if bits.device.type != "cpu":
        return bool((bits & 0x7FFF).max() < 0x7C00)
    # numpy's maximum of 16 bits is many times quicker than torch.isfinite, and needs no memory.
    signed = bits.numpy()
    return bool(signed.max() < 0x7C00 and signed.view(np.uint16).max() < 0xFC00)


Slices = tuple[slice, ...]


def slices(piece: Piece) -> Iterator[tuple[Slices, Slices]]:
    """The gather as pairs of plain slices, into theirs and ours."""
    for theirs, ours in piece.boxes():
        yield tuple(map(as_slice, theirs)), tuple(map(as_slice, ours))


def views(out: Tensor, stored: Tensor, piece: Piece) -> Iterator[tuple[Tensor, Tensor]]:
    """The gather as copies between views of ours and of theirs, as few as there can be."""
    for found in piece.series():
        ours = out[tuple(map(as_slice, found.dst))]
        theirs = stored[tuple(map(as_slice, found.src))]
        ours = repeated(ours, [(r.count, r.dst_step * ours.stride(r.dst_dim)) for r in found.repeats])
        theirs = repeated(theirs, [(r.count, r.src_step * theirs.stride(r.src_dim)) for r in found.repeats])
        more = len(found.repeats)
        theirs = permuted(theirs, (*range(more), *(None if d is None else d + more for d in piece.dims)))
        # As ours lies in memory, so that parts of it are runs.
        order = sorted(range(ours.ndim), key=ours.stride().__getitem__, reverse=True)
        yield ours.permute(order), theirs.permute(order)


def repeated(box: Tensor, repeats: Sequence[tuple[int, int]]) -> Tensor:
    """The boxes of a tensor as one view: `box`, and before its dimensions one for each (count, step), in
    elements of memory, by which it comes again."""
    if not repeats:
        return box
    counts, steps = zip(*repeats, strict=True)
    return box.as_strided((*counts, *box.shape), (*steps, *box.stride()), box.storage_offset())


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
