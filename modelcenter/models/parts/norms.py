"""Normalisation layers."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from modelcenter.models.config import Norm
from modelcenter.models.parts.linear import Holder
from modelcenter.models.parts.sharding import local


class NormPart(Holder):
    """Layer or root-mean-square normalisation over the last dimension."""

    weight: nn.Parameter

    def __init__(self, config: Norm, size: int) -> None:
        super().__init__(config.tree(size))
        self.config = config

    def forward(self, x: Tensor) -> Tensor:
        """Same shape and dtype; the moments are taken in fp32."""
        weight = local(self.weight)
        if self.config.kind == "layer":
            bias = local(self.get_parameter("bias")) if self.config.bias else None
            return F.layer_norm(x, weight.shape, weight, bias, self.config.eps)
        return F.rms_norm(x, weight.shape, weight, self.config.eps)
