"""Random weight relations, what they mean told by numpy, and headers and tensors that fit them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st

from modelcenter.checkpoint.header import BITS, TORCH_NAMES
from modelcenter.weights.execute import execute
from modelcenter.weights.indices import Index, Shape, Want
from modelcenter.weights.plan import plan
from modelcenter.weights.relations import Concat, Relation, Row, Source, Stack, Take, Transposed, sources
from modelcenter.weights.rules import WeightMap
from modelcenter.weights.steps import steps


@dataclass(frozen=True)
class Info:
    """What a header says of a tensor."""

    dtype: str
    shape: Shape
    file: str = "model.safetensors"
    start: int = 0
    stride: Shape | None = None

    @property
    def torch_dtype(self) -> str:
        return TORCH_NAMES[self.dtype]

    @property
    def itemsize(self) -> int:
        return BITS[self.dtype] // 8

    @property
    def stop(self) -> int:
        return self.start + prod(self.shape) * self.itemsize


class Memory:
    """Tensors in memory, as `execute` asks for them."""

    def __init__(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self.tensors = tensors
        self.released: list[str] = []

    def tensor(self, name: str) -> torch.Tensor:
        return self.tensors[name]

    def release(self, name: str) -> None:
        self.released.append(name)


def executed(
    weights: WeightMap,
    header: Mapping[str, Info],
    tensors: Memory,
    dtype: str,
    wants: Mapping[str, Want] | None = None,
    *,
    mapped: bool = True,
    **options: Any,
) -> dict[str, torch.Tensor]:
    """What the map makes of stored tensors, all of it as `dtype`."""
    dtypes = dict.fromkeys(weights.parameters, dtype)
    return execute(
        steps(plan(weights, header, wants or {}), header, dtypes, mapped=mapped), tensors, **options
    )


def meaning(relation: Relation, values: Mapping[str, np.ndarray]) -> np.ndarray:
    """The tensor that a relation makes of stored ones."""
    if isinstance(relation, Source):
        return values[relation.names[0]]
    if isinstance(relation, Take):
        return np.take(meaning(relation.inner, values), relation.order, axis=relation.dim)
    if isinstance(relation, Row):
        return meaning(relation.inner, values)[0]
    if isinstance(relation, Transposed):
        return meaning(relation.inner, values).T
    parts = [meaning(part, values) for part in relation.parts]
    return np.stack(parts) if isinstance(relation, Stack) else np.concatenate(parts, axis=relation.dim)


@st.composite
def relations(draw: st.DrawFn, *, whole: bool = True) -> tuple[Relation, Shape]:
    """A relation and the shape of ours. whole: it reads every element of its sources, as a family's must."""
    count = iter(range(10**6))

    def source(length: int | None) -> Source:
        return Source((f"tensor{next(count)}",), length)

    def make(shape: Shape, depth: int, along: int | None, closed: bool) -> Relation:
        """along: the dimension of the concatenation it is part of. closed: whether that needs its length."""
        length = shape[along] if along is not None and closed else None
        kinds = ["source"]
        if depth and max(shape) > 1:
            kinds.append("concat")
        if depth:
            kinds += ["take", "row", "transposed"]
        if depth and len(shape) > 1 and shape[0] <= 4:
            kinds.append("stack")
        kind = draw(st.sampled_from(kinds))
        if kind == "source":
            return source(length)
        if kind == "stack":
            parts = tuple(make(shape[1:], depth - 1, None, closed=False) for _ in range(shape[0]))
            return Stack(parts, length)
        if kind == "row":
            return Row(make((1, *shape), depth - 1, None, closed=False), length)
        if kind == "transposed":
            return Transposed(make(shape[::-1], depth - 1, None, closed=False), length)
        if kind == "take":
            # Its length is the one along its own dimension.
            dim = along if along is not None else draw(st.integers(0, len(shape) - 1))
            extra = 0 if whole else draw(st.integers(0, 3))
            order = draw(st.permutations(range(shape[dim] + extra)))[: shape[dim]]
            inner = (*shape[:dim], shape[dim] + extra, *shape[dim + 1 :])
            negative = draw(st.booleans())
            return Take(
                make(inner, depth - 1, None, closed=False),
                np.array(order, dtype=np.int64),
                inner[dim],
                dim - len(shape) if negative else dim,
            )
        dim = draw(st.sampled_from([d for d, n in enumerate(shape) if n > 1]))
        cuts = sorted(draw(st.sets(st.integers(1, shape[dim] - 1), min_size=1, max_size=3)))
        lengths = np.diff([0, *cuts, shape[dim]]).tolist()
        open_part = draw(st.sampled_from([None, *range(len(lengths))]))
        parts = tuple(
            make((*shape[:dim], n, *shape[dim + 1 :]), depth - 1, dim, closed=i != open_part)
            for i, n in enumerate(lengths)
        )
        return Concat(parts, dim - len(shape) if draw(st.booleans()) else dim, length)

    shape = tuple(draw(st.lists(st.integers(1, 6), min_size=1, max_size=3)))
    return make(shape, draw(st.integers(0, 3)), None, closed=False), shape


def header_of(weights: WeightMap, dtype: str = "I64") -> dict[str, Info]:
    """The header that fits a map: every source with the shape that ours imply."""
    found = {
        source.names[0]: shape
        for ours, whole in weights.parameters.items()
        for source, shape in sources(weights.rules[ours], whole)
    }
    return {name: Info(dtype, shape, start=1024 * i) for i, (name, shape) in enumerate(found.items())}


def numbered(header: Mapping[str, Info]) -> dict[str, np.ndarray]:
    """Tensors of which every element of all is another number."""
    starts = np.cumsum([0, *(prod(info.shape) for info in header.values())])
    return {
        name: np.arange(start, start + prod(info.shape)).reshape(info.shape)
        for (name, info), start in zip(header.items(), starts, strict=False)
    }


def reads(weights: WeightMap, header: Mapping[str, Info], wants: Mapping[str, tuple[Index, ...]]):
    """How often each element of each source is read for `wants`."""
    counts = {name: np.zeros(info.shape, dtype=int) for name, info in header.items()}
    for assignment in plan(weights, header, wants):
        for piece in assignment.pieces:
            np.add.at(
                counts[piece.source], np.ix_(*(np.asarray(index, dtype=np.int64) for index in piece.src)), 1
            )
    return counts
