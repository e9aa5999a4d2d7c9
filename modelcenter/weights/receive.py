"""Makes parameters of bytes while they arrive, in whatever order. Knows destinations, not networks.

What a parameter takes as it is stored lies in its own memory at once. What is cast, fused or moved waits in a
scratch that is given back piece by piece as soon as it was copied on: `wait` holds back whoever brings more.
"""

from __future__ import annotations

import mmap
import threading
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from types import TracebackType
from typing import Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modelcenter.weights.arena import ALIGNMENT
from modelcenter.weights.execute import SCRATCH_ELEMENTS, Job, arena_of, copiers, jobs, perform
from modelcenter.weights.gathered import FRAME_BYTES, Gathered
from modelcenter.weights.indices import Index, Shape, shifted
from modelcenter.weights.plan import Assignment
from modelcenter.weights.steps import Read, Step, Stored

PIECE_BYTES = 1 << 20  # of the scratch, given back together
SCRATCH_BYTES = 64 << 20  # that wait at most, unless a single copy needs more

Bytes = NDArray[np.uint8]


class Place(Protocol):
    """Where bytes `start:stop` of a file go."""

    @property
    def start(self) -> int: ...
    @property
    def stop(self) -> int: ...
    def at(self, position: int) -> int:
        """Where in its memory the byte at `position` of the file goes."""
        ...


@dataclass(frozen=True)
class Own:
    """Memory of a parameter that is one run of a file."""

    start: int
    stop: int
    memory: Bytes

    def at(self, position: int) -> int:
        return position - self.start


@dataclass(frozen=True)
class Box:
    """A place in the scratch for the rectangle of a stored tensor that is wanted.

    lows: where it begins in each dimension; shape: its own, row by row; offset: in the scratch, in bytes.
    """

    stored: Stored
    lows: Shape
    shape: Shape
    offset: int

    @property
    def start(self) -> int:
        return self.stored.start

    @property
    def stop(self) -> int:
        return self.stored.stop

    def at(self, position: int) -> int:
        element, within = divmod(position - self.stored.start, self.stored.itemsize)
        place = 0
        for step, low, length in zip(steps_of(self.stored.shape), self.lows, self.shape, strict=True):
            index, element = divmod(element, step)
            place = place * length + index - low
        return self.offset + place * self.stored.itemsize + within

    def position(self, place: int) -> int:
        """The byte of the file that goes to `place` of the scratch: the inverse of `at`."""
        element, within = divmod(place - self.offset, self.stored.itemsize)
        found = 0
        mine = zip(steps_of(self.shape), steps_of(self.stored.shape), self.lows, strict=True)
        for step, theirs, low in mine:
            index, element = divmod(element, step)
            found += (index + low) * theirs
        return self.stored.start + found * self.stored.itemsize + within


def steps_of(shape: Shape) -> Shape:
    """How many elements one step along each dimension passes over."""
    return tuple(prod(shape[d + 1 :]) for d in range(len(shape)))


