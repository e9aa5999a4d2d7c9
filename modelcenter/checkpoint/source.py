"""A checkpoint at rest: its files, what they say, its tensors, read lazily. Knows files, not models."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from modelcenter.checkpoint import pickle, safetensors
from modelcenter.checkpoint.files import Files, LocalFiles
from modelcenter.checkpoint.header import CheckpointHeader, FileHeader, Format, Header, TensorInfo
from modelcenter.checkpoint.index import read_sharded
from modelcenter.checkpoint.mapping import PickledTensors, SafetensorsTensors, Tensors
from modelcenter.errors import CheckpointDamaged, CheckpointNotFound

if TYPE_CHECKING:
    import torch

__all__ = [
    "Checkpoint", "CheckpointHeader", "FileHeader", "Files", "Header", "LocalFiles", "TensorInfo",
    "open_checkpoint", "read_header",
]  # fmt: skip

CANDIDATES: tuple[tuple[str, Format], ...] = (
    ("model.safetensors", "safetensors"),
    ("model.safetensors.index.json", "safetensors"),
    ("pytorch_model.bin", "pickle"),
    ("pytorch_model.bin.index.json", "pickle"),
    ("pytorch_model.pt", "pickle"),  # OpenBMB's, one file, never sharded
)
"""The files a checkpoint may begin with; the first that exists is taken, as transformers takes it too."""

CONFIGS = ("config.json", "bert_config.json")
"""The files that say how a model is built; the second is Google's name of BERT's."""

READERS: dict[Format, Callable[[Files, str], FileHeader]] = {
    "safetensors": safetensors.read_file_header,
    "pickle": pickle.read_file_header,
}


def read_header(files: Files) -> CheckpointHeader:
    """What the checkpoint in `files` says of itself; no tensor is read, no torch imported.

    Raises CheckpointNotFound, CheckpointDamaged where a file contradicts its header or its index,
    CheckpointUnsafe where a pickle asks for more than tensors, CheckpointUnsupported.
    """
    name, kind = beginning(files)
    if name.endswith(".index.json"):
        return read_sharded(files, name, kind, partial(read_part, kind=kind))
    part = read_part(files, name, kind)
    return CheckpointHeader(format=kind, parts=(part,), metadata=part.metadata)


def beginning(files: Files) -> tuple[str, Format]:
    """The file that the checkpoint begins with and what it is, by names alone. Raises CheckpointNotFound."""
    names = set(files.names())
    for name, kind in CANDIDATES:
        if name in names:
            return name, kind
    raise CheckpointNotFound(files, [name for name, _ in CANDIDATES])


POINTER = b"version https://git-lfs"


def read_part(files: Files, name: str, kind: Format) -> FileHeader:
    """What one weight file says. Raises CheckpointDamaged for the pointer that Git leaves instead of it."""
    refuse_pointer(files, name)
    return READERS[kind](files, name)


def refuse_pointer(files: Files, name: str) -> None:
    """Raises CheckpointDamaged where Git has left a pointer in place of the file."""
    if files.size(name) < 1024 and files.read(name, 0, len(POINTER)) == POINTER:
        raise CheckpointDamaged(name, "it is a Git LFS pointer, not the file itself: run `git lfs pull`")


class Checkpoint:
    """The checkpoint of a folder: its header, and its tensors as views of mapped files.

    Views stay valid after `close`; it only lets go of what nobody holds any more.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.files: Files = LocalFiles(self.folder)
        self.header = read_header(self.files)
        opener = SafetensorsTensors if self.header.format == "safetensors" else PickledTensors
        self._parts: dict[str, Tensors] = {
            part.name: opener(self.folder / part.name, part) for part in self.header.parts
        }

    def tensor(self, name: str) -> torch.Tensor:
        """The tensor: a view without a copy, mapped privately, so that writing to it never reaches the file.

        Copied only where its bytes are not aligned to its dtype, or where a pickle cannot be mapped.
        Raises KeyError for a name that the header lacks.
        """
        return self._parts[self.header.tensors[name].file].tensor(name)

    def release(self, name: str) -> None:
        """Gives back the memory that reading the tensor took. Views stay good; writes to them are lost."""
        self._parts[self.header.tensors[name].file].release(name)

    def close(self) -> None:
        """Lets go of the files."""
        for part in self._parts.values():
            part.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_checkpoint(folder: Path) -> Checkpoint:
    """The checkpoint in `folder`. Raises as `read_header` does."""
    return Checkpoint(folder)
