"""A bias for how two tokens are related."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from modelcenter.models.config import RelationBias, SegmentBias
from modelcenter.models.parts.linear import Holder
from modelcenter.models.parts.positions import bucket
from modelcenter.models.parts.sharding import local


def segment_relations(config: SegmentBias, queries: Tensor, keys: Tensor) -> Tensor:
    """The relations of tokens of segments `queries` (batch, length) to those of `keys` (batch, keys), (batch,
    length, keys) in int64.

    Source: model-center layer/position_embedding.py SegmentPositionEmbedding.
    """
    queries, keys = queries[:, :, None], keys[:, None, :]
    pairs = queries * config.num_segments + keys + 1
    return torch.where(queries == keys, 0, pairs) if config.absolute_inner_segment else pairs


class RelationBiasPart(Holder):
    """A learned bias for each bucket of distance, each relation, and head."""

    def __init__(self, config: RelationBias) -> None:
        super().__init__(config.tree())
        self.config = config

    def forward(self, positions: Tensor, relations: Tensor) -> Tensor:
        """positions (batch | 1, keys) of all tokens; relations (batch, length, keys) of the last `length`, 0
        for those that belong together -> (batch, this rank's heads, length, keys).
        """
        distance = positions[:, None, :] - positions[:, -relations.shape[1] :, None]
        near = bucket(distance, self.config.distances())
        rows = torch.where(relations == 0, near, self.config.num_buckets + relations - 1)
        return F.embedding(rows, local(self.held("weight"))).permute(0, 3, 1, 2)
