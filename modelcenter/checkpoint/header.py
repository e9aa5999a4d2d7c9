"""What a checkpoint says of its tensors: names, dtypes, shapes, where the bytes lie. No torch, no values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Literal

Format = Literal["safetensors", "pickle"]

BITS = {
    "BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8,
    "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32,
    "C64": 64, "F64": 64, "I64": 64, "U64": 64,
}  # fmt: skip
"""The dtypes of safetensors and their width in bits, in the order of the reference, narrow ones first."""

TORCH_NAMES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "F4": "float4_e2m1fn_x2",
    "F8_E5M2": "float8_e5m2", "F8_E4M3": "float8_e4m3fn", "F8_E8M0": "float8_e8m0fnu",
    "F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "I16": "int16", "U16": "uint16", "F16": "float16", "BF16": "bfloat16",
    "I32": "int32", "U32": "uint32", "F32": "float32",
    "C64": "complex64", "F64": "float64", "I64": "int64", "U64": "uint64",
}  # fmt: skip
"""What torch calls them. F6 is missing: torch has no such dtype."""

FLOATING = {name: TORCH_NAMES[name] for name in ("F64", "F32", "F16", "BF16")}
"""Those that models are computed with, and what torch calls them."""

SAFETENSORS_NAMES = {torch_name: name for name, torch_name in TORCH_NAMES.items()}


def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides, in elements, of a tensor whose last dimension is adjacent in memory."""
    strides, step = [], 1
    for length in reversed(shape):
        strides.append(step)
        step *= max(length, 1)
    return tuple(reversed(strides))


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor at rest.

    start, stop: the absolute range of its bytes in `file`; -1, -1 where a pickle does not say.
    stride: in elements; None means row-major, the only order of safetensors. Else the range spans the
        elements with whatever lies between them.
    storage: names the bytes that tensors of a pickle may share; empty in safetensors, where none do.
    """

    dtype: str
    shape: tuple[int, ...]
    file: str
    start: int
    stop: int
    stride: tuple[int, ...] | None = None
    storage: str = ""

    @property
    def torch_dtype(self) -> str:
        """What torch calls the dtype; empty for one that it lacks."""
        return TORCH_NAMES.get(self.dtype, "")

    @property
    def itemsize(self) -> int:
        """The bytes of an element; 0 where one holds several."""
        return BITS[self.dtype] // 8

    @property
    def numel(self) -> int:
        """How many elements."""
        return prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """How many bytes the elements take, whatever the file adds."""
        return (self.numel * BITS[self.dtype] + 7) // 8


Header = Mapping[str, TensorInfo]


@dataclass(frozen=True, slots=True)
class FileHeader:
    """What one weight file says.

    others: entries that are no tensors, by name and kind (`epoch: int`); only pickles have them.
    wrapper: the keys under which a pickle keeps its tensors (`("state_dict",)`), usually none.
    mappable: whether the data can be mapped rather than read.
    """

    name: str
    size: int
    tensors: dict[str, TensorInfo]
    metadata: dict[str, str] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)
    wrapper: tuple[str, ...] = ()
    mappable: bool = True


@dataclass(frozen=True)
class CheckpointHeader:
    """What a checkpoint says of itself, over all its weight files.

    parts: what each file says, in reading order.
    index: the index file that names the shards, None for a single file.
    unlisted: tensors that a shard holds though the index does not list them; they are in `tensors` as well.
    """

    format: Format
    parts: tuple[FileHeader, ...]
    metadata: dict[str, str]
    index: str | None = None
    unlisted: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """The weight files that are used, without the index."""
        return tuple(part.name for part in self.parts)

    @cached_property
    def tensors(self) -> dict[str, TensorInfo]:
        """Every tensor by name."""
        return {name: info for part in self.parts for name, info in part.tensors.items()}

    @cached_property
    def others(self) -> dict[str, str]:
        """Entries of pickles that are no tensors, by name and kind."""
        return {name: kind for part in self.parts for name, kind in part.others.items()}

    @property
    def size_bytes(self) -> int:
        """The size of the weight files together."""
        return sum(part.size for part in self.parts)
