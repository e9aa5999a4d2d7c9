"""Attention to what is near, and to a few tokens that see and are seen by all."""

from __future__ import annotations

from dataclasses import dataclass

from modelcenter.errors import ConfigurationInvalid
from modelcenter.models.config.attention import Attention
from modelcenter.models.config.linear import Linear


@dataclass(frozen=True, kw_only=True)
class LocalGlobalAttention(Attention):
    """Longformer's (arXiv:2004.05150 §3): a token sees window/2 tokens to each side, and the global ones;
    these see all, by projections of their own.

    layout `groups`: qkv, global_q and global_kv; `separate`: q, k, v, global_q, global_k and global_v.
    Of what other attentions have it reads bias, scale and window, and refuses the rest.
    """

    window: int
    causal: bool = False

    reads = frozenset(("layout", "bias", "scale", "window"))
    grouped = False
    layouts = ("groups", "separate")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.window < 2 or self.window % 2:
            raise ConfigurationInvalid(f"has a window of {self.window} tokens; expected an even number")

    def linears(self, hidden_size: int) -> dict[str, Linear]:
        own = super().linears(hidden_size)
        size, width = self.num_heads * self.head_dim, self.head_dim

        def of_heads(outputs: int, unit: int) -> Linear:
            return Linear(
                outputs=outputs,
                inputs=hidden_size,
                bias=self.bias in ("qkv", "all"),
                split="outputs",
                unit=unit,
            )

        if self.layout == "separate":
            return {**own, **{f"global_{name}": of_heads(size, width) for name in "qkv"}}
        return {**own, "global_q": of_heads(size, width), "global_kv": of_heads(2 * size, 2 * width)}
