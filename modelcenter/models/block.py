"""One layer, and the stack that hands each layer what was computed once for all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, nn

from modelcenter.models.cache import KVCache, LayerCache
from modelcenter.models.config import (
    Alibi,
    Attention,
    Block,
    Convolution,
    CrossAttention,
    DisentangledAttention,
    Experts,
    FeedForward,
    LatentAttention,
    LocalGlobalAttention,
    RelativeAttention,
    Rotary,
)
from modelcenter.models.parts.attention import AttentionPart, CrossAttentionPart
from modelcenter.models.parts.disentangled import ConvolutionPart, DisentangledAttentionPart
from modelcenter.models.parts.experts import ExpertsPart
from modelcenter.models.parts.feedforward import FeedForwardPart
from modelcenter.models.parts.latent import LatentAttentionPart
from modelcenter.models.parts.local_global import LocalGlobalAttentionPart
from modelcenter.models.parts.norms import NormPart
from modelcenter.models.parts.positions import Table, rotary_table
from modelcenter.models.parts.relative import RelativeAttentionPart

# The one table from a part's config to its module: a new mechanism is a new line.
PARTS: Mapping[type, Callable[[Any, int], nn.Module]] = {
    Attention: AttentionPart,
    Convolution: ConvolutionPart,
    CrossAttention: CrossAttentionPart,
    DisentangledAttention: DisentangledAttentionPart,
    FeedForward: FeedForwardPart,
    Experts: ExpertsPart,
    LatentAttention: LatentAttentionPart,
    LocalGlobalAttention: LocalGlobalAttentionPart,
    RelativeAttention: RelativeAttentionPart,
}


def part(config: object, hidden_size: int) -> nn.Module:
    """The module of a part's config."""
    return PARTS[type(config)](config, hidden_size)


BiasKey: TypeAlias = "tuple[int | None, Alibi | None]"


def bias_key(attention: Attention) -> BiasKey:
    """What an attention's additive bias depends on."""
    return attention.window, attention.alibi


@dataclass
class Context:
    """What depends on positions, once a forward: a bias for each window, a table for each rotary config.

    relative: embeddings of relative positions, for attentions that read them; segments: (batch, length,
    length), for those that do: whether key and query are of two segments.
    """

    biases: Mapping[BiasKey, Tensor | None] = field(default_factory=dict)
    tables: Mapping[Rotary, Table] = field(default_factory=dict)
    memory_bias: Tensor | None = None
    relative: Tensor | None = None
    segments: Tensor | None = None

    @classmethod
    def of(
        cls,
        blocks: Iterable[Block],
        bias: Callable[[BiasKey], Tensor | None],
        positions: Tensor,
        dtype: torch.dtype,
    ) -> Context:
        """What `blocks` need. bias: that of a key; positions and dtype: as `rotary_table` takes them."""
        attentions = {block.attention for block in blocks}
        rotaries = {attention.rotary for attention in attentions if attention.rotary}
        return cls(
            biases={key: bias(key) for key in set(map(bias_key, attentions))},
            tables={rotary: rotary_table(rotary, positions, dtype) for rotary in rotaries},
        )


class BlockPart(nn.Module):
    """One layer.

    before           x = x + f(norm(x))            parallel           x = x + attention(norm(x))
    after_residual   x = norm(x + f(x))                                   + feedforward(other_norm(x))
    after_sublayer   x = x + norm(f(x))            parallel_one_norm  x = x + attention(norm(x))
    both             x = x + norm(f(norm(x)))                             + feedforward(norm(x))

    f: attention, then cross-attention to the memory where there is one, then feedforward.
    """

    def __init__(self, config: Block, hidden_size: int) -> None:
        super().__init__()
        self.config = config
        if config.has_attention:
            self.attention = part(config.attention, hidden_size)
        if config.cross_attention is not None:
            self.cross_attention = part(config.cross_attention, hidden_size)
        if config.has_feedforward:
            self.feedforward = part(config.feedforward, hidden_size)
        if config.convolution is not None:
            self.convolution = part(config.convolution, hidden_size)
        for name in config.norms:
            self.add_module(name, NormPart(config.norm, hidden_size))

    def forward(
        self,
        hidden: Tensor,
        bias: Tensor | None = None,
        rotary: Table | None = None,
        cache: LayerCache | None = None,
        memory: Tensor | None = None,
        memory_bias: Tensor | None = None,
        relative: Tensor | None = None,
        segments: Tensor | None = None,
    ) -> Tensor:
        """(batch, length, hidden_size) -> the same shape; plain tensors in and out, nothing kept without a
        cache.

        bias: additive (batch | 1, heads | 1, length, keys), None for plain causal (or, in an encoder, no
        mask).
        """
        more = tuple(x for x in (relative, segments) if x is not None)

        def attention(x: Tensor) -> Tensor:
            return cast(Tensor, self.attention(x, bias, rotary, cache, *more))

        if self.config.residual != "sequential":
            return self.parallel(hidden, attention)
        incoming = hidden
        if self.config.has_attention:
            hidden = self.sublayer("attention", hidden, attention)
        if memory is not None:
            hidden = self.sublayer(
                "cross", hidden, lambda x: self.cross_attention(x, memory, memory_bias, cache)
            )
        if self.config.has_feedforward:
            hidden = self.sublayer("feedforward", hidden, self.feedforward)
        if self.config.convolution is not None:
            hidden = self.convolution(incoming, hidden)
        return hidden

    def normed(self, name: str, hidden: Tensor) -> Tensor:
        """`hidden` through the norm of that name, itself where the block has none."""
        return cast(Tensor, self.get_submodule(name)(hidden)) if name in self.config.norms else hidden

    def added(self, hidden: Tensor, made: Tensor) -> Tensor:
        """What a sublayer made, added to what came in."""
        c = self.config
        total = hidden + (made if c.residual_scale == 1.0 else made * c.residual_scale)
        return total if c.sum_scale == 1.0 else total * c.sum_scale

    def sublayer(self, name: str, hidden: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
        """One sublayer with its norms and its residual."""
        place = self.config.norm_placement
        if place == "after_residual":
            return self.normed(f"{name}_norm", self.added(hidden, f(hidden)))
        if place == "after_sublayer":
            return self.added(hidden, self.normed(f"{name}_norm", f(hidden)))
        normed = self.normed(f"{name}_norm", hidden)
        made = self.normed(f"{name}_post_norm", f(normed))
        return self.added(normed if self.config.residual_from_norm else hidden, made)

    def parallel(self, hidden: Tensor, attention: Callable[[Tensor], Tensor]) -> Tensor:
        """Attention and feedforward side by side, of one norm or of one each."""
        first = self.normed("attention_norm", hidden)
        one = self.config.residual == "parallel_one_norm"
        second = first if one else self.normed("feedforward_norm", hidden)
        return self.added(hidden, attention(first) + self.feedforward(second))


def run(
    blocks: nn.ModuleList,
    hidden: Tensor,
    context: Context,
    cache: KVCache | None = None,
    memory: Tensor | None = None,
) -> Tensor:
    """The blocks one after the other, each given the bias and the table that its config names."""
    for i, block in enumerate(blocks):
        attention: Attention = block.config.attention  # type: ignore[assignment, union-attr]
        hidden = block(
            hidden,
            context.biases[bias_key(attention)] if context.biases else None,
            context.tables[attention.rotary] if attention.rotary else None,
            cache.layers[i] if cache else None,
            memory,
            context.memory_bias,
            context.relative,
            context.segments,
        )
    return hidden
