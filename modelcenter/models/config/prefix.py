"""Decoders of texts whose first part is seen whole: CPM-1, CPM-3, CPM-Ant, GLM, ChatGLM."""

from __future__ import annotations

from dataclasses import dataclass

from modelcenter.models.config.models import Decoder
from modelcenter.models.config.parameter import Parameter, Tree, under
from modelcenter.models.config.positions import Learned, RelativeBias
from modelcenter.models.config.relation import SegmentBias


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """Learned vectors before a text, `length` for each of `types` of task.

    default: the type that is put before texts which say nothing of segments; None: texts bring their own.
    """

    types: int
    length: int
    default: int | None = None

    def tree(self, hidden_size: int) -> Tree:
        return {"weight": Parameter((self.types * self.length, hidden_size))}


@dataclass(frozen=True, kw_only=True)
class PrefixDecoder(Decoder):
    """A decoder whose tokens see all of the context, and of what is written what is before them.

    position_bias: one for all layers. segment_types: rows of the table of segments, 0: it has none.
    """

    unread = ("positions", "embedding_size", "embedding_norm")
    attentions_unread = ("window", "alibi")

    position_bias: RelativeBias | SegmentBias
    prompts: Prompts | None = None
    segment_types: int = 0

    def tree(self) -> Tree:
        size = self.hidden_size
        segments = {"segment_embedding.weight": Parameter((self.segment_types, size))}
        return {
            **super().tree(),
            **under("position_bias.", self.position_bias.tree()),
            **(under("prompt_embedding.", self.prompts.tree(size)) if self.prompts else {}),
            **(segments if self.segment_types else {}),
        }


@dataclass(frozen=True, kw_only=True)
class BlankFiller(Decoder):
    """GLM: spans are cut from a text and written after it, each in its place (arXiv:2103.10360 §2.1).

    block_positions: within a span, counted from 1; 0 in the text. start_token_id: begins each span;
    mask_token_id: stands in the text where one was cut. None: its files do not say, and nothing is derived.
    """

    attentions_unread = ("window", "alibi")

    block_positions: Learned
    start_token_id: int | None
    mask_token_id: int | None

    def tree(self) -> Tree:
        return {**super().tree(), **under("block_embedding.", self.block_positions.tree(self.hidden_size))}


@dataclass(frozen=True, kw_only=True)
class MaskFiller(Decoder):
    """ChatGLM-6B: what a mask stands for is written after the text, with two positions a token for rotary
    attention: the mask's, and its own in what is written, counted from 1.

    start_token_id: begins what is written. mask_token_ids: what may stand in the text, the first that does.
    """

    attentions_unread = ("window", "alibi")

    start_token_id: int
    mask_token_ids: tuple[int, ...]
