"""Multi-head attention over grouped keys and values, in every layout that its config names."""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelcenter.models.cache import LayerCache
from modelcenter.models.config import Attention, QueryKeyNorm
from modelcenter.models.parts.linear import LinearPart, meta_parameter
from modelcenter.models.parts.norms import HeadNormPart, NormPart
from modelcenter.models.parts.positions import RelativeBiasPart, Table, rotate
from modelcenter.models.parts.sharding import local, local_slice, split_group


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    bias: Tensor | None,
    causal: bool,
    scale: float | None,
    cap: float | None = None,
    sinks: Tensor | None = None,
) -> Tensor:
    """Scaled dot-product attention: the one place that chooses causal flag, bias and grouped queries.

    q: (batch, heads, length, head_dim); k, v: (batch, kv heads, keys, head_dim); bias: additive,
    (batch | 1, heads | 1, length, keys), or None: then `causal` queries see what came before them, others
    all. cap, sinks: see `Attention`, sinks (heads,). Returns (batch, length, heads * value head_dim).
    """
    if cap is not None or sinks is not None:
        return _attend_in_steps(q, k, v, bias=bias, causal=causal, scale=scale, cap=cap, sinks=sinks)
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


def _attend_in_steps(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    bias: Tensor | None,
    causal: bool,
    scale: float | None,
    cap: float | None,
    sinks: Tensor | None,
) -> Tensor:
    """The same with what the fused product cannot do to logits, which are fp32 here."""
    groups = q.shape[1] // k.shape[1]
    k, v = (x.repeat_interleave(groups, dim=1) if groups > 1 else x for x in (k, v))
    logits = (q @ k.transpose(2, 3)).float() * (q.shape[-1] ** -0.5 if scale is None else scale)
    if cap is not None:
        logits = cap * torch.tanh(logits / cap)
    if bias is not None:
        logits = logits + bias
    elif causal and q.shape[2] == k.shape[2]:
        ahead = torch.ones(logits.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
        logits = logits.masked_fill(ahead, torch.finfo(logits.dtype).min)
    if sinks is not None:
        logits = torch.cat((logits, sinks.float()[None, :, None, None].expand(*logits.shape[:3], 1)), dim=-1)
    shares = logits.softmax(dim=-1)[..., : k.shape[2]]
    return (shares.to(v.dtype) @ v).transpose(1, 2).flatten(2)


def logarithms(start: int, stop: int, base: int, like: Tensor) -> Tensor:
    """(stop - start, 1): the logarithms to `base` of the numbers, from 1, of tokens `start` to `stop` - 1.

    1 up to that base.
    """
    numbers = torch.arange(start + 1, stop + 1, device=like.device).float()
    return ((numbers.log() / math.log(base)).clamp(min=1.0)[:, None]).to(like.dtype)


class AttentionPart(nn.Module):
    """Self-attention; in `CrossAttentionPart`, attention to another stack's output."""

    def __init__(self, config: Attention, hidden_size: int) -> None:
        super().__init__()
        self.config = config
        for name, linear in config.linears(hidden_size).items():
            self.add_module(name, LinearPart(linear))
        self.add_norms(config)
        if config.relative_bias is not None:
            self.relative_bias = RelativeBiasPart(config.relative_bias)
        if config.sinks:
            self.sinks = meta_parameter((config.num_heads,))

    def add_norms(self, config: Attention) -> None:
        """The norms of queries and keys."""
        if config.query_key_norm is not None:
            norm, over = config.query_key_norm.norm, config.query_key_norm.over
            for name, tree in config.norms().items():
                count = config.num_heads if name == "q_norm" else config.num_kv_heads
                size = config.head_dim * (count if over == "all" else 1)
                self.add_module(name, HeadNormPart(norm, tree) if over == "heads" else NormPart(norm, size))

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

    def normalise(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Queries and keys (batch, heads, length, head_dim) through their norms."""
        norms = (self.get_submodule("q_norm"), self.get_submodule("k_norm"))
        if cast(QueryKeyNorm, self.config.query_key_norm).over != "all":
            q, k = (norm(x) for norm, x in zip(norms, (q, k), strict=True))
            return q, k
        q, k = (self.heads(norm(x.transpose(1, 2).flatten(2))) for norm, x in zip(norms, (q, k), strict=True))
        return q, k

    def turned(self, q: Tensor, k: Tensor, rotary: Table | None) -> tuple[Tensor, Tensor]:
        """Queries and keys normalised and turned by their positions, as far as the config says."""
        c = self.config
        normalised = c.query_key_norm is not None
        last = normalised and cast(QueryKeyNorm, c.query_key_norm).after_rotary
        if normalised and not last:
            q, k = self.normalise(q, k)
        if rotary is not None and c.rotary is not None:
            q, k = (rotate(x, rotary, c.rotary.interleaved, c.rotary.axes) for x in (q, k))
        return self.normalise(q, k) if last else (q, k)

    def biased(self, bias: Tensor | None, q: Tensor, keys: int) -> Tensor | None:
        """The bias of this rank's heads, with that of the layer's own relative positions."""
        if bias is not None and bias.shape[1] not in (1, q.shape[1]):
            weight = cast(LinearPart, self.get_submodule("out")).weight
            bias = local_slice(bias, 1, q.shape[1], split_group(weight, 0 if self.config.transposed else 1))
        if self.config.relative_bias is None:
            return bias
        places = torch.arange(keys, device=q.device)[None]
        own: Tensor = self.relative_bias(places[:, keys - q.shape[2] :], places)
        return own if bias is None else (bias + own).clamp(min=torch.finfo(own.dtype).min)

    def forward(
        self,
        hidden: Tensor,
        bias: Tensor | None,
        rotary: Table | None = None,
        cache: LayerCache | None = None,
    ) -> Tensor:
        """(batch, length, hidden_size) -> the same shape; `cache` is extended by the new keys and values."""
        c = self.config
        q, k, v = self.project(hidden)
        if c.clip is not None:
            q, k, v = (x.clamp(-c.clip, c.clip) for x in (q, k, v))
        q, k = self.turned(q, k, rotary)
        if c.rotate_values and rotary is not None and c.rotary is not None:
            v = rotate(v, rotary, c.rotary.interleaved, c.rotary.axes)
        if cache is not None:
            k, v = cache.extend(k, v)
        if c.log_length is not None:
            q = q * logarithms(k.shape[2] - q.shape[2], k.shape[2], c.log_length, q)
        out = attend(
            q,
            k,
            v,
            bias=self.biased(bias, q, k.shape[2]),
            causal=c.causal,
            scale=c.scale,
            cap=c.cap,
            sinks=local(self.sinks) if c.sinks else None,
        )
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