class Receiver:
    """Parameters that come about as frames of a stream arrive; `made` has them, by name.

    with Receiver(…) as receiver:     from any thread, each byte once:
        receiver.wait()                   before more is brought
        receiver.write(offset, data)      bytes of the stream
        receiver.finish(frame)            all of the frame is written, and right
    # made is whole
    """

    def __init__(
        self,
        steps: Iterable[Step],
        header: Mapping[str, Stored],
        gathered: Gathered,
        *,
        device: torch.device | str = "cpu",
        clamp: bool = False,
        scratch_bytes: int = SCRATCH_BYTES,
    ) -> None:
        self.gathered, self.clamp, self.scratch_bytes = gathered, clamp, scratch_bytes
        steps = tuple(steps)
        is_local = torch.device(device).type == "cpu"
        wanted = [(step.assignment, getattr(torch, step.dtype)) for step in steps]
        self._arena = arena_of(wanted) if is_local else None
        empty = self._arena.empty if self._arena else partial(torch.empty, device=device)
        self.made = {a.parameter: empty(a.shape, dtype=dtype) for a, dtype in wanted}
        readers = Counter(name for step in steps for name in {p.source for p in step.assignment.pieces})
        moved, places = [], dict[str, list[Own]]()
        for step in steps:
            sources = {piece.source for piece in step.assignment.pieces}
            if step.way == "mapped" and is_local and all(readers[name] == 1 for name in sources):
                for read in step.reads:  # one
                    memory = self.made[step.assignment.parameter].flatten().view(torch.uint8).numpy()
                    places.setdefault(read.file, []).append(Own(read.start, read.stop, memory))
            else:
                moved.append(step.assignment)
        self._scratch = Scratch(moved, header)
        self._places: dict[str, list[Own | Box]] = {name: list(own) for name, own in places.items()}
        for box in self._scratch.boxes.values():
            self._places.setdefault(box.stored.file, []).append(box)
        self._starts = {}
        for name, found in self._places.items():
            found.sort(key=lambda place: place.start)
            self._starts[name] = [place.start for place in found]
        self._changed, self._mine = threading.Condition(), threading.local()
        self._running = 0
        self._failure: BaseException | None = None
        self._stack = ExitStack()
        self._plan_jobs([self._scratch.moved(assignment) for assignment in moved])

    def _plan_jobs(self, moved: Iterable[Assignment]) -> None:
        """Finds out which frames each copy waits for."""
        self._waiting: dict[int, list[Waiting]] = {}
        self._left = 0
        for job in jobs(moved, self._scratch, self.made):
            box, (first, last) = self._scratch.boxes[job.source], self._scratch.range(job)
            waiting = Waiting(job, first, last)
            self._scratch.keep(first, last)
            self._left += 1
            start, stop = self.gathered.extent(
                box.stored.file, box.position(first), box.position(last - 1) + 1
            )
            frames = range(start // FRAME_BYTES, -(-stop // FRAME_BYTES))
            waiting.frames = len(frames)
            for frame in frames:
                self._waiting.setdefault(frame, []).append(waiting)

    def __enter__(self) -> Self:
        self._pool: ThreadPoolExecutor
        self._pool, _ = self._stack.enter_context(copiers())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.fail(error)
        self._stack.close()  # waits for what runs
        if error is None:
            self.check()
            assert not self._left, f"{self._left} copies still wait for bytes"
            if self._arena is not None:
                self._arena.settle()

    @property
    def held_bytes(self) -> int:
        """What the scratch takes at the moment."""
        return self._scratch.held_bytes

    def wait(self) -> None:
        """Returns when there is room for more, or nothing else goes on without it. Raises as `check`."""
        with self._changed:
            while self._scratch.held_bytes > self.scratch_bytes and self._running and not self._failure:
                self._changed.wait()
        self.check()

    def check(self) -> None:
        """Raises what went wrong in any thread: BeyondRange, or what `fail` was told."""
        if self._failure is not None:
            raise self._failure

    def fail(self, error: BaseException) -> None:
        """Ends the work: `wait` and `check` raise this from now on, unless something failed before."""
        with self._changed:
            self._failure = self._failure or error
            self._changed.notify_all()

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Takes bytes of the stream from `offset` on. Written again, they replace the first."""
        given = np.frombuffer(data, np.uint8)
        done = 0
        for read in self.gathered.cut(offset, offset + len(given)):
            self._scatter(read, given[done : done + read.size_bytes])
            done += read.size_bytes

    def _scatter(self, read: Read, given: Bytes) -> None:
        places, starts = self._places[read.file], self._starts[read.file]
        number = bisect_right(starts, read.start) - 1
        if read.count > 1:  # within one tensor
            place = places[number]
            first = place.at(read.start)
            step = place.at(read.start + read.stride) - first
            rows = np.lib.stride_tricks.as_strided(
                self._memory(place, first, first + step * (read.count - 1) + read.size),
                (read.count, read.size),
                (step, 1),
            )
            rows[:] = given.reshape(read.count, read.size)
            return
        start = read.start
        while start < read.stop:
            place = places[number]
            stop = min(read.stop, place.stop)
            first = place.at(start)
            memory = self._memory(place, first, first + stop - start)
            memory[:] = given[start - read.start : stop - read.start]
            start, number = stop, number + 1

    def _memory(self, place: Own | Box, start: int, stop: int) -> Bytes:
        if isinstance(place, Own):
            return place.memory[start:stop]
        return self._scratch.taken(start, stop)

    def finish(self, frame: int) -> None:
        """Lets the copies go on that waited for nothing but this frame."""
        with self._changed:
            ready = []
            for waiting in self._waiting.pop(frame, ()):
                waiting.frames -= 1
                if not waiting.frames:
                    ready.append(waiting)
            self._running += len(ready)
        for waiting in ready:
            done = self._pool.submit(self._do, waiting)
            done.add_done_callback(partial(self._done, waiting))

    def _do(self, waiting: Waiting) -> None:
        if not hasattr(self._mine, "scratch"):
            self._mine.scratch = torch.empty(SCRATCH_ELEMENTS)
        if self._failure is None:
            perform(waiting.job, self._mine.scratch, arena=self._arena, clamp=self.clamp)

    def _done(self, waiting: Waiting, done: Future[None]) -> None:
        if (error := done.exception()) is not None:
            self.fail(error)
        with self._changed:
            self._scratch.give_back(waiting.start, waiting.stop)
            self._running -= 1
            self._left -= 1
            self._changed.notify_all()


@dataclass
class Waiting:
    """A copy, the range of the scratch that it reads, and how many frames of that are to come."""

    job: Job
    start: int
    stop: int
    frames: int = 0


def ends(index: Index) -> tuple[int, int]:
    """The least element of an index set that has any, and one more than the largest."""
    return (index.start, index.stop) if isinstance(index, range) else (int(index.min()), int(index.max()) + 1)


class Scratch:
    """Memory for what is wanted of stored tensors, of which only what waits is taken."""

    def __init__(self, moved: Iterable[Assignment], header: Mapping[str, Stored]) -> None:
        lows: dict[str, list[tuple[int, int]]] = {}
        for piece in (piece for assignment in moved for piece in assignment.pieces):
            if all(map(len, piece.src)):
                here = [ends(index) for index in piece.src]
                known = lows.get(piece.source, here)
                lows[piece.source] = [
                    (min(a, c), max(b, d)) for (a, b), (c, d) in zip(known, here, strict=True)
                ]
        self.boxes: dict[str, Box] = {}
        size = 0
        for name in sorted(lows, key=lambda name: (header[name].file, header[name].start)):
            shape = tuple(stop - start for start, stop in lows[name])
            self.boxes[name] = Box(header[name], tuple(start for start, _ in lows[name]), shape, size)
            size += -(-prod(shape) * header[name].itemsize // ALIGNMENT) * ALIGNMENT
        flags = mmap.MAP_PRIVATE | getattr(mmap, "MAP_ANONYMOUS", 0) | getattr(mmap, "MAP_NORESERVE", 0)
        self._map = mmap.mmap(-1, max(size, 1), flags=flags)
        self._bytes: Bytes = np.frombuffer(self._map, np.uint8)
        self._base = torch.frombuffer(self._map, dtype=torch.uint8).data_ptr()
        self._readers = [0] * (size // PIECE_BYTES + 1)
        self._held: set[int] = set()

    @property
    def held_bytes(self) -> int:
        """What is taken at the moment."""
        return len(self._held) * PIECE_BYTES

    def moved(self, assignment: Assignment) -> Assignment:
        """The assignment as it reads from the boxes."""
        pieces = tuple(
            replace(
                piece,
                src=tuple(
                    shifted(index, -low)
                    for index, low in zip(piece.src, self.boxes[piece.source].lows, strict=True)
                ),
            )
            for piece in assignment.pieces
            if piece.source in self.boxes
        )
        return replace(assignment, pieces=pieces)

    def tensor(self, name: str) -> Tensor:
        """What is wanted of a stored tensor."""
        box = self.boxes[name]
        dtype = getattr(torch, box.stored.torch_dtype)
        return torch.frombuffer(self._map, dtype=dtype, count=prod(box.shape), offset=box.offset).view(
            box.shape
        )

    def release(self, name: str) -> None:
        """Nothing: `give_back` does it, sooner."""

    def range(self, job: Job) -> tuple[int, int]:
        """(start, stop) in the scratch of what a copy reads."""
        first, last = len(self._map), 0
        for _, stored in job.copies:
            start = stored.data_ptr() - self._base
            steps = sum((n - 1) * step for n, step in zip(stored.shape, stored.stride(), strict=True))
            first, last = min(first, start), max(last, start + (steps + 1) * stored.itemsize)
        return first, last

    def taken(self, start: int, stop: int) -> Bytes:
        """The memory from `start` to `stop`, to be written."""
        self._held.update(range(start // PIECE_BYTES, (stop - 1) // PIECE_BYTES + 1))
        return self._bytes[start:stop]

    def keep(self, start: int, stop: int) -> None:
        """Notes that a copy reads this range."""
        for number in range(start // PIECE_BYTES, (stop - 1) // PIECE_BYTES + 1):
            self._readers[number] += 1

    def give_back(self, start: int, stop: int) -> None:
        """Notes that it has, and gives back what nobody else reads."""
        for number in range(start // PIECE_BYTES, (stop - 1) // PIECE_BYTES + 1):
            self._readers[number] -= 1
            if not self._readers[number]:
                self._held.discard(number)
                size = min(PIECE_BYTES, len(self._map) - number * PIECE_BYTES)
                if hasattr(mmap, "MADV_DONTNEED"):
                    self._map.madvise(mmap.MADV_DONTNEED, number * PIECE_BYTES, size)
