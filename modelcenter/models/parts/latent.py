"""Multi-head latent attention."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from modelcenter.models.cache import LayerCache
from modelcenter.models.config import Attention, LatentAttention
from modelcenter.models.parts.attention import AttentionPart, attend
from modelcenter.models.parts.norms import NormPart
from modelcenter.models.parts.positions import Table, rotate


class LatentAttentionPart(AttentionPart):
    """Attention to keys and values that are made from one narrow latent a token.

    The cache holds keys and values of every head, not the latent: larger, but a token is expanded once and
    not at every later step, and the cache is that of all other attentions.
    """

    config: LatentAttention

    def add_norms(self, config: Attention) -> None:
        """The norms of the latents."""
        assert isinstance(config, LatentAttention)
        if config.q_lora_rank is not None:
            self.q_a_norm = NormPart(config.latent_norm, config.q_lora_rank)
        self.kv_a_norm = NormPart(config.latent_norm, config.kv_lora_rank)

    def queries(self, hidden: Tensor) -> Tensor:
        """This rank's queries (batch, heads, length, head_dim), not yet turned."""
        if self.config.q_lora_rank is None:
            return self.heads(self.get_submodule("q")(hidden))
        latent = self.q_a_norm(self.get_submodule("q_a")(hidden))
        return self.heads(self.get_submodule("q_b")(latent))

    def forward(
        self,
        hidden: Tensor,
        bias: Tensor | None,
        rotary: Table | None = None,
        cache: LayerCache | None = None,
    ) -> Tensor:
        """(batch, length, hidden_size) -> the same shape; `cache` is extended by the new keys and values."""
        c = self.config
        content, turned = self.queries(hidden).split([c.qk_nope_head_dim, c.qk_rope_head_dim], dim=-1)
        latent, shared = self.get_submodule("kv_a")(hidden).split(
            [c.kv_lora_rank, c.qk_rope_head_dim], dim=-1
        )
        shared = shared[:, None]  # one for all heads
        if rotary is not None and c.rotary is not None:
            turns = c.rotary.interleaved, c.rotary.axes
            turned, shared = (rotate(x, rotary, *turns) for x in (turned, shared))
        q = torch.cat((content, turned), dim=-1)

        made = self.get_submodule("kv_b")(self.kv_a_norm(latent))
        made = made.unflatten(-1, (-1, c.qk_nope_head_dim + c.v_head_dim)).transpose(1, 2)
        content, v = made.split([c.qk_nope_head_dim, c.v_head_dim], dim=-1)
        k = torch.cat((content, shared.expand(-1, content.shape[1], -1, -1)), dim=-1)
        if cache is not None:
            k, v = cache.extend(k, v)
        out = attend(q, k, v, bias=self.biased(bias, q, k.shape[2]), causal=c.causal, scale=c.scale)
        return cast(Tensor, self.get_submodule("out")(out))
