"""Attention by relative positions and segments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from modelcenter.models.config.attention import Attention
from modelcenter.models.config.parameter import Parameter, Tree


@dataclass(frozen=True, kw_only=True)
class RelativeAttention(Attention):
    """Transformer-XL's attention to distances (arXiv:1901.02860 §3.3), with XLNet's to segments
    (arXiv:1906.08237 §2.5). The logit of query i and key j is

        (q_i + content_bias) k_j + (q_i + position_bias) r_ij + (q_i + segment_bias) s_ij

    r_ij: the sinusoids of i - j through a product; s_ij: one of two vectors, of the same segment or another.
    Every product is kept as (hidden_size, num_heads, head_dim), in each layout. causal: whether a query sees
    what is before it alone. furthest: the largest distance, what is beyond counts as that. mirrored: the
    second half of a batch is read from the right.
    Of what other attentions have it reads causal, and refuses the rest.
    """

    furthest: int | None = None  # tokens
    mirrored: bool = False

    reads = frozenset(("causal",))
    grouped = False

    def in_layout(self, layout: Literal["fused", "separate"]) -> Self:
        """Itself: its products stay apart."""
        return self

    def tree(self, hidden_size: int) -> Tree:
        heads, width = self.num_heads, self.head_dim
        products = dict.fromkeys(("q", "k", "v", "out", "position"), (hidden_size, heads, width))
        biases = dict.fromkeys(("content_bias", "position_bias", "segment_bias"), (heads, width))
        return {
            **{name: Parameter(shape, 1, 1) for name, shape in products.items()},
            **{name: Parameter(shape, 0, 1) for name, shape in biases.items()},
            "segments": Parameter((2, heads, width), 1, 1),
        }
