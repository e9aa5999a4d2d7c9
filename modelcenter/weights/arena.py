"""Memory for the parameters that one load makes: one stretch of it, in huge pages.

Fresh memory costs a fault a page; with pages of 2 MiB there are 500 times fewer of them, and products read
the weights faster later on. But a virtual machine may have given free memory back to its host ("free page
reporting" of its balloon), in large pieces: then each huge page costs milliseconds, and small ones, which
come from what the host still backs, are several times faster.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
import threading
import time
from math import prod
from typing import Any

import torch
from torch import Tensor

HUGE_PAGE = 2 << 20  # bytes
ALIGNMENT = 64  # bytes: a line of the cache, the widest vector
SLOW = 1e-3  # seconds for a huge page: it takes a tenth of that, four times that where the host must find it
SLOW_PAGES = 3  # one after the other, so that it is not this thread that had to wait

# Linux' madvise, called so that Python goes on meanwhile. It takes pages without changing what they hold.
MADV_POPULATE_WRITE = 23
_MADVISE: Any = getattr(ctypes.CDLL(None), "madvise", None) if sys.platform == "linux" else None
if _MADVISE is not None:
    _MADVISE.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


class Arena:
    """Hands out tensors that lie one after the other. The memory goes when the last of them does."""

    def __init__(self, size_bytes: int) -> None:
        """size_bytes: of all tensors together, each rounded up by `needed`."""
        # The start may lie anywhere in a huge page, and only whole ones are taken.
        size = -(-size_bytes // HUGE_PAGE) * HUGE_PAGE + HUGE_PAGE
        self._memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | getattr(mmap, "MAP_ANONYMOUS", 0))
        self._bytes = torch.frombuffer(self._memory, dtype=torch.uint8)
        self._next = -self._bytes.data_ptr() % HUGE_PAGE
        self._backed, self._claiming = self._bytes.data_ptr() + self._next, threading.Lock()
        self._slow, self._is_small = 0, False
        self._advise("MADV_HUGEPAGE", 0)

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """A tensor of its own storage, of which the values are not set."""
        count = prod(shape)
        if not count:
            return torch.empty(shape, dtype=dtype)
        made = torch.frombuffer(self._memory, dtype=dtype, count=count, offset=self._next).view(shape)
        self._next += needed(shape, dtype)
        return made

    def back(self, part: Tensor) -> None:
        """Takes the huge pages up to the end of `part`, before it is written; small ones for all that follow
        where they come slowly. Threads may do so side by side; no value changes."""
        if self._is_small or _MADVISE is None:
            return
        last = sum((n - 1) * step for n, step in zip(part.shape, part.stride(), strict=True))
        stop = part.data_ptr() + (last + 1) * part.itemsize
        with self._claiming:
            start = self._backed
            self._backed = max(start, -(-stop // HUGE_PAGE) * HUGE_PAGE)
            taken = range(start, self._backed, HUGE_PAGE)
        for address in taken:
            before = time.perf_counter()
            if _MADVISE(address, HUGE_PAGE, MADV_POPULATE_WRITE) != 0:
                return
            self._slow = self._slow + 1 if time.perf_counter() - before > SLOW else 0
            if self._slow >= SLOW_PAGES:
                self._is_small = True
                self._advise("MADV_NOHUGEPAGE", address + HUGE_PAGE - self._bytes.data_ptr())
                return

    def settle(self) -> None:
        """Says that all parts are written: what lies in small pages the kernel may join in its own time."""
        if self._is_small:
            self._advise("MADV_HUGEPAGE", 0)

    def _advise(self, advice: str, start: int) -> None:
        """Tells the kernel, where it listens, what to do from `start` on, which is rounded down to a page."""
        start -= start % mmap.PAGESIZE
        if hasattr(mmap, advice) and start < len(self._memory):
            self._memory.madvise(getattr(mmap, advice), start)


def needed(shape: tuple[int, ...], dtype: torch.dtype) -> int:
    """The bytes that such a tensor takes of an arena."""
    return -(-prod(shape) * dtype.itemsize // ALIGNMENT) * ALIGNMENT
