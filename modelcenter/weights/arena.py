"""Memory for the parameters that one load makes: one stretch of it, in huge pages.

Fresh memory costs a fault a page; with pages of 2 MiB there are 500 times fewer of them, and products read
the weights faster later on.
"""

from __future__ import annotations

import mmap
from math import prod

import torch
from torch import Tensor

HUGE_PAGE = 2 << 20  # bytes
ALIGNMENT = 64  # bytes: a line of the cache, the widest vector


class Arena:
    """Hands out tensors that lie one after the other. The memory goes when the last of them does."""

    def __init__(self, size_bytes: int) -> None:
        """size_bytes: of all tensors together, each rounded up by `needed`."""
        # The start may lie anywhere in a huge page, and only whole ones are taken.
        self._memory = mmap.mmap(
            -1, size_bytes + HUGE_PAGE, flags=mmap.MAP_PRIVATE | getattr(mmap, "MAP_ANONYMOUS", 0)
        )
        if hasattr(mmap, "MADV_HUGEPAGE"):
            self._memory.madvise(mmap.MADV_HUGEPAGE)
        self._next = -torch.frombuffer(self._memory, dtype=torch.uint8).data_ptr() % HUGE_PAGE

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """A tensor of its own storage, of which the values are not set."""
        count = prod(shape)
        if not count:
            return torch.empty(shape, dtype=dtype)
        made = torch.frombuffer(self._memory, dtype=dtype, count=count, offset=self._next).view(shape)
        self._next += needed(shape, dtype)
        return made


def needed(shape: tuple[int, ...], dtype: torch.dtype) -> int:
    """The bytes that such a tensor takes of an arena."""
    return -(-prod(shape) * dtype.itemsize // ALIGNMENT) * ALIGNMENT
