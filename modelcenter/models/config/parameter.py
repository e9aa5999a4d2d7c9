"""The shape of a parameter and the part of it that a rank holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from modelcenter.errors import CannotShard

Shape: TypeAlias = "tuple[int, ...]"
Tree: TypeAlias = "dict[str, Parameter]"
Precise: TypeAlias = Literal["fp16", "half"]

# The dtypes of a model, by torch's names, in which such a parameter stays in single precision.
SINGLE_IN: Mapping[Precise, tuple[str, ...]] = {"fp16": ("float16",), "half": ("float16", "bfloat16")}


@dataclass(frozen=True)
class Parameter:
    """The shape of a parameter and how it shards.

    shard_dim: the dimension that tensor parallelism splits, None: every rank holds it whole.
    unit: elements along it that must stay together (a group of heads, a pair of blocks); None: any split will
    do, also an uneven one (vocabulary rows).
    precise: where it stays in single precision: `fp16`, in models of that dtype, whose range its products
    exceed; `half`, in those of either half, where rounding would change what it decides.
    """

    shape: Shape
    shard_dim: int | None = None
    unit: int | None = None
    precise: Precise | None = None

    def dtype_in(self, dtype: str) -> str:
        """The dtype that it has in a model of `dtype`, both by torch's names."""
        return "float32" if self.precise is not None and dtype in SINGLE_IN[self.precise] else dtype


def under(prefix: str, tree: Mapping[str, Parameter]) -> Tree:
    """`tree` with every name prefixed."""
    return {prefix + name: parameter for name, parameter in tree.items()}


def nested(trees: Mapping[str, Mapping[str, Parameter]]) -> Tree:
    """The trees of several parts, each under its name."""
    return {k: p for name, tree in trees.items() for k, p in under(f"{name}.", tree).items()}


def share(name: str, parameter: Parameter, rank: int, world: int) -> range:
    """The part of the shard dimension that `rank` of `world` holds.

    Even where units must stay together, else as DTensor splits: ceil(n / world) a rank, the last ones fewer
    or none. Raises CannotShard where `world` does not divide the units.
    """
    assert parameter.shard_dim is not None
    length = parameter.shape[parameter.shard_dim]
    if parameter.unit is not None and (length // parameter.unit) % world:
        raise CannotShard(name, length // parameter.unit, world)
    step = -(-length // world)
    return range(min(rank * step, length), min((rank + 1) * step, length))
