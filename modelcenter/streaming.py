"""A hub's checkpoint whose weights are never on disk: headers by ranges, then the plan's bytes, once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from modelcenter.checkpoint.header import CheckpointHeader
from modelcenter.checkpoint.source import read_header
from modelcenter.client.locate import apart
from modelcenter.client.remote import RemoteFiles
from modelcenter.client.streaming import Progress, stream
from modelcenter.errors import CheckpointUnsupported
from modelcenter.planning import LoadingPlan
from modelcenter.weights.gathered import Gathered

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class StreamedCheckpoint:
    """A revision's tensors on a hub. folder: has its small files alone."""

    files: RemoteFiles
    folder: Path
    header: CheckpointHeader

    def tensor(self, name: str) -> torch.Tensor:
        """One small tensor, whole, in memory of its own."""
        import torch

        info = self.header.tensors[name]
        data = bytearray(self.files.read(info.file, info.start, info.stop))
        dtype = getattr(torch, info.torch_dtype)
        flat = torch.frombuffer(data, dtype=dtype) if prod(info.shape) else torch.empty(0, dtype=dtype)
        return flat.view(info.shape)

    def parameters(
        self,
        planned: LoadingPlan,
        query: Mapping[str, str],
        *,
        device: torch.device | str,
        clamp: bool,
        progress: Progress,
    ) -> dict[str, torch.Tensor]:
        """Every parameter of the plan, by name. query: what the plan was asked for, in the hub's words.

        Raises BeyondRange, and what `client.streaming.stream` raises.
        """
        from modelcenter.weights.receive import Receiver

        gathered, tensors = Gathered(planned.reads), self.header.tensors
        with Receiver(planned.steps, tensors, gathered, device=device, clamp=clamp) as receiver:
            stream(self.files, gathered, query, receiver, tensors, progress)
        return receiver.made


def open_stream(
    name: str | os.PathLike[str],
    *,
    revision: str | None = None,
    endpoint: str | None = None,
    token: str | None = None,
    local_files_only: bool = False,
) -> StreamedCheckpoint:
    """The checkpoint of `name` on its hub. Raises Invalid for a folder, CheckpointUnsupported for pickles."""
    files, folder = apart(
        name, revision=revision, endpoint=endpoint, token=token, local_files_only=local_files_only
    )
    header = read_header(files)
    if header.format != "safetensors":
        advice = "only safetensors can be streamed: load it without stream, or convert it"
        raise CheckpointUnsupported(header.parts[0].name, "is a pickle", advice)
    return StreamedCheckpoint(files, folder, header)


def query(**asked: str | int | bool | None) -> dict[str, str]:
    """What `load` was asked for, as the hub's plans are asked for it."""
    return {name: str(value).lower() for name, value in asked.items() if value is not None}
