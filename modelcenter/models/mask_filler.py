"""ChatGLM-6B: what a mask stands for is written after the text. Source: its modeling_chatglm.py."""

from __future__ import annotations

import torch
from torch import Tensor

from modelcenter.models import config as c
from modelcenter.models.block import Context
from modelcenter.models.cache import KVCache, TextCache, remembered
from modelcenter.models.decoder import Decoder
from modelcenter.models.masks import blocked, given_seen
from modelcenter.models.output import ModelOutput
from modelcenter.models.prefix import first_of


class MaskFiller(Decoder):
    """The text up to the start token is seen whole; what is written sees it, and what is before.

    A token of the text has its place there and 0; one that is written has the place of the mask, of the start
    token where the text has none, and its place in what is written, from 1. Padding on the left takes no
    place.
    """

    config: c.MaskFiller
    derives_positions = True
    cache_type = TextCache

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        cache: KVCache | None = None,
        logits_to_keep: int = 0,
    ) -> ModelOutput:
        """input_ids (batch, length), after what `cache` holds, which is extended.

        attention_mask: (batch, cached + length). position_ids: (batch, 2, length), in the text and in what is
        written; by default derived.
        """
        past, length = cache.length if cache else 0, input_ids.shape[1]
        ids = remembered(cache, {"ids": input_ids}, length)["ids"]
        shown = torch.ones_like(ids) if attention_mask is None else attention_mask
        first = first_of(ids == self.config.start_token_id)[:, None]
        given = torch.arange(past + length, device=ids.device) < first
        axes = (
            self.positions(ids, shown, first)[:, :, -length:]
            if position_ids is None
            else position_ids.transpose(0, 1)
        )
        hidden = self.embed(input_ids, attention_mask, None, past)
        bias = blocked((given_seen(given, length) & shown[:, None, :].bool())[:, None], hidden.dtype)
        context = Context.of(self.config.blocks, lambda _: bias, axes, hidden.dtype)
        return self.told(hidden, context, input_ids, attention_mask, cache, logits_to_keep)

    def positions(self, ids: Tensor, shown: Tensor, first: Tensor) -> Tensor:
        """Both positions of all tokens, (2, batch, keys). first: (batch, 1), where writing starts."""
        keys = ids.shape[1]
        index = torch.arange(keys, device=ids.device).expand_as(ids)
        place = (shown.cumsum(dim=1) - 1).clamp(min=0)
        mask = first.squeeze(1)
        for token in reversed(self.config.mask_token_ids):
            there = first_of(ids == token)
            mask = torch.where(there < keys, there, mask)
        at_mask = place.gather(1, mask.clamp(max=keys - 1)[:, None])
        is_written = index >= first
        return torch.stack(
            (torch.where(is_written, at_mask, place), torch.where(is_written, index - first + 1, 0))
        )
