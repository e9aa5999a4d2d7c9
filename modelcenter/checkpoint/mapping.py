"""Tensors of one weight file in memory: mapped privately, handed out as views.

The only torch of this package besides `write`, imported when the first tensor is asked for.
"""

from __future__ import annotations

import mmap
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from modelcenter.checkpoint.header import BITS, TORCH_NAMES, FileHeader, TensorInfo
from modelcenter.errors import CheckpointDamaged, CheckpointUnsafe, CheckpointUnsupported

if TYPE_CHECKING:
    import torch


def torch_dtype(dtype: str, file: str = "the checkpoint") -> torch.dtype:
    """The dtype that safetensors' name means. Raises CheckpointUnsupported for one that this torch lacks."""
    import torch

    found = getattr(torch, TORCH_NAMES.get(dtype, ""), None)
    if not isinstance(found, torch.dtype):
        raise CheckpointUnsupported(file, f"has tensors of {dtype}", "torch has no such dtype")
    return found


class Tensors(Protocol):
    """The tensors of one weight file."""

    def tensor(self, name: str) -> torch.Tensor:
        """The tensor of that name."""
        ...

    def release(self, name: str) -> None:
        """Gives back the memory that reading the tensor took; its views stay good."""
        ...

    def close(self) -> None:
        """Lets go of the file."""
        ...


class SafetensorsTensors:
    """A safetensors file, mapped copy-on-write."""

    def __init__(self, path: Path, header: FileHeader) -> None:
        self.path, self.header = path, header
        self._map: mmap.mmap | None = None
        self._lock = threading.Lock()

    def tensor(self, name: str) -> torch.Tensor:
        """A view of the mapped bytes."""
        import torch

        info = self.header.tensors[name]
        dtype = torch_dtype(info.dtype, info.file)
        # torch counts bytes that hold two values, safetensors values.
        shape = (*info.shape[:-1], info.shape[-1] // 2) if info.dtype == "F4" else info.shape
        if info.start == info.stop:
            return torch.empty(shape, dtype=dtype)
        mapped = self._mapped()
        if info.start * 8 % BITS[info.dtype] == 0:
            flat = torch.frombuffer(
                mapped, dtype=dtype, count=(info.stop - info.start) // dtype.itemsize, offset=info.start
            )
        else:  # the format promises no alignment, and unaligned loads are slow or worse
            bytes_ = torch.frombuffer(
                mapped, dtype=torch.uint8, count=info.stop - info.start, offset=info.start
            )
            flat = bytes_.clone().view(dtype)
        return flat.view(shape)

    def release(self, name: str) -> None:
        """Gives back the pages that lie within the tensor: they stay in the cache of the files.

        What was written to its views is forgotten.
        """
        info = self.header.tensors[name]
        start = -(-info.start // mmap.PAGESIZE) * mmap.PAGESIZE
        size = info.stop // mmap.PAGESIZE * mmap.PAGESIZE - start
        with self._lock:
            if self._map is not None and size > 0 and hasattr(mmap, "MADV_DONTNEED"):
                self._map.madvise(mmap.MADV_DONTNEED, start, size)

    def close(self) -> None:
        """Lets go of the mapping, which ends with the last view of it."""
        # Never mmap.close(): torch.frombuffer keeps the object but exports no buffer, so that the pages would
        # be unmapped under living tensors, and the next read of one would kill the process.
        with self._lock:
            self._map = None

    def _mapped(self) -> mmap.mmap:
        with self._lock:
            if self._map is None:
                with self.path.open("rb") as file:
                    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
                # Reading a mapping past its file's end kills the process, so the size is asked once more.
                if len(mapped) != self.header.size:
                    found = len(mapped)
                    mapped.close()
                    raise CheckpointDamaged(
                        self.header.name,
                        f"it has {found} bytes, {self.header.size} when its header was read",
                    )
                self._map = mapped
            return self._map


class PickledTensors:
    """A torch.save file, opened by torch.load(weights_only=True), mapped where its container allows it."""

    def __init__(self, path: Path, header: FileHeader) -> None:
        self.path, self.header = path, header
        self._loaded: dict[str, Any] | None = None
        self._lock = threading.Lock()

    def tensor(self, name: str) -> torch.Tensor:
        """The tensor, held against what the header said of it."""
        tensor: torch.Tensor = self._state_dict()[name].detach()
        info = self.header.tensors[name]
        if tensor.dtype != torch_dtype(info.dtype, info.file) or not _same_shape(tensor, info):
            raise CheckpointDamaged(
                self.header.name,
                f"{name} is {tensor.dtype} {tuple(tensor.shape)}, its header says {info.dtype} {info.shape}",
            )
        return tensor

    def release(self, name: str) -> None:
        """Nothing: pickles share storages among their tensors."""

    def close(self) -> None:
        """Forgets the tensors; those handed out live on."""
        with self._lock:
            self._loaded = None

    def _state_dict(self) -> dict[str, Any]:
        import pickle

        import torch

        with self._lock:
            if self._loaded is None:
                try:
                    loaded = torch.load(
                        self.path, map_location="cpu", weights_only=True, mmap=self.header.mappable
                    )
                except pickle.UnpicklingError as error:
                    raise CheckpointUnsafe(self.header.name, str(error).splitlines()[0]) from error
                except (RuntimeError, EOFError, ValueError) as error:
                    raise CheckpointDamaged(self.header.name, f"torch cannot read it ({error})") from error
                for key in self.header.wrapper:
                    loaded = loaded[key]
                self._loaded = loaded
            return self._loaded


def _same_shape(tensor: torch.Tensor, info: TensorInfo) -> bool:
    return info.dtype == "F4" or tuple(tensor.shape) == info.shape
