"""The encoder skeleton for long texts: Longformer."""

from __future__ import annotations

import torch
from torch import Tensor

from modelcenter.errors import Invalid
from modelcenter.models import config as c
from modelcenter.models.block import Context, bias_key
from modelcenter.models.encoder import Encoder
from modelcenter.models.output import ModelOutput


class LongEncoder(Encoder):
    """An encoder whose attentions are local but for a few tokens."""

    config: c.LongEncoder

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        task_type_ids: Tensor | None = None,
        global_attention_mask: Tensor | None = None,
    ) -> ModelOutput:
        """As `Encoder`'s; attention_mask is (batch, length).

        global_attention_mask: (batch, length), 1 for tokens that see and are seen by all; None: those that
        the config says.
        """
        if attention_mask is not None and attention_mask.ndim != 2:
            raise Invalid(f"attention_mask is {tuple(attention_mask.shape)}; expected (batch, length).")
        hidden = self.embed(input_ids, attention_mask, token_type_ids, position_ids, task_type_ids)
        marked = self.usual_globals(input_ids) if global_attention_mask is None else global_attention_mask
        # 0 for padding, 1 for local tokens, 2 for global ones
        kinds = None if attention_mask is None else attention_mask.bool().long()
        if marked is not None:
            kinds = (1 if kinds is None else kinds) * (1 + marked.bool().long())
        attentions = {block.attention for block in self.config.blocks}
        context = Context(biases={bias_key(attention): kinds for attention in attentions})
        return self.told(hidden, context, input_ids, attention_mask)

    def usual_globals(self, input_ids: Tensor) -> Tensor | None:
        """The tokens that the task makes global, (batch, length), None where none are.

        Source: transformers modeling_longformer.py, each head's forward.
        """
        places = torch.arange(input_ids.shape[1], device=input_ids.device).expand_as(input_ids)
        if self.config.global_tokens == "first":
            return places.eq(0)
        if self.config.global_tokens == "none":
            return None
        sep = self.config.sep_token_id
        separators = input_ids.eq(-1 if sep is None else sep)
        if not bool((separators.sum(dim=1) == 3).all()):
            raise Invalid(
                "A question and its text have three separators in each row, and these have not: "
                "give global_attention_mask, 1 for the tokens that are to see all."
            )
        end = separators.int().argmax(dim=1, keepdim=True)
        # Two separators stand between a question and what follows it.
        return places.lt(end) if self.config.global_tokens == "question" else places.gt(end + 1)
