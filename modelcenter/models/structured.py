"""A decoder of structured texts: CPM-Bee. Source: github.com/OpenBMB/CPM-Bee cpm_live/models/bee.py."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from modelcenter.models import config as c
from modelcenter.models.block import Context
from modelcenter.models.cache import KVCache, TextCache, remembered
from modelcenter.models.decoder import Decoder
from modelcenter.models.masks import blocked, given_seen
from modelcenter.models.output import ModelOutput
from modelcenter.models.parts.positions import rotary_table, rotate
from modelcenter.models.parts.relation import RelationBiasPart

OTHER_TEXT = 1  # the relation of tokens of different samples or spans


class StructuredDecoder(Decoder):
    """Tokens that are given see all that is given; those that are written also what is before them.

    Of a plain text, all is one segment and written.
    """

    config: c.StructuredDecoder
    cache_type = TextCache

    def __init__(self, config: c.StructuredDecoder) -> None:
        super().__init__(config)
        self.position_bias = RelationBiasPart(config.position_bias)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        cache: KVCache | None = None,
        logits_to_keep: int = 0,
        *,
        input_sub: Tensor | None = None,
        context: Tensor | None = None,
        sample_ids: Tensor | None = None,
        num_segments: Tensor | None = None,
        segment: Tensor | None = None,
        segment_rel_offset: Tensor | None = None,
        segment_rel: Tensor | None = None,
        span: Tensor | None = None,
        ext_table_ids: Tensor | None = None,
        ext_table_sub: Tensor | None = None,
    ) -> ModelOutput:
        """input_ids (batch, length), after what `cache` holds, which is extended.

        attention_mask: as in Decoder. Of each new token, (batch, length): position_ids; input_sub, its number
        among those of its name; context, whether it is given; sample_ids, 0 for the text that sees all
        others; segment, its part of the tree, of `num_segments` parts; span: spans do not see each other.
        segment_rel: (batch, relations), the relation of segments q and k at q * num_segments + k +
        segment_rel_offset. ext_table_ids, ext_table_sub: (names,), numbered tokens that get logits of their
        own, after those of the vocabulary.
        """
        past, length = cache.length if cache else 0, input_ids.shape[1]
        none = torch.zeros_like(input_ids)

        def of_each(values: Tensor | None) -> Tensor:
            return none if values is None else values.to(none)

        if position_ids is None:
            position_ids = torch.arange(past, past + length, device=input_ids.device)[None]
        told = {
            "positions": position_ids.expand(len(input_ids), -1),
            "context": of_each(context),
            "samples": of_each(sample_ids),
            "segments": of_each(segment),
            "spans": of_each(span),
        }
        all_told = remembered(cache, told, length)
        row = of_each(segment) * of_each(num_segments) + of_each(segment_rel_offset)
        table = none.new_zeros((len(none), 1)) if segment_rel is None else segment_rel.to(none)
        bias = self.position_bias(all_told["positions"], self.relations(all_told, row, table))
        seen = self.seen(attention_mask, all_told, length)
        bias = (bias + blocked(seen, bias.dtype)).clamp(min=torch.finfo(bias.dtype).min)

        hidden = self.numbered(input_ids, of_each(input_sub))
        given = Context.of(self.config.blocks, lambda _: bias, position_ids, hidden.dtype)
        out = self.told(hidden, given, input_ids, attention_mask, cache, logits_to_keep)
        if ext_table_ids is None or out.logits is None:
            return out
        names = self.numbered(
            ext_table_ids, torch.zeros_like(ext_table_ids) if ext_table_sub is None else ext_table_sub
        )
        more = F.linear(out.last_hidden_state[:, -logits_to_keep:], names)
        return replace(out, logits=torch.cat((out.logits, more), dim=-1))

    def numbered(self, ids: Tensor, numbers: Tensor) -> Tensor:
        """The vectors of tokens, turned by their numbers: (..., tokens) -> (..., tokens, hidden_size)."""
        config = self.config
        hidden = cast(Tensor, self.embedding(ids)) * config.embedding_scale
        rotary = c.Rotary(dim=config.hidden_size, theta=10000.0)
        places = numbers.reshape(1, -1) * config.number_distance
        turned = rotate(
            hidden.reshape(1, 1, -1, config.hidden_size), rotary_table(rotary, places, hidden.dtype)
        )
        return turned.view_as(hidden)

    def together(self, told: dict[str, Tensor], length: int) -> tuple[Tensor, Tensor]:
        """Whether each of the last `length` tokens is of one sample, and of one span, with each of all.

        (batch, length, keys) both.
        """
        samples, spans = told["samples"], told["spans"]
        return (
            samples[:, -length:, None] == samples[:, None, :],
            spans[:, -length:, None] == spans[:, None, :],
        )

    def relations(self, told: dict[str, Tensor], row: Tensor, table: Tensor) -> Tensor:
        """How the segments of the last tokens are related to those of all, (batch, length, keys).

        row: (batch, length), where those of a token begin in the table (batch, relations).
        """
        one_sample, one_span = self.together(told, row.shape[1])
        places = row[:, :, None] + told["segments"][:, None, :]
        places = torch.where(one_sample & one_span, places, 0)
        found = table.gather(1, places.flatten(1)).view_as(places)
        return torch.where(one_sample & one_span, found, OTHER_TEXT)

    def seen(self, attention_mask: Tensor | None, told: dict[str, Tensor], length: int) -> Tensor:
        """What each of the last `length` tokens sees, (batch, 1, length, keys)."""
        if attention_mask is not None and attention_mask.ndim == 3:
            return attention_mask[:, None, -length:].bool()
        one_sample, one_span = self.together(told, length)
        context = told["context"].bool()
        seen = given_seen(context, length)
        seen &= (one_sample | (told["samples"][:, -length:, None] == 0)) & one_span
        if attention_mask is not None:
            seen &= attention_mask[:, None, :].bool()
        return seen[:, None]
