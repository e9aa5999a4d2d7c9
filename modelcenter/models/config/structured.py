"""A decoder of structured texts: CPM-Bee."""

from __future__ import annotations

from dataclasses import dataclass

from modelcenter.models.config.models import Decoder
from modelcenter.models.config.parameter import Tree, under
from modelcenter.models.config.relation import RelationBias


@dataclass(frozen=True, kw_only=True)
class StructuredDecoder(Decoder):
    """A decoder whose segments are parts of a tree, of which some are given and one is written.

    position_bias: one for all layers. number_distance: how far apart, as rotary positions of the embedding,
    two tokens of one name with consecutive numbers are (`<ans_0>`, `<ans_1>`).
    """

    unread = ("positions", "embedding_size", "embedding_norm")
    attentions_unread = ("window", "alibi")

    position_bias: RelationBias
    number_distance: float = 16.0

    def tree(self) -> Tree:
        return {**super().tree(), **under("position_bias.", self.position_bias.tree())}
