"""Parts compute on local tensors, whether their parameters are plain or DTensors split over ranks.

One function each for what a split parameter needs: its local piece, the group it is split over, sums and
gathers. The collectives here serve inference; they are not differentiable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


def is_distributed(parameter: Tensor) -> bool:
    """Whether `parameter` is a DTensor, told without importing torch.distributed.tensor."""
    return hasattr(parameter, "device_mesh")


def local(parameter: Tensor) -> Tensor:
    """This rank's piece of `parameter`, itself where it is plain."""
    return cast("DTensor", parameter).to_local() if is_distributed(parameter) else parameter


def split_group(parameter: Tensor, dim: int) -> dist.ProcessGroup | None:
    """The ranks over which `parameter` is split along `dim`, None where it is whole."""
    if not is_distributed(parameter):
        return None
    distributed = cast("DTensor", parameter)
    mesh, placements = distributed.device_mesh, distributed.placements
    for mesh_dim, placement in enumerate(placements):
        if placement.is_shard(dim):
            group: dist.ProcessGroup = mesh.get_group(mesh_dim)
            return group
    return None


def summed(x: Tensor, group: dist.ProcessGroup | None) -> Tensor:
    """The sum of `x` over the group, in place."""
    if group is not None:
        dist.all_reduce(x, group=group)
    return x


def gathered(x: Tensor, length: int, group: dist.ProcessGroup | None) -> Tensor:
    """The ranks' pieces of the last dimension side by side, `length` in all; the last may be shorter."""
    if group is None:
        return x
    world = dist.get_world_size(group)
    step = -(-length // world)
    x = F.pad(x, (0, step - x.shape[-1])).contiguous()
    parts = [torch.empty_like(x) for _ in range(world)]
    dist.all_gather(parts, x, group=group)
    return torch.cat(parts, dim=-1)[..., :length]


def first_row(parameter: Tensor, group: dist.ProcessGroup) -> int:
    """The number of the first row that this rank holds of a parameter whose rows are split."""
    world = dist.get_world_size(group)
    step = -(-parameter.shape[0] // world)
    return min(step * dist.get_rank(group), parameter.shape[0])


def local_slice(x: Tensor, dim: int, size: int, group: dist.ProcessGroup | None) -> Tensor:
    """This rank's `size` elements of a replicated `x` along `dim` (a bias per head, say)."""
    if group is None or x.shape[dim] == size:
        return x
    return x.narrow(dim, dist.get_rank(group) * size, size)
