"""Attention of contents to positions and of positions to contents, and the convolution beside it."""

from __future__ import annotations

from dataclasses import dataclass

from modelcenter.errors import ConfigurationInvalid
from modelcenter.models.config.attention import Attention
from modelcenter.models.config.linear import Linear, Norm
from modelcenter.models.config.parameter import Parameter, Tree, under


@dataclass(frozen=True, kw_only=True)
class DisentangledAttention(Attention):
    """DeBERTa's (arXiv:2006.03654 §3.1). The logit of query i and key j is, over its scale,

        q_i k_j + q_i kr_d + qr_d k_j        d: the row of the distance i - j

    kr, qr: keys and queries of a table of distances that all layers share, each term where its flag says so;
    by products of their own, or (`shared`) by those of the contents.
    span: rows of the table to each side. furthest: the distance that the last of them stands for, those
    beyond half the span being counted by logarithms; None: a row a token. What is beyond has the last row.
    query_value_bias: queries and values have biases and keys none (the first DeBERTa's).
    Of what other attentions have it reads layout, bias and window, and refuses the rest.
    """

    span: int
    furthest: int | None = None  # tokens
    content_to_position: bool = False
    position_to_content: bool = False
    shared: bool = False
    position_key_bias: bool = True
    query_value_bias: bool = False
    causal: bool = False

    reads = frozenset(("layout", "bias", "window"))
    grouped = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.furthest is not None and not 0 < self.span // 2 < self.furthest - 1:
            raise ConfigurationInvalid(
                f"puts distances up to {self.furthest} into {self.span} buckets; "
                "expected two at least, and more distances than buckets"
            )

    @property
    def terms(self) -> int:
        """How many products a logit sums."""
        return 1 + self.content_to_position + self.position_to_content

    def linears(self, hidden_size: int) -> dict[str, Linear]:
        def positions(bias: bool) -> Linear:
            return Linear(
                outputs=self.num_heads * self.head_dim,
                inputs=hidden_size,
                bias=bias,
                split="outputs" if self.shards else None,
                unit=self.head_dim,
            )

        own = {}
        if self.content_to_position and not self.shared:
            own["position_k"] = positions(self.position_key_bias)
        if self.position_to_content and not self.shared:
            own["position_q"] = positions(bias=True)
        return {**super().linears(hidden_size), **own}

    def tree(self, hidden_size: int) -> Tree:
        bias = Parameter((self.num_heads * self.head_dim,), 0 if self.shards else None, self.head_dim)
        return {
            **super().tree(hidden_size),
            **(dict.fromkeys(("q_bias", "v_bias"), bias) if self.query_value_bias else {}),
        }


@dataclass(frozen=True, kw_only=True)
class Convolution:
    """A layer's input through a convolution over tokens and an activation, added to its output and normalised
    with it (the large DeBERTa-v2's first layer). width: how many tokens it sees, an odd number."""

    width: int
    groups: int
    activation: str
    norm: Norm

    def tree(self, hidden_size: int) -> Tree:
        return {
            "weight": Parameter((hidden_size, hidden_size // self.groups, self.width)),
            "bias": Parameter((hidden_size,)),
            **under("norm.", self.norm.tree(hidden_size)),
        }
