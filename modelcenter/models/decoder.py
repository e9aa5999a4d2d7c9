"""The decoder skeleton: GPT-2, Llama and their kind."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from modelcenter.models import config as c
from modelcenter.models import masks
from modelcenter.models.block import BlockPart, Context, run
from modelcenter.models.cache import KVCache
from modelcenter.models.model import Model
from modelcenter.models.output import ModelOutput
from modelcenter.models.parts.heads import LanguageHeadPart
from modelcenter.models.parts.linear import EmbeddingPart
from modelcenter.models.parts.norms import NormPart
from modelcenter.models.parts.positions import rotary_table


class Decoder(Model):
    """Token (and learned position) embeddings, causal blocks and a last norm."""

    config: c.Decoder

    def __init__(self, config: c.Decoder) -> None:
        super().__init__()
        self.config = config
        size = config.hidden_size
        self.embedding = EmbeddingPart(config.vocab_size, size)
        learned = config.positions
        self.position_embedding = EmbeddingPart(learned.num_positions, size) if learned else None
        self.blocks = nn.ModuleList(BlockPart(block, size) for block in config.blocks)
        self.norm = NormPart(config.norm, size)
        self.head = LanguageHeadPart(config.head, size, config.vocab_size) if config.head else None

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        cache: KVCache | None = None,
        logits_to_keep: int = 0,
    ) -> ModelOutput:
        """input_ids (batch, length), after what `cache` holds, which is extended.

        attention_mask: (batch, cached + length), 1 for tokens and 0 for padding. position_ids: (batch | 1,
        length); by default they count on from the cache, whatever is padding. logits_to_keep: of the last so
        many tokens, 0: all.
        """
        past, length = cache.length if cache else 0, input_ids.shape[1]
        if self.config.positions is not None:
            self.check_positions(past + length, self.config.positions.num_positions)
        if position_ids is None:
            position_ids = torch.arange(past, past + length, device=input_ids.device)[None]
        hidden = self.embedding(input_ids)
        if self.position_embedding is not None:
            hidden = hidden + self.position_embedding(position_ids)
        attentions = {block.attention for block in self.config.blocks}
        context = Context(
            biases={
                window: masks.causal(
                    attention_mask,
                    length=length,
                    past=past,
                    window=window,
                    dtype=hidden.dtype,
                    device=hidden.device,
                )
                for window in {attention.window for attention in attentions}
            },
            tables={
                attention.rotary: rotary_table(attention.rotary, position_ids, hidden.dtype)
                for attention in attentions
                if attention.rotary
            },
        )
        hidden = self.norm(run(self.blocks, hidden, context, cache))
        return ModelOutput(
            last_hidden_state=hidden,
            logits=self.head(hidden[:, -logits_to_keep:], self.embedding) if self.head else None,
        )
