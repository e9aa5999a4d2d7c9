"""Keys and values of earlier tokens: one cache a layer, preallocated, passed in, never hung on a module."""

from __future__ import annotations

import torch
from torch import Tensor


class LayerCache:
    """Keys and values of one layer, (batch, num_kv_heads, capacity, head_dim), filled from the left."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.length = 0
        self.keys: Tensor | None = None
        self.values: Tensor | None = None
        self.memory: tuple[Tensor, Tensor] | None = None  # cross-attention's keys and values, computed once

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append (batch, num_kv_heads, length, head_dim) and return all there is, as views."""
        if self.keys is None or self.values is None:
            # Values may be narrower than keys (latent attention).
            room = [(*x.shape[:2], self.capacity, x.shape[3]) for x in (keys, values)]
            self.keys, self.values = keys.new_empty(room[0]), values.new_empty(room[1])
        stop = self.length + keys.shape[2]
        assert stop <= self.capacity, f"{stop} tokens in a cache made for {self.capacity}"
        self.keys[:, :, self.length : stop] = keys
        self.values[:, :, self.length : stop] = values
        self.length = stop
        return self.keys[:, :, :stop], self.values[:, :, :stop]


class KVCache:
    """The caches of a stack of blocks, for at most `capacity` tokens."""

    def __init__(self, num_layers: int, capacity: int) -> None:
        self.layers = [LayerCache(capacity) for _ in range(num_layers)]

    @property
    def length(self) -> int:
        """How many tokens it holds; a layer without attention holds none."""
        return max((layer.length for layer in self.layers), default=0)


class TextCache(KVCache):
    """Also remembers what was said of each token, (batch, tokens) under a name: what later ones see of it."""

    def __init__(self, num_layers: int, capacity: int) -> None:
        super().__init__(num_layers, capacity)
        self.told: dict[str, Tensor] = {}


def remembered(cache: KVCache | None, told: dict[str, Tensor], length: int) -> dict[str, Tensor]:
    """What is told of `length` new tokens, (batch, length) each, after what the cache holds of earlier ones.

    What already tells of all tokens, (batch, cached + length), stays.
    """
    if not isinstance(cache, TextCache):
        return told
    for name, values in told.items():
        before = cache.told.get(name)
        if before is not None and values.shape[1] == length:
            values = torch.cat((before, values), dim=1)
        cache.told[name] = values
    return dict(cache.told)
