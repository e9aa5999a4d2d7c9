"""How a model knows where its tokens are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from modelcenter.errors import ConfigurationInvalid
from modelcenter.models.config.parameter import Parameter, Tree


@dataclass(frozen=True, kw_only=True)
class RotaryScaling:
    """How rotary frequencies are stretched beyond the length of pretraining.

    linear: positions divided by `factor` (arXiv:2306.15595). llama3: low frequencies only, Llama 3.1's rule.
    yarn: by parts, with the attention scaled by `attention_factor` (arXiv:2309.00071). dynamic: a base that
    grows with the text once it is longer than the original length (arXiv:2309.00071 appendix B.1).
    longrope: every frequency divided by a factor of its own, `long_factors` once the text is longer than the
    original length, else `short_factors` (arXiv:2402.13753).
    doublings: a base that grows by (2 ** (n + 1) - 1) ** (dim / (dim - 2)) once the text is longer than the
    original length and up to 2 ** n times that, and never grows less than for `least_length` tokens (Qwen).
    Where that is set, cosines and sines grow with the logarithm of longer texts, as yarn's (TeleChat).
    """

    kind: Literal["linear", "llama3", "yarn", "dynamic", "longrope", "doublings"]
    factor: float
    original_max_position_embeddings: int = 0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True
    attention_factor: float = 1.0
    short_factors: tuple[float, ...] = ()  # a frequency each
    long_factors: tuple[float, ...] = ()
    least_length: int = 0  # tokens


@dataclass(frozen=True, kw_only=True)
class Rotary:
    """Rotary position embedding of the first `dim` elements of each head (arXiv:2104.09864).

    An odd `dim` has the frequencies of its own, and turns one element more for the last of them (GLM).
    interleaved: pairs are neighbours (0, 1), (2, 3), ..., as in the paper, else halves (0, dim / 2), ...
    axes: how many positions a token has, each of which turns its share of `dim`, the first share first.
    """

    dim: int
    theta: float
    scaling: RotaryScaling | None = None
    interleaved: bool = False
    axes: int = 1

    def __post_init__(self) -> None:
        if self.axes > 1 and self.dim % (2 * self.axes):
            raise ConfigurationInvalid(
                f"rotates {self.dim} elements of a head by {self.axes} positions; expected pairs for each"
            )

    @property
    def turned(self) -> int:
        """How many elements of a head are turned, in pairs."""
        return self.dim + self.dim % 2


@dataclass(frozen=True, kw_only=True)
class Alibi:
    """A penalty per head that grows with the distance (arXiv:2108.12409).

    max_bias: the exponent of the last slope, 2 ** -max_bias. scale: of every slope (Falcon has
    1/sqrt(head_dim)). rounded: slopes, and their products with the places of keys, are bfloat16 (Falcon).
    """

    num_heads: int
    max_bias: float = 8.0
    scale: float = 1.0
    rounded: bool = False


@dataclass(frozen=True, kw_only=True)
class Learned:
    """A learned vector per position.

    offset: rows of the table before that of position 0. counts: which tokens positions count, `all`, those
    that `attention_mask` shows, or those that are not the padding token (fairseq's way; padding then has the
    last row before position 0).
    """

    num_positions: int
    offset: int = 0
    counts: Literal["all", "shown", "not_padding"] = "all"

    @property
    def rows(self) -> int:
        """The rows of the table."""
        return self.offset + self.num_positions

    def tree(self, hidden_size: int) -> Tree:
        return {"weight": Parameter((self.rows, hidden_size))}


@dataclass(frozen=True, kw_only=True)
class Sinusoidal:
    """Fixed sines, then cosines, of the positions (arXiv:1706.03762 §3.5, in halves). No parameters.

    num_positions: None where there is no limit. offset, counts: as those of `Learned`; padding that is not
    counted gets zeros. last_included: whether the frequencies reach 1/10000, as in tensor2tensor and fairseq.
    """

    num_positions: int | None
    offset: int = 0
    counts: Literal["all", "shown", "not_padding"] = "all"
    last_included: bool = False

    def tree(self, hidden_size: int) -> Tree:
        return {}


@dataclass(frozen=True, kw_only=True)
class RelativeBias:
    """T5's bias per head and bucket of distance, added to every layer's logits (arXiv:1910.10683 §2.1)."""

    num_buckets: int
    max_distance: int  # tokens
    bidirectional: bool
    num_heads: int

    def __post_init__(self) -> None:
        exact = self.num_buckets // (4 if self.bidirectional else 2)
        if not 0 < exact < self.max_distance:
            raise ConfigurationInvalid(
                f"puts distances up to {self.max_distance} into {self.num_buckets} buckets; "
                "expected at least four buckets, and more distances than buckets for exact ones"
            )

    def tree(self) -> Tree:
        return {"weight": Parameter((self.num_buckets, self.num_heads), 1, 1)}
