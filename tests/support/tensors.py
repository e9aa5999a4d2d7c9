"""Tensors of every kind that a checkpoint may hold."""

import torch

DTYPES = [
    torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.int16,
    torch.int8, torch.uint8, torch.bool, torch.float8_e4m3fn, torch.float8_e5m2, torch.complex64,
    torch.uint16, torch.uint32,
]  # fmt: skip


def values(dtype: torch.dtype, *shape: int) -> torch.Tensor:
    """Random values of any dtype."""
    return (torch.rand(shape) * 2).to(dtype)


def every_kind() -> dict[str, torch.Tensor]:
    """A tensor of every dtype, a scalar, an empty one, names in two scripts."""
    torch.manual_seed(0)
    found = {f"layer.{str(dtype).removeprefix('torch.')}": values(dtype, 3, 5) for dtype in DTYPES}
    return {
        **found,
        "标量": torch.tensor(2.5),
        "empty": torch.zeros(0, 7),
        "one byte": torch.tensor([7], dtype=torch.uint8),
        "cube": torch.randn(2, 3, 4),
    }


def same(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    """Equal in dtype, shape and every bit."""
    if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
        return False
    flat = [t.contiguous().reshape(-1).view(torch.uint8) for t in (ours, theirs)]
    return torch.equal(*flat)
