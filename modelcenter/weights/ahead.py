"""Reads mapped parameters in the background, ahead of their first use.

A mapped page costs a fault when it is first read, and a file that is not in the page cache a wait each time.
Two threads take the first half and the second; who computes meanwhile finds most pages there.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor

from modelcenter.weights.steps import PAGE

THREADS = 2
CHUNK = 16 << 20  # bytes between two looks whether anybody still wants them
MEMINFO = Path("/proc/meminfo")


def read_ahead(parameters: Iterable[Tensor]) -> None:
    """Starts to read every page of these tensors, which lie in one run of memory each.

    Nothing is read where they are more than the memory that is free for them, or where the system does not
    say how much that is. It ends by itself, at once where the tensors are dropped.
    """
    tensors = list(parameters)
    sums = list(accumulate(tensor.nbytes for tensor in tensors))
    if not tensors or sums[-1] > available_bytes():
        return
    parts: list[list[weakref.ref[Tensor]]] = [[] for _ in range(THREADS)]
    for tensor, end in zip(tensors, sums, strict=True):
        parts[(end - 1) * THREADS // sums[-1]].append(weakref.ref(tensor))
    for part in parts:
        # No daemons: torch's code cannot be left in its middle when the interpreter ends.
        threading.Thread(target=read, args=(part,), name="modelcenter-read-ahead").start()


def read(tensors: Iterable[weakref.ref[Tensor]]) -> None:
    """Reads one byte of every page of the tensors, until one of them is gone or the program ends."""
    for held in tensors:
        start, size = 0, 1
        while start < size:
            tensor = held()
            if tensor is None or not threading.main_thread().is_alive():
                return
            # numpy reads without Python's lock, and without torch's threads.
            bytes_ = tensor.detach().view(-1).view(torch.uint8).numpy()
            bytes_[start : start + CHUNK : PAGE].max(initial=0)
            start, size = start + CHUNK, len(bytes_)
            del tensor, bytes_


def available_bytes() -> int:
    """The memory that can be had without swapping, 0 where the system does not tell."""
    try:
        lines = MEMINFO.read_text("ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), 0)
