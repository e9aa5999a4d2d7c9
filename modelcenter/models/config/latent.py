"""Multi-head latent attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from modelcenter.errors import ConfigurationInvalid
from modelcenter.models.config.attention import Attention, Layout
from modelcenter.models.config.linear import Linear, Norm
from modelcenter.models.config.parameter import Tree


@dataclass(frozen=True, kw_only=True)
class LatentAttention(Attention):
    """Attention whose keys and values are made from one narrow latent a token (arXiv:2405.04434 §2.1).

        hidden -> q_a -> q_a_norm -> q_b -> [content | rotated] of each head
        hidden -> kv_a -> [latent | rotated]                   one rotated key for all heads
                  latent -> kv_a_norm -> kv_b -> [content of the key | value] of each head

    q_lora_rank: the width of the queries' latent; None: hidden -> q. kv_lora_rank: that of keys and values.
    qk_nope_head_dim, qk_rope_head_dim: the parts of a query and of a key without and with positions, together
    head_dim; v_head_dim: of a value. latent_norm: of both latents. bias: `all`: of q_a, kv_a and
    out. Of what other attentions have it reads causal, scale, rotary and window, and refuses the
    rest.
    """

    q_lora_rank: int | None
    kv_lora_rank: int
    qk_nope_head_dim: int
    qk_rope_head_dim: int
    v_head_dim: int
    latent_norm: Norm
    layout: Layout = "separate"

    reads = frozenset(("causal", "bias", "scale", "rotary", "window"))
    grouped = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bias not in ("none", "all"):
            raise ConfigurationInvalid(
                f"implies bias={self.bias!r} for LatentAttention; expected 'none' or 'all'"
            )
        if self.head_dim != self.qk_nope_head_dim + self.qk_rope_head_dim:
            raise ConfigurationInvalid(
                f"has heads of {self.head_dim} elements; expected qk_nope_head_dim + qk_rope_head_dim, "
                f"{self.qk_nope_head_dim} + {self.qk_rope_head_dim}"
            )
        if self.rotary is not None and self.rotary.turned != self.qk_rope_head_dim:
            raise ConfigurationInvalid(
                f"rotates {self.rotary.turned} elements of a head; expected its qk_rope_head_dim, "
                f"{self.qk_rope_head_dim}"
            )

    def in_layout(self, layout: Literal["fused", "separate"]) -> Self:
        """Itself: its products follow each other."""
        return self

    def linears(self, hidden_size: int) -> dict[str, Linear]:
        # The narrow products are whole on every rank; heads are split where they appear.
        bias, heads = self.bias == "all", self.num_heads

        def of_heads(inputs: int, width: int) -> Linear:
            return Linear(outputs=heads * width, inputs=inputs, split="outputs", unit=width)

        queries = {"q": of_heads(hidden_size, self.head_dim)}
        if self.q_lora_rank is not None:
            queries = {
                "q_a": Linear(outputs=self.q_lora_rank, inputs=hidden_size, bias=bias),
                "q_b": of_heads(self.q_lora_rank, self.head_dim),
            }
        return {
            **queries,
            "kv_a": Linear(outputs=self.kv_lora_rank + self.qk_rope_head_dim, inputs=hidden_size, bias=bias),
            "kv_b": of_heads(self.kv_lora_rank, self.qk_nope_head_dim + self.v_head_dim),
            "out": Linear(
                outputs=hidden_size,
                inputs=heads * self.v_head_dim,
                bias=bias,
                split="inputs",
                unit=self.v_head_dim,
            ),
        }

    def norms(self) -> dict[str, Tree]:
        queries = {"q_a_norm": self.q_lora_rank} if self.q_lora_rank is not None else {}
        sizes = {**queries, "kv_a_norm": self.kv_lora_rank}
        return {name: self.latent_norm.tree(size) for name, size in sizes.items()}
