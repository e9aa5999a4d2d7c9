"""Normalisation layers."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from modelcenter.models.config import Norm, Tree
from modelcenter.models.parts.linear import Holder
from modelcenter.models.parts.sharding import local


class NormPart(Holder):
    """Layer or root-mean-square normalisation over the last dimension."""

    def __init__(self, config: Norm, size: int) -> None:
        super().__init__(config.tree(size))
        self.config = config

    def forward(self, x: Tensor) -> Tensor:
        """The same shape, in the dtype of the weight, or of `x` where that is precise or there is none; the
        moments are taken in fp32."""
        weight = local(self.held("weight")) if self.config.weight else None
        bias = local(self.held("bias")) if self.config.bias else None
        return normalized(x, self.config, weight, bias)


class HeadNormPart(Holder):
    """A norm over each head, with weights of its own for each."""

    def __init__(self, config: Norm, tree: Tree) -> None:
        super().__init__(tree)
        self.config = config

    def forward(self, x: Tensor) -> Tensor:
        """(batch, heads, length, head_dim), this rank's heads -> the same shape."""
        made = normalized(x, self.config, None, None)
        if self.config.weight:
            made = made * local(self.held("weight"))[:, None]
        return made + local(self.held("bias"))[:, None] if self.config.bias else made


def normalized(x: Tensor, config: Norm, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """`x` normalised over its last dimension, then scaled and shifted by what is given."""
    shape = x.shape[-1:]
    if weight is not None and weight.dtype != x.dtype:
        # Either the weight is precise, or what came in: a sum with what a precise product has given.
        shift = None if bias is None else bias.float()
        made = normalized(x.float(), config, weight.float(), shift)
        return made.to(x.dtype if config.precise else weight.dtype)
    if config.kind == "layer":
        return F.layer_norm(x, shape, weight, bias, config.eps)
    if config.offset and weight is not None:
        # The sum needs the precision that the stored weight leaves out.
        return F.rms_norm(x.float(), shape, weight.float() + config.offset, config.eps).to(x.dtype)
    return F.rms_norm(x, shape, weight, config.eps)
