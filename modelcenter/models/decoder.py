"""The decoder skeleton: GPT-2, Llama and their kind."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from modelcenter.models import config as c
from modelcenter.models import masks
from modelcenter.models.block import BiasKey, BlockPart, Context, run
from modelcenter.models.cache import KVCache
from modelcenter.models.model import Model
from modelcenter.models.output import ModelOutput
from modelcenter.models.parts.heads import answers, head_part
from modelcenter.models.parts.linear import EmbeddingPart, LinearPart
from modelcenter.models.parts.norms import NormPart
from modelcenter.models.parts.positions import alibi_bias, learned_positions


class Decoder(Model):
    """Token (and learned position) embeddings, causal blocks and a last norm."""

    config: c.Decoder

    def __init__(self, config: c.Decoder) -> None:
        super().__init__()
        self.config = config
        size = config.hidden_size
        embedded = config.embedding_size or size
        self.embedding = EmbeddingPart(config.vocab_size, embedded)
        self.embedding_norm = NormPart(config.embedding_norm, size) if config.embedding_norm else None
        learned = config.positions
        self.position_embedding = EmbeddingPart(learned.rows, size) if learned else None
        for name, linear in config.projections().items():
            self.add_module(name, LinearPart(linear))
        self.blocks = nn.ModuleList(BlockPart(block, size) for block in config.blocks)
        self.norm = NormPart(config.norm, size) if config.norm else None
        head = config.head
        self.head = head_part(head, embedded, config.vocab_size, config.pad_token_id) if head else None

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        cache: KVCache | None = None,
        logits_to_keep: int = 0,
    ) -> ModelOutput:
        """input_ids (batch, length), after what `cache` holds, which is extended.

        attention_mask: (batch, cached + length), 1 for tokens and 0 for padding, or (batch, length, cached +
        length) of what each query sees. position_ids: (batch | 1, length); by default they count on from the
        cache, whatever is padding, unless the model's learned positions count what is shown. logits_to_keep:
        of the last so many tokens, 0: all.
        """
        past, length = cache.length if cache else 0, input_ids.shape[1]
        hidden = self.embed(input_ids, attention_mask, position_ids, past)
        if position_ids is None:
            position_ids = torch.arange(past, past + length, device=input_ids.device)[None]
        context = Context.of(
            self.config.blocks,
            lambda key: self.bias(key, attention_mask, hidden, past),
            position_ids,
            hidden.dtype,
        )
        return self.told(hidden, context, input_ids, attention_mask, cache, logits_to_keep)

    def told(
        self,
        hidden: Tensor,
        context: Context,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        cache: KVCache | None,
        logits_to_keep: int,
    ) -> ModelOutput:
        """What the blocks make of embeddings (batch, length, hidden_size), and the head of that.

        Where more was embedded than input_ids, it stands before them and no answer is of it.
        """
        hidden = run(self.blocks, hidden, context, cache)[:, -input_ids.shape[1] :]
        if self.norm is not None:
            hidden = self.norm(hidden)
        if self.config.embedding_size is not None:
            hidden = self.get_submodule("project_out")(hidden)
        return ModelOutput(
            last_hidden_state=hidden,
            **answers(self.head, hidden, self.embedding, input_ids, attention_mask, keep=logits_to_keep),
        )

    def embed(
        self, input_ids: Tensor, attention_mask: Tensor | None, position_ids: Tensor | None, past: int
    ) -> Tensor:
        """What the first block gets, (batch, length, hidden_size)."""
        c = self.config
        hidden = cast(Tensor, self.embedding(input_ids))
        if c.embedding_scale != 1.0:
            # Rounded like the embedding: so it was in training (Gemma).
            hidden = hidden * torch.tensor(c.embedding_scale, dtype=hidden.dtype, device=hidden.device)
        if c.embedding_size is not None:
            hidden = self.get_submodule("project_in")(hidden)
        if c.positions is not None and self.position_embedding is not None:
            self.check_positions(past + input_ids.shape[1], c.positions.num_positions)
            rows = (
                position_ids + c.positions.offset
                if position_ids is not None
                else learned_positions(c.positions, input_ids, attention_mask, c.pad_token_id, past)
            )
            hidden = hidden + self.position_embedding(rows)
        return hidden if self.embedding_norm is None else self.embedding_norm(hidden)

    def bias(self, key: BiasKey, attention_mask: Tensor | None, hidden: Tensor, past: int) -> Tensor | None:
        """The additive bias of the attentions with that window and that penalty of distance."""
        window, alibi = key
        length, device = hidden.shape[1], hidden.device
        if not self.config.blocks[0].attention.causal and not past:
            return masks.around(
                attention_mask, length=length, window=window, dtype=hidden.dtype, device=device
            )
        if alibi is None:
            return masks.causal(
                attention_mask, length=length, past=past, window=window, dtype=hidden.dtype, device=device
            )
        places = torch.arange(past + length, device=device)
        # In fp32 up to here: distances beyond 256 have no bfloat16 of their own.
        keys = places[None]
        if alibi.rounded and attention_mask is not None and attention_mask.ndim == 2:
            # In one place of a text or another, products round in other ways: padding must not count.
            keys = (attention_mask.cumsum(dim=1) - 1) * attention_mask
        penalty = alibi_bias(alibi, places[past:], keys)
        seen = masks.causal_seen(attention_mask, length=length, past=past, window=window, device=device)
        return penalty.masked_fill(~seen, torch.finfo(hidden.dtype).min).to(hidden.dtype)
