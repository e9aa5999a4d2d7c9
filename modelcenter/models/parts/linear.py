"""Linear layers and embeddings over plain or sharded weights."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelcenter.models.config import Linear, Parameter, Shape
from modelcenter.models.parts.sharding import first_row, gathered, local, split_group, summed


def meta_parameter(shape: Shape) -> nn.Parameter:
    """A parameter without memory: loading assigns the real one."""
    return nn.Parameter(torch.empty(shape, device="meta"), requires_grad=False)


class Holder(nn.Module):
    """A module that holds the parameters of one part of a config under their names, and nothing else."""

    def __init__(self, tree: dict[str, Parameter]) -> None:
        super().__init__()
        for name, parameter in tree.items():
            self.register_parameter(name, meta_parameter(parameter.shape))

    def held(self, name: str) -> Tensor:
        """The parameter of that name, by attribute: wrappers that keep slices gather it there."""
        return cast(Tensor, getattr(self, name))


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, transposed: bool = False) -> Tensor:
    """`x @ weight.T + bias`, the weight kept as (outputs, inputs), or (inputs, outputs) where `transposed`.

    x: (..., inputs), or this rank's share of the inputs where the weight is split along them: the products
    are then summed over the ranks, and the bias added once after.
    """
    rows = local(weight)
    matrix = rows.t() if transposed else rows
    group = split_group(weight, 0 if transposed else 1)
    offset = None if bias is None else local(bias)
    if group is None:
        return F.linear(x, matrix, offset)
    y = summed(F.linear(x, matrix), group)
    return y if offset is None else y + offset


class LinearPart(Holder):
    """A product and its bias."""

    weight: nn.Parameter

    def __init__(self, config: Linear) -> None:
        super().__init__(config.tree())
        self.transposed = config.transposed
        self.has_bias = config.bias
        self.precise = config.precise is not None
        self.scale = config.inputs**-0.5 if config.length_scaled else None

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs), this rank's outputs where they are split."""
        if self.precise:
            x = x.to(self.weight.dtype)
        if self.scale is not None:
            x = x * self.scale  # before the product, whose sums would overflow in fp16
        return linear(x, self.weight, self.held("bias") if self.has_bias else None, self.transposed)


class EmbeddingPart(Holder):
    """A vector per token of the vocabulary, whose rows may be split over ranks."""

    weight: nn.Parameter

    def __init__(self, rows: int, size: int) -> None:
        super().__init__({"weight": Parameter((rows, size), 0)})

    def forward(self, ids: Tensor) -> Tensor:
        """(batch, length) -> (batch, length, hidden_size)."""
        weight = self.weight
        group = split_group(weight, 0)
        rows = local(weight)
        if group is None:
            return F.embedding(ids, rows)
        start = first_row(weight, group)
        inside = (ids >= start) & (ids < start + len(rows))
        if len(rows) == 0:
            return summed(rows.new_zeros((*ids.shape, rows.shape[1])), group)
        vectors = F.embedding((ids - start).clamp(0, len(rows) - 1), rows) * inside[..., None]
        return summed(vectors, group)


def project(hidden: Tensor, weight: Tensor, bias: Tensor | None = None, normalized: bool = False) -> Tensor:
    """(..., hidden_size) -> (..., vocab_size), whole on every rank also where `weight` is split.

    normalized: each row of the weight is brought to length 1.
    """
    rows = F.normalize(local(weight)) if normalized else local(weight)
    logits = F.linear(hidden, rows, None if bias is None else local(bias))
    return gathered(logits, weight.shape[0], split_group(weight, 0))
