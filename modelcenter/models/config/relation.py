"""A bias for how two tokens are related."""

from __future__ import annotations

from dataclasses import dataclass, field

from modelcenter.models.config.parameter import Parameter, Tree
from modelcenter.models.config.positions import RelativeBias


@dataclass(frozen=True, kw_only=True)
class RelationBias:
    """A bias per head for pairs of tokens: T5's of their distance where they belong together (relation 0),
    else that of their relation, 1 and on (CPM-Live layers/position_embedding.py BucketPositionBias).
    """

    num_buckets: int
    max_distance: int  # tokens
    num_relations: int
    num_heads: int

    def __post_init__(self) -> None:
        self.distances()

    def distances(self) -> RelativeBias:
        """The buckets of distances; raises ConfigurationInvalid where they make no sense."""
        return RelativeBias(
            num_buckets=self.num_buckets,
            max_distance=self.max_distance,
            bidirectional=True,
            num_heads=self.num_heads,
        )

    def tree(self) -> Tree:
        return {"weight": Parameter((self.num_buckets + self.num_relations, self.num_heads), 1, 1)}


@dataclass(frozen=True, kw_only=True)
class SegmentBias(RelationBias):
    """The relations are pairs of segments, the query's first (model-center layer/position_embedding.py
    SegmentPositionEmbedding).

    absolute_inner_segment: whether tokens of one segment belong together; False: that is a relation too.
    """

    num_segments: int
    absolute_inner_segment: bool = True
    num_relations: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "num_relations", self.num_segments**2)
        super().__post_init__()
