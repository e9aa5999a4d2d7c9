"""One layer, and a stack of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, Self

from modelcenter.models.config.attention import Attention, CrossAttention
from modelcenter.models.config.disentangled import Convolution
from modelcenter.models.config.feedforward import Experts, FeedForward
from modelcenter.models.config.linear import Norm
from modelcenter.models.config.parameter import Tree, nested, under
from modelcenter.models.config.unread import refuse_unread


@dataclass(frozen=True, kw_only=True)
class Block:
    """One layer.

    norm_placement: where each sublayer f is normalised. `before`: x + f(norm(x)); `after_residual`:
    norm(x + f(x)), as BERT has it; `after_sublayer`: x + norm(f(x)), as OLMo 2; `both`: x + norm(f(norm(x))),
    as Gemma 2.
    residual: `sequential`; `parallel`, x + attention(norm(x)) + feedforward(other_norm(x)), as GPT-NeoX;
    `parallel_one_norm`, both of norm(x), as GPT-J. residual_from_norm: norm(x) takes the place of x in the
    sums (BLOOM). residual_scale: of f before it is added (Granite, MiniCPM). sum_scale: of a sum (CPM-Ant).
    attention_norm: False where the first norm is left out (ModernBERT's first layer). convolution: of what
    comes in, added to what comes out. has_attention, has_feedforward: False where that sublayer is left out
    with its norm (the smaller CPM-Ant and CPM-Bee).
    """

    attention: Attention
    feedforward: FeedForward | Experts
    norm: Norm
    cross_attention: CrossAttention | None = None
    norm_placement: Literal["before", "after_residual", "after_sublayer", "both"] = "before"
    residual: Literal["sequential", "parallel", "parallel_one_norm"] = "sequential"
    residual_from_norm: bool = False
    residual_scale: float = 1.0
    sum_scale: float = 1.0
    attention_norm: bool = True
    convolution: Convolution | None = None
    has_attention: bool = True
    has_feedforward: bool = True

    def __post_init__(self) -> None:
        if self.residual != "sequential":
            one_after_another = ("cross_attention", "norm_placement", "residual_from_norm", "convolution")
            sublayers = ("has_attention", "has_feedforward")
            refuse_unread(self, (*one_after_another, *sublayers), f"a {self.residual} block")
        if self.norm_placement in ("after_residual", "after_sublayer"):
            refuse_unread(self, ("residual_from_norm",), f"a block with norms {self.norm_placement}")

    @property
    def norms(self) -> tuple[str, ...]:
        """The names of its norms, in order."""
        there = {
            "attention": self.has_attention,
            "cross": self.cross_attention is not None,
            "feedforward": self.has_feedforward,
        }
        sublayers = [name for name, is_there in there.items() if is_there]
        names = [f"{name}_norm" for name in sublayers if name != "attention" or self.attention_norm]
        if self.norm_placement == "both":
            names += [f"{name}_post_norm" for name in sublayers]
        if self.residual == "parallel_one_norm":
            names.remove("feedforward_norm")
        return tuple(names)

    def in_layout(self, layout: Literal["fused", "separate"]) -> Self:
        """The same block with every part in that layout."""
        cross = self.cross_attention
        return replace(
            self,
            attention=self.attention.in_layout(layout),
            cross_attention=cross and cross.in_layout(layout),
            feedforward=self.feedforward.in_layout(layout),
        )

    def tree(self, hidden_size: int) -> Tree:
        parts = {
            "attention": self.attention if self.has_attention else None,
            "cross_attention": self.cross_attention,
            "feedforward": self.feedforward if self.has_feedforward else None,
            "convolution": self.convolution,
        }
        return nested(
            {name: part.tree(hidden_size) for name, part in parts.items() if part is not None}
            | dict.fromkeys(self.norms, self.norm.tree(hidden_size))
        )


def stack(blocks: Iterable[Block], hidden_size: int) -> Tree:
    """The parameters of `blocks.0.`, `blocks.1.`, …"""
    known: dict[Block, Tree] = {}  # equal blocks have equal trees; a model has few that differ
    tree: Tree = {}
    for i, block in enumerate(blocks):
        if block not in known:
            known[block] = block.tree(hidden_size)
        tree.update(under(f"blocks.{i}.", known[block]))
    return tree
