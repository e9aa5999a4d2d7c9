"""Decoders of texts whose first part is seen whole: CPM-1, CPM-3, CPM-Ant, GLM."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from modelcenter.errors import Invalid
from modelcenter.models import config as c
from modelcenter.models.block import Context
from modelcenter.models.cache import KVCache, TextCache, remembered
from modelcenter.models.decoder import Decoder
from modelcenter.models.masks import blocked, given_seen
from modelcenter.models.output import ModelOutput
from modelcenter.models.parts.linear import EmbeddingPart, Holder
from modelcenter.models.parts.positions import RelativeBiasPart
from modelcenter.models.parts.relation import RelationBiasPart, segment_relations
from modelcenter.models.parts.sharding import local


class PrefixDecoder(Decoder):
    """Context sees itself whole, also what follows; what is written sees the context and what is before it.

    Where prompts have a default type and nothing is said of segments, they are put before the text, all of
    which is context in segment 2; token 0 is padding on the left, of segment 0, whatever `attention_mask`
    says. Source: transformers modeling_cpmant.py.
    """

    config: c.PrefixDecoder
    cache_type = TextCache

    def __init__(self, config: c.PrefixDecoder) -> None:
        super().__init__(config)
        prompts, size, bias = config.prompts, config.hidden_size, config.position_bias
        self.position_bias = (
            RelativeBiasPart(bias) if isinstance(bias, c.RelativeBias) else RelationBiasPart(bias)
        )
        self.prompt_embedding = Holder(prompts.tree(size)) if prompts else None
        self.segment_embedding = EmbeddingPart(config.segment_types, size) if config.segment_types else None

    def new_cache(self, capacity: int) -> KVCache:
        """With room for the prompts that may be put before the text."""
        return super().new_cache(capacity + (self.config.prompts.length if self.config.prompts else 0))

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        cache: KVCache | None = None,
        logits_to_keep: int = 0,
        *,
        token_type_ids: Tensor | None = None,
        context: Tensor | None = None,
        span: Tensor | None = None,
    ) -> ModelOutput:
        """input_ids (batch, length), after what `cache` holds, which is extended.

        attention_mask: as in Decoder; of three dimensions, it is all that counts. Of each new token, or of
        the cached ones too: position_ids; token_type_ids, its segment; context, whether it is given and not
        written; span: tokens of different spans do not see each other. Raises Invalid for either where the
        default prompts are put before the text: of those it tells nothing.
        """
        past, batch = cache.length if cache else 0, len(input_ids)
        prompts = self.config.prompts
        is_plain = prompts is not None and prompts.default is not None and token_type_ids is None
        if is_plain and not (context is None and span is None):
            raise Invalid(
                "context and span tell of every token, those of the prompt too: give token_type_ids with "
                "them, and input_ids that begin with the prompt's; or neither, for a text alone."
            )
        hidden = self.embedded(input_ids, past, is_plain)
        length = hidden.shape[1]
        told = {"ids": input_ids}
        if is_plain:
            if past == 0:
                told["ids"] = F.pad(input_ids, (length - input_ids.shape[1], 0), value=-1)
            told["segments"] = torch.where(told["ids"] > 0, 2, 0)
            told["context"] = torch.ones_like(told["ids"])
        else:
            told["segments"] = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
            told["context"] = torch.zeros_like(input_ids) if context is None else context.to(input_ids)
        # CPM-Ant knows the distance alone, whatever positions are told.
        if position_ids is None or (prompts is not None and prompts.default is not None):
            position_ids = torch.arange(past, past + length, device=hidden.device)[None]
        told["positions"] = position_ids.reshape(-1, position_ids.shape[-1]).expand(batch, -1)
        told["spans"] = torch.zeros_like(told["ids"]) if span is None else span
        all_told = remembered(cache, told, length)

        if self.segment_embedding is not None:
            hidden = hidden + self.segment_embedding(all_told["segments"][:, -length:])
        if self.config.embedding_scale != 1.0:
            hidden = hidden * self.config.embedding_scale
        if is_plain:
            attention_mask = self.shown(all_told["ids"])
        positions = all_told["positions"]
        bias = self.bias_of(positions, all_told["segments"], length)
        seen = self.seen(attention_mask, all_told, length)
        bias = (bias + blocked(seen, bias.dtype)).clamp(min=torch.finfo(bias.dtype).min)
        given = Context.of(self.config.blocks, lambda _: bias, positions[:, -length:], hidden.dtype)
        return self.told(hidden, given, input_ids, attention_mask, cache, logits_to_keep)

    def bias_of(self, positions: Tensor, segments: Tensor, length: int) -> Tensor:
        """What positions and segments of all tokens, (batch, keys), add to the logits of the last `length`,
        (batch, heads, length, keys)."""
        config = self.config.position_bias
        if isinstance(config, c.RelativeBias):
            return cast(Tensor, self.position_bias(positions[:, -length:], positions))
        relations = segment_relations(config, segments[:, -length:], segments)
        return cast(Tensor, self.position_bias(positions, relations))

    def embedded(self, input_ids: Tensor, past: int, is_plain: bool) -> Tensor:
        """The vectors of prompts and tokens, (batch, length, hidden_size), before anything is added."""
        prompts, table = self.config.prompts, self.prompt_embedding
        if prompts is None or table is None or past:
            return cast(Tensor, self.embedding(input_ids))
        vectors, text, length = local(table.held("weight")), input_ids, prompts.length
        if is_plain and prompts.default is not None:
            chosen = vectors[prompts.default * length : (prompts.default + 1) * length]
            chosen = chosen.expand(len(input_ids), -1, -1)
        else:
            chosen, text = F.embedding(input_ids[:, :length], vectors), input_ids[:, length:]
        return torch.cat((chosen, self.embedding(text)), dim=1)

    def shown(self, ids: Tensor) -> Tensor:
        """Of all ids, prompts being negative, those that are no padding on the left: (batch, keys)."""
        behind = torch.arange(ids.shape[1] - 1, -1, -1, device=ids.device)
        return (behind < (ids > 0).sum(dim=1, keepdim=True)) | (ids < 0)

    def seen(self, attention_mask: Tensor | None, told: dict[str, Tensor], length: int) -> Tensor:
        """What each of the last `length` tokens sees, (batch, 1, length, keys)."""
        context, spans = told["context"].bool(), told["spans"]
        if attention_mask is not None and attention_mask.ndim == 3:
            seen = attention_mask[:, -length:].bool()
        else:
            seen = given_seen(context, length)
            if attention_mask is not None:
                seen = seen & attention_mask[:, None, :].bool()
        return (seen & (spans[:, -length:, None] == spans[:, None, :]))[:, None]


def first_of(is_it: Tensor) -> Tensor:
    """The place of the first true value in each row of (batch, keys); `keys` where there is none."""
    return torch.where(is_it.any(dim=1), is_it.int().argmax(dim=1), is_it.shape[1])


class BlankFiller(Decoder):
    """GLM: each span that was cut from the text is written after it.

    Every token sees the text up to the first span, and what is before it. A token of a span has the position
    of the mask that stands for the span, and its place behind the first start token. Source: arXiv:2103.10360
    §2.2; model-center model/glm.py, which does not count anew from the second span on: its checkpoints are
    of models that compute so. Where the tokens that tell a span are not known, a text has none that it does
    not state by `sep` and `position_ids`.
    """

    config: c.BlankFiller
    derives_positions = True
    cache_type = TextCache

    def __init__(self, config: c.BlankFiller) -> None:
        super().__init__(config)
        self.block_embedding = EmbeddingPart(config.block_positions.rows, config.hidden_size)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        cache: KVCache | None = None,
        logits_to_keep: int = 0,
        *,
        block_position_ids: Tensor | None = None,
        sep: Tensor | None = None,
    ) -> ModelOutput:
        """input_ids (batch, length), after what `cache` holds, which is extended.

        attention_mask: (batch, cached + length). position_ids, block_position_ids: (batch, length), by
        default derived; position_ids (batch, 2, length) are both. sep: (batch,), the place of the first start
        token, by default where it stands; the number of tokens where there is none.
        """
        if position_ids is not None and position_ids.ndim == 3:
            position_ids, block_position_ids = position_ids.unbind(dim=1)
        past, length = cache.length if cache else 0, input_ids.shape[1]
        ids = remembered(cache, {"ids": input_ids}, length)["ids"]
        shown = torch.ones_like(ids) if attention_mask is None else attention_mask
        first = self.first_start(ids) if sep is None else sep.to(ids.device)
        positions, blocks = self.places(ids, shown, first)
        rows = positions[:, -length:] if position_ids is None else position_ids
        block_rows = blocks[:, -length:] if block_position_ids is None else block_position_ids
        hidden = self.embed(input_ids, attention_mask, rows, past)
        self.check_positions(int(block_rows.max()) + 1, self.config.block_positions.rows)
        hidden = hidden + self.block_embedding(block_rows)

        given = torch.arange(past + length, device=ids.device) < first[:, None]
        bias = blocked((given_seen(given, length) & shown[:, None, :].bool())[:, None], hidden.dtype)
        context = Context.of(self.config.blocks, lambda _: bias, rows, hidden.dtype)
        return self.told(hidden, context, input_ids, attention_mask, cache, logits_to_keep)

    def first_start(self, ids: Tensor) -> Tensor:
        """The place of the first start token in each row, (batch,); the length where there is none, 0 where
        none is known."""
        if self.config.start_token_id is None:
            return ids.new_zeros(len(ids))
        return first_of(ids == self.config.start_token_id)

    def places(self, ids: Tensor, shown: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
        """Positions in the text and within the spans of all tokens, (batch, keys) each."""
        length = ids.shape[1]
        index = torch.arange(length, device=ids.device).expand_as(ids)
        padding = (shown == 0).cumsum(dim=1)
        position = (index - padding).clamp(min=0)
        if self.config.start_token_id is None or self.config.mask_token_id is None:
            return position, torch.zeros_like(position)
        is_written = index >= first[:, None]
        # The places of the masks in front, in order; then `length`.
        is_mask = ids == self.config.mask_token_id
        masks = torch.where(is_mask, index, length).sort(dim=1).values
        count = is_mask.sum(dim=1, keepdim=True)
        number = (ids == self.config.start_token_id).cumsum(dim=1).clamp(min=1)
        which = torch.where(number == number[:, -1:], count, number).clamp(min=1)
        which = torch.minimum(which, count.clamp(min=1)) - 1
        mask_position = position.gather(1, masks.gather(1, which).clamp(max=length - 1))
        has_mask = count > 0
        positions = torch.where(is_written & has_mask, mask_position, position)
        return positions, torch.where(is_written, index - first[:, None] + 1, 0)
