"""Multi-head attention and its kin."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import ClassVar, Literal, Self

from modelcenter.errors import ConfigurationInvalid
from modelcenter.models.config.linear import Linear, Norm
from modelcenter.models.config.parameter import Parameter, Tree, nested
from modelcenter.models.config.positions import Alibi, RelativeBias, Rotary
from modelcenter.models.config.unread import refuse_unread

Layout = Literal["groups", "sections", "separate"]


@dataclass(frozen=True, kw_only=True)
class QueryKeyNorm:
    """Queries and keys are normalised before their product (arXiv:2010.04245, arXiv:2302.05442).

    over: `head`, each head, with one weight for all; `heads`, each head, with weights of its own,
    (num_heads, head_dim); `all`, all heads together, which needs them on one rank. after_rotary: whether
    positions have turned them before.
    """

    norm: Norm
    over: Literal["head", "heads", "all"] = "head"
    after_rotary: bool = False


@dataclass(frozen=True, kw_only=True)
class Attention:
    """Multi-head attention; groups of query heads share a key and a value head (arXiv:2305.13245).

    layout: how q, k and v lie in memory.
      groups    one matrix; for each key/value head its query heads, then k, then v:
                [q1..qn, k1, v1, q1..qn, k2, v2, ..]. A contiguous slice of it is a rank's share.
      sections  one matrix [q | k | v], as some checkpoints store it; it does not shard.
      separate  three matrices.
    scale: of the logits; None: 1/sqrt(head_dim). window: how many tokens back a query sees, itself included;
    where it sees both ways, to each side.
    transposed: the weights are kept (in, out). rotate_values: positions turn the values too (RoFormer).
    cap: logits become cap * tanh(logits / cap) (Gemma 2). clip: the largest absolute value of q, k and v.
    sinks: a learned logit per head that takes its share of the softmax (arXiv:2309.17453; GPT-OSS).
    relative_bias: T5's, of this layer alone (UMT5). length_scaled: see Linear.
    log_length: queries of later tokens grow by the logarithm of their number to this base (arXiv:2202.12172;
    Qwen).
    """

    num_heads: int
    num_kv_heads: int
    head_dim: int
    causal: bool
    layout: Layout = "groups"
    bias: Literal["none", "qkv", "out", "all"] = "none"
    scale: float | None = None
    rotary: Rotary | None = None
    window: int | None = None  # tokens
    transposed: bool = False
    alibi: Alibi | None = None
    query_key_norm: QueryKeyNorm | None = None
    rotate_values: bool = False
    cap: float | None = None
    clip: float | None = None
    sinks: bool = False
    relative_bias: RelativeBias | None = None
    length_scaled: bool = False
    log_length: int | None = None  # tokens

    # Which of these options a kind reads, beyond the numbers of heads and their size; None: all.
    reads: ClassVar[frozenset[str] | None] = None
    grouped: ClassVar[bool] = True  # whether query heads may share a key/value head
    layouts: ClassVar[tuple[Layout, ...]] = ("groups", "sections", "separate")

    def __post_init__(self) -> None:
        kind = type(self).__name__
        if self.reads is not None:
            common = {"num_heads", "num_kv_heads", "head_dim"}
            refuse_unread(self, {f.name for f in fields(Attention)} - common - self.reads, kind)
        if not self.grouped and self.num_heads != self.num_kv_heads:
            raise ConfigurationInvalid(
                f"has {self.num_heads} heads and {self.num_kv_heads} key/value heads; "
                f"expected as many of both for {kind}"
            )
        if self.layout not in self.layouts:
            raise ConfigurationInvalid(
                f"implies layout={self.layout!r} for {kind}; expected one of {', '.join(self.layouts)}"
            )
        if self.num_heads % self.num_kv_heads:
            raise ConfigurationInvalid(
                f"has {self.num_heads} heads and {self.num_kv_heads} key/value heads; "
                "expected a number of heads that is a multiple of the other"
            )
        if self.rotary is not None and not 0 < self.rotary.turned <= self.head_dim:
            raise ConfigurationInvalid(
                f"rotates {self.rotary.turned} of {self.head_dim} elements of a head, in pairs"
            )

    @property
    def heads_per_group(self) -> int:
        """Query heads that share one key/value head."""
        return self.num_heads // self.num_kv_heads

    @property
    def shards(self) -> bool:
        """Whether tensor parallelism can divide its heads."""
        return self.layout != "sections" and (
            self.query_key_norm is None or self.query_key_norm.over != "all"
        )

    def in_layout(self, layout: Literal["fused", "separate"]) -> Self:
        """The same attention with its matrices fused, in groups, or apart."""
        return replace(self, layout="groups" if layout == "fused" else "separate")

    def linears(self, hidden_size: int) -> dict[str, Linear]:
        """The products by name."""
        group = self.heads_per_group * self.head_dim

        def projection(outputs: int, unit: int) -> Linear:
            return Linear(
                outputs=outputs,
                inputs=hidden_size,
                bias=self.bias in ("qkv", "all"),
                transposed=self.transposed,
                split="outputs" if self.shards else None,
                unit=unit,
                length_scaled=self.length_scaled,
            )

        queries, keys = self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        if self.layout == "separate":
            inputs = {
                "q": projection(queries, group),
                "k": projection(keys, self.head_dim),
                "v": projection(keys, self.head_dim),
            }
        else:
            inputs = {"qkv": projection(queries + 2 * keys, group + 2 * self.head_dim)}
        return {**inputs, "out": self._out(hidden_size)}

    def _out(self, hidden_size: int) -> Linear:
        return Linear(
            outputs=hidden_size,
            inputs=self.num_heads * self.head_dim,
            bias=self.bias in ("out", "all"),
            transposed=self.transposed,
            split="inputs" if self.shards else None,
            unit=self.heads_per_group * self.head_dim,
            length_scaled=self.length_scaled,
        )

    def norms(self) -> dict[str, Tree]:
        """The parameters of the norms of queries and keys, by name."""
        if self.query_key_norm is None:
            return {}
        norm, over = self.query_key_norm.norm, self.query_key_norm.over
        heads = {"q_norm": self.num_heads, "k_norm": self.num_kv_heads}
        if over == "head":
            return {name: norm.tree(self.head_dim) for name in heads}
        if over == "all":
            return {name: norm.tree(count * self.head_dim) for name, count in heads.items()}
        units = {"q_norm": self.heads_per_group, "k_norm": 1}
        return {
            name: {
                own: Parameter((count, self.head_dim), 0 if self.shards else None, units[name])
                for own in norm.tree(self.head_dim)
            }
            for name, count in heads.items()
        }

    def tree(self, hidden_size: int) -> Tree:
        linears = {name: linear.tree() for name, linear in self.linears(hidden_size).items()}
        sinks = Parameter((self.num_heads,), 0 if self.shards else None, self.heads_per_group)
        relative = {"relative_bias": self.relative_bias.tree()} if self.relative_bias else {}
        return {**nested({**linears, **self.norms(), **relative}), **({"sinks": sinks} if self.sinks else {})}


@dataclass(frozen=True, kw_only=True)
class CrossAttention(Attention):
    """Attention whose keys and values come from another stack's output.

    layout `groups`: q alone, and one matrix of [k1, v1, k2, v2, ..]; `separate`: three matrices.
    Of what other attentions have it reads bias, scale and length_scaled, and refuses the rest.
    """

    causal: bool = False

    reads = frozenset(("layout", "bias", "scale", "length_scaled"))
    layouts = ("groups", "separate")

    def linears(self, hidden_size: int) -> dict[str, Linear]:
        if self.layout == "separate":
            return super().linears(hidden_size)
        bias = self.bias in ("qkv", "all")
        group = self.heads_per_group * self.head_dim
        keys = self.num_kv_heads * self.head_dim

        def projection(outputs: int, unit: int) -> Linear:
            return Linear(
                outputs=outputs,
                inputs=hidden_size,
                bias=bias,
                split="outputs",
                unit=unit,
                length_scaled=self.length_scaled,
            )

        q = projection(self.num_heads * self.head_dim, group)
        kv = projection(2 * keys, 2 * self.head_dim)
        return {"q": q, "kv": kv, "out": self._out(hidden_size)}
