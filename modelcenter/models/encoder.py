"""The encoder skeleton: BERT and its kind."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from modelcenter.models import config as c
from modelcenter.models import masks
from modelcenter.models.block import BiasKey, BlockPart, Context, run
from modelcenter.models.model import Model
from modelcenter.models.output import ModelOutput
from modelcenter.models.parts.heads import PoolerPart, answers, head_part
from modelcenter.models.parts.linear import EmbeddingPart, LinearPart
from modelcenter.models.parts.norms import NormPart
from modelcenter.models.parts.positions import RelativeBiasPart, learned_positions


class Encoder(Model):
    """Embeddings of tokens and, where the model has them, of positions, segments and tasks; their norm; and
    blocks that see both ways."""

    config: c.Encoder

    def __init__(self, config: c.Encoder) -> None:
        super().__init__()
        self.config = config
        size = config.hidden_size
        embedded = config.embedding_size or size
        self.embedding = EmbeddingPart(config.vocab_size, embedded)
        for name, rows in config.tables().items():
            self.add_module(name, EmbeddingPart(rows, embedded))
        self.embedding_norm = NormPart(config.embedding_norm, embedded) if config.embedding_norm else None
        self.project_in = LinearPart(config.project_in) if config.project_in else None
        self.relative_bias = RelativeBiasPart(config.relative_bias) if config.relative_bias else None
        self.blocks = nn.ModuleList(BlockPart(block, size) for block in config.blocks)
        self.norm = NormPart(config.norm, size) if config.norm else None
        self.pooler = PoolerPart(size, config.pooler.activation) if config.pooler else None
        self.head = (
            head_part(config.head, size, config.vocab_size, config.pad_token_id) if config.head else None
        )
        self.next_sentence = (
            LinearPart(c.Linear(outputs=2, inputs=size, bias=True)) if config.next_sentence else None
        )

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        task_type_ids: Tensor | None = None,
    ) -> ModelOutput:
        """input_ids (batch, length); attention_mask (batch, length), 1 for tokens and 0 for padding, or
        (batch, length, length) of what each query sees.

        token_type_ids, task_type_ids: as input_ids, 0 by default; a model without such kinds leaves them out.
        position_ids: (batch | 1, length), from 0; by default as the model counts them.
        """
        hidden = self.embed(input_ids, attention_mask, token_type_ids, position_ids, task_type_ids)
        context = self.context(hidden, attention_mask, position_ids)
        return self.told(hidden, context, input_ids, attention_mask)

    def context(self, hidden: Tensor, attention_mask: Tensor | None, position_ids: Tensor | None) -> Context:
        """What all blocks are given."""
        places = position_ids
        if places is None:
            places = torch.arange(hidden.shape[1], device=hidden.device)[None]
        return Context.of(
            self.config.blocks, lambda key: self.bias(key, attention_mask, hidden), places, hidden.dtype
        )

    def told(
        self, hidden: Tensor, context: Context, input_ids: Tensor, attention_mask: Tensor | None
    ) -> ModelOutput:
        """What the blocks make of embeddings (batch, length, hidden_size), and the heads of that."""
        hidden = run(self.blocks, hidden, context)
        if self.norm is not None:
            hidden = self.norm(hidden)
        pooled = self.pooler(hidden) if self.pooler else None
        return ModelOutput(
            last_hidden_state=hidden,
            pooler_output=pooled,
            next_sentence_logits=self.next_sentence(pooled) if self.next_sentence else None,
            **answers(self.head, hidden, self.embedding, input_ids, attention_mask, pooled=pooled),
        )

    def embed(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        token_type_ids: Tensor | None,
        position_ids: Tensor | None,
        task_type_ids: Tensor | None,
    ) -> Tensor:
        """What the first block gets, (batch, length, hidden_size)."""
        c = self.config
        hidden = cast(Tensor, self.embedding(input_ids))
        kinds = {
            "type_embedding": token_type_ids,
            "position_embedding": self.rows(input_ids, attention_mask, position_ids),
            "task_embedding": task_type_ids,
        }
        for name, ids in kinds.items():
            if name in c.tables():
                rows = torch.zeros_like(input_ids) if ids is None else ids
                hidden = hidden + self.get_submodule(name)(rows)
        if self.embedding_norm is not None:
            hidden = self.embedding_norm(hidden)
        return hidden if self.project_in is None else self.project_in(hidden)

    def rows(
        self, input_ids: Tensor, attention_mask: Tensor | None, position_ids: Tensor | None
    ) -> Tensor | None:
        """The rows (batch | 1, length) of the table of positions, None where there is no table."""
        positions = self.config.positions
        if positions is None:
            return None
        self.check_positions(input_ids.shape[1], positions.num_positions)
        if position_ids is not None:
            return position_ids + positions.offset
        return learned_positions(positions, input_ids, attention_mask, self.config.pad_token_id, 0)

    def bias(self, key: BiasKey, attention_mask: Tensor | None, hidden: Tensor) -> Tensor | None:
        """The additive bias of the attentions with that window, that of the model's distances included."""
        window, _ = key
        length, device = hidden.shape[1], hidden.device
        blocked = masks.around(
            attention_mask, length=length, window=window, dtype=hidden.dtype, device=device
        )
        if self.relative_bias is None:
            return blocked
        places = torch.arange(length, device=device)[None]
        own: Tensor = self.relative_bias(places, places)
        return own if blocked is None else (own + blocked).clamp(min=torch.finfo(own.dtype).min)
