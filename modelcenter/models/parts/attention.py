"""Multi-head attention over grouped keys and values, in every layout that its config names."""

from __future__ import annotations

from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from modelcenter.models.cache import LayerCache
from modelcenter.models.config import Attention
from modelcenter.models.parts.linear import LinearPart
from modelcenter.models.parts.positions import Table, rotate


def attend(
    q: Tensor, k: Tensor, v: Tensor, *, bias: Tensor | None, causal: bool, scale: float | None
) -> Tensor:
    """Scaled dot-product attention: the one place that chooses causal flag, bias and grouped queries.

    q: (batch, heads, length, head_dim); k, v: (batch, kv heads, keys, head_dim); bias: additive,
    (batch | 1, heads | 1, length, keys), or None: then `causal` queries see what came before them, others
    all. Returns (batch, length, heads * head_dim).
    """
    out = F.scaled_dot_product_attention(
        q,
        k,
        v,
        attn_mask=bias,
        # The flag aligns top left: right without a cache only, and one query after a cache sees everything.
        is_causal=causal and bias is None and q.shape[2] == k.shape[2] and q.shape[2] > 1,
        scale=scale,
        enable_gqa=q.shape[1] != k.shape[1],
    )
    return out.transpose(1, 2).flatten(2)


class AttentionPart(nn.Module):
    """Self-attention; in `CrossAttentionPart`, attention to another stack's output."""

    def __init__(self, config: Attention, hidden_size: int) -> None:
        super().__init__()
        self.config = config
        for name, linear in config.linears(hidden_size).items():
            self.add_module(name, LinearPart(linear))

    def heads(self, x: Tensor) -> Tensor:
        """(batch, length, heads * head_dim) -> (batch, heads, length, head_dim), of the heads held here."""
        return cast(Tensor, x.unflatten(-1, (-1, self.config.head_dim)).transpose(1, 2))

    def project(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """This rank's queries, keys and values, each (batch, heads, length, head_dim)."""
        c = self.config
        if c.layout == "separate":
            q, k, v = (self.heads(self.get_submodule(name)(hidden)) for name in "qkv")
            return q, k, v
        joined = self.get_submodule("qkv")(hidden)
        if c.layout == "sections":
            queries, keys = c.num_heads * c.head_dim, c.num_kv_heads * c.head_dim
            q, k, v = (self.heads(part) for part in joined.split([queries, keys, keys], dim=-1))
            return q, k, v
        # (batch, length, groups, heads of a group, head_dim): head counts come from the tensor, never the
        # config
        groups = joined.unflatten(-1, (-1, c.heads_per_group + 2, c.head_dim))
        q, k, v = groups.split([c.heads_per_group, 1, 1], dim=3)
        return (
            q.flatten(2, 3).transpose(1, 2),
            k.flatten(2, 3).transpose(1, 2),
            v.flatten(2, 3).transpose(1, 2),
        )

    def forward(
        self,
        hidden: Tensor,
        bias: Tensor | None,
        rotary: Table | None = None,
        cache: LayerCache | None = None,
    ) -> Tensor:
        """(batch, length, hidden_size) -> the same shape; `cache` is extended by the new keys and values."""
        q, k, v = self.project(hidden)
        if rotary is not None:
            q, k = rotate(q, rotary), rotate(k, rotary)
        if cache is not None:
            k, v = cache.extend(k, v)
        out = attend(q, k, v, bias=bias, causal=self.config.causal, scale=self.config.scale)
        return cast(Tensor, self.get_submodule("out")(out))


class CrossAttentionPart(AttentionPart):
    """Attention of a decoder to the encoder's output."""

    def remember(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of the encoder's output (batch, source length, hidden_size), this rank's heads."""
        if self.config.layout == "separate":
            return self.heads(self.get_submodule("k")(memory)), self.heads(self.get_submodule("v")(memory))
        pairs = self.get_submodule("kv")(memory).unflatten(-1, (-1, 2, self.config.head_dim))
        k, v = pairs.unbind(3)
        return k.transpose(1, 2), v.transpose(1, 2)

    def forward(  # type: ignore[override]
        self, hidden: Tensor, memory: Tensor, bias: Tensor | None, cache: LayerCache | None = None
    ) -> Tensor:
        """(batch, length, hidden_size) attends to memory (batch, source length, hidden_size)."""
        q = self.heads(self.get_submodule("q")(hidden))
        if cache is None:
            k, v = self.remember(memory)
        else:
            if cache.memory is None:
                cache.memory = self.remember(memory)
            k, v = cache.memory
        out = attend(q, k, v, bias=bias, causal=False, scale=self.config.scale)
        return cast(Tensor, self.get_submodule("out")(out))
