"""Feedforward layers, gated or not, and the activations that configurations name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelcenter.models.config import FeedForward
from modelcenter.models.parts.linear import LinearPart


def quick_gelu(x: Tensor) -> Tensor:
    """x * sigmoid(1.702 x). Source: the OpenAI CLIP implementation."""
    return x * torch.sigmoid(1.702 * x)


# As transformers' ACT2FN names them.
ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_new": partial(F.gelu, approximate="tanh"),
    "gelu_fast": partial(F.gelu, approximate="tanh"),
    "gelu_pytorch_tanh": partial(F.gelu, approximate="tanh"),
    "quick_gelu": quick_gelu,
    "relu": F.relu,
    "silu": F.silu,
    "swish": F.silu,
    "tanh": torch.tanh,
}


def gated(x: Tensor, activation: Callable[[Tensor], Tensor], layout: str, block_rows: int) -> Tensor:
    """(..., 2 * intermediate_size) of gate and up -> activation(gate) * up, (..., intermediate_size)."""
    if layout == "sections":
        gate, up = x.chunk(2, dim=-1)
        return activation(gate) * up
    gate, up = x.unflatten(-1, (-1, 2, block_rows)).unbind(-2)
    return cast(Tensor, (activation(gate) * up).flatten(-2))


class FeedForwardPart(nn.Module):
    """down(activation(up(x))), or down(activation(gate(x)) * up(x))."""

    def __init__(self, config: FeedForward, hidden_size: int) -> None:
        super().__init__()
        self.config = config
        self.activation = ACTIVATIONS[config.activation]
        for name, linear in config.linears(hidden_size).items():
            self.add_module(name, LinearPart(linear))

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., hidden_size) -> (..., hidden_size)."""
        c = self.config
        if not c.gated:
            inner = self.activation(self.get_submodule("up")(hidden))
        elif c.layout == "separate":
            inner = self.activation(self.get_submodule("gate")(hidden)) * self.get_submodule("up")(hidden)
        else:
            inner = gated(self.get_submodule("gate_up")(hidden), self.activation, c.layout, c.block_rows)
        return cast(Tensor, self.get_submodule("down")(inner))
