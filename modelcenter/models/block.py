"""One layer, and the stack that hands each layer what was computed once for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from torch import Tensor, nn

from modelcenter.models.cache import KVCache, LayerCache
from modelcenter.models.config import Attention, Block, CrossAttention, Experts, FeedForward, Rotary
from modelcenter.models.parts.attention import AttentionPart, CrossAttentionPart
from modelcenter.models.parts.experts import ExpertsPart
from modelcenter.models.parts.feedforward import FeedForwardPart
from modelcenter.models.parts.norms import NormPart
from modelcenter.models.parts.positions import Table

# The one table from a part's config to its module: a new mechanism is a new line.
PARTS: Mapping[type, Callable[[Any, int], nn.Module]] = {
    Attention: AttentionPart,
    CrossAttention: CrossAttentionPart,
    FeedForward: FeedForwardPart,
    Experts: ExpertsPart,
}


def part(config: object, hidden_size: int) -> nn.Module:
    """The module of a part's config."""
    return PARTS[type(config)](config, hidden_size)


@dataclass
class Context:
    """What depends on positions, once a forward: a mask for each window, a table for each rotary config."""

    biases: Mapping[int | None, Tensor | None] = field(default_factory=dict)
    tables: Mapping[Rotary, Table] = field(default_factory=dict)
    memory_bias: Tensor | None = None


class BlockPart(nn.Module):
    """One layer.

    before                                after_residual                     parallel
    x = x + attention(norm(x))            x = norm(x + attention(x))         x = x + attention(norm(x))
    x = x + cross(norm(x), memory)        x = norm(x + cross(x, memory))         + feedforward(other_norm(x))
    x = x + feedforward(norm(x))          x = norm(x + feedforward(x))
    """

    def __init__(self, config: Block, hidden_size: int) -> None:
        super().__init__()
        self.config = config
        self.attention_norm = NormPart(config.norm, hidden_size)
        self.attention = part(config.attention, hidden_size)
        if config.cross_attention is not None:
            self.cross_norm = NormPart(config.norm, hidden_size)
            self.cross_attention = part(config.cross_attention, hidden_size)
        self.feedforward_norm = NormPart(config.norm, hidden_size)
        self.feedforward = part(config.feedforward, hidden_size)

    def forward(
        self,
        hidden: Tensor,
        bias: Tensor | None = None,
        rotary: Table | None = None,
        cache: LayerCache | None = None,
        memory: Tensor | None = None,
        memory_bias: Tensor | None = None,
    ) -> Tensor:
        """(batch, length, hidden_size) -> the same shape; plain tensors in and out, nothing kept without a
        cache.

        bias: additive (batch | 1, heads | 1, length, keys), None for plain causal (or, in an encoder, no
        mask).
        """
        if self.config.residual == "parallel":
            attended = self.attention(self.attention_norm(hidden), bias, rotary, cache)
            return cast(Tensor, hidden + attended + self.feedforward(self.feedforward_norm(hidden)))
        if self.config.norm_placement == "after_residual":
            hidden = self.attention_norm(hidden + self.attention(hidden, bias, rotary, cache))
            if memory is not None:
                hidden = self.cross_norm(hidden + self.cross_attention(hidden, memory, memory_bias, cache))
            return cast(Tensor, self.feedforward_norm(hidden + self.feedforward(hidden)))
        hidden = hidden + self.attention(self.attention_norm(hidden), bias, rotary, cache)
        if memory is not None:
            hidden = hidden + self.cross_attention(self.cross_norm(hidden), memory, memory_bias, cache)
        return cast(Tensor, hidden + self.feedforward(self.feedforward_norm(hidden)))


def run(
    blocks: nn.ModuleList,
    hidden: Tensor,
    context: Context,
    cache: KVCache | None = None,
    memory: Tensor | None = None,
) -> Tensor:
    """The blocks one after the other, each given the mask and the table that its config names."""
    for i, block in enumerate(blocks):
        attention: Attention = block.config.attention  # type: ignore[assignment, union-attr]
        hidden = block(
            hidden,
            context.biases.get(attention.window),
            context.tables[attention.rotary] if attention.rotary else None,
            cache.layers[i] if cache else None,
            memory,
            context.memory_bias,
        )
    return hidden
