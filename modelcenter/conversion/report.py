"""What a conversion is allowed, and what it tells when it is done. Values, and JSON between two processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

Stage = Literal["writing", "comparing"]
Progress = Callable[[Stage, int, int], None]
"""Called with the stage, the bytes of tensors done in it, and those it has in all."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the process that reads pickles may use; it is ended where it wants more.

    seconds: by the clock. cpu_seconds: of computing. memory_bytes: of address space, in which strided
    tensors are mapped whole. growth: how many times the bytes of the pickles the tensors may take once each
    is written for itself: views that repeat elements make small files of large tensors. open_files: at once.
    """

    seconds: float = 3600
    cpu_seconds: int = 3600
    memory_bytes: int = 8 << 30
    growth: int = 4
    open_files: int = 64


@dataclass(frozen=True, kw_only=True)
class ConversionReport:
    """A conversion that is proved: every tensor was read again from both sides and is the same bit for bit.

    sources: the pickles, with their index. files: the safetensors, the index last. identical: of `tensors`,
    those equal in dtype, shape and every bit. size_bytes: of the values. shared: tensors whose bytes another
    one shares in the pickle, each written for itself. left_out: entries of the pickle that are no tensors, by
    name and kind. network: what kept the reading process from it: "namespace" (the kernel) and "audit".
    """

    sources: tuple[str, ...]
    files: tuple[str, ...]
    tensors: int
    identical: int
    size_bytes: int
    shared: int
    left_out: Mapping[str, str]
    network: tuple[str, ...]

    def joined(self, other: ConversionReport, folder: str) -> ConversionReport:
        """Both as one; the other is of a folder within this one's."""

        def within(names: Iterable[str]) -> tuple[str, ...]:
            return tuple(f"{folder}/{name}" for name in names)

        return replace(
            self,
            sources=(*self.sources, *within(other.sources)),
            files=(*within(other.files), *self.files),
            tensors=self.tensors + other.tensors,
            identical=self.identical + other.identical,
            size_bytes=self.size_bytes + other.size_bytes,
            shared=self.shared + other.shared,
            left_out={
                **self.left_out,
                **dict(zip(within(other.left_out), other.left_out.values(), strict=True)),
            },
        )

    def to_json(self) -> dict[str, Any]:
        """The report as JSON knows it; `from_json` gives it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ConversionReport:
        """The report that `to_json` told. Raises ValueError for what is none."""
        try:
            lists = {name: tuple(map(str, values[name])) for name in ("sources", "files", "network")}
            counts = {name: int(values[name]) for name in ("tensors", "identical", "size_bytes", "shared")}
            left_out = {str(name): str(kind) for name, kind in values["left_out"].items()}
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"The report of a conversion lacks or misspells {error}.") from error
        return cls(**lists, **counts, left_out=left_out)  # type: ignore[arg-type]
