"""A mixture of experts: a router and, for each token, the few feedforwards it chooses."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from modelcenter.models.config import Experts
from modelcenter.models.parts.feedforward import ACTIVATIONS, gated
from modelcenter.models.parts.linear import Holder
from modelcenter.models.parts.sharding import local, split_group, summed


class ExpertsPart(Holder):
    """The router as a module, the experts as stacked (or, in layout `separate`, numbered) parameters."""

    def __init__(self, config: Experts, hidden_size: int) -> None:
        tree = config.tree(hidden_size)
        router = tree.pop("router.weight")
        super().__init__(tree)
        self.router = Holder({"weight": router})
        self.config = config
        self.activation = ACTIVATIONS[config.activation]
        # Parameters are read once a forward, by these names, in the order of the experts.
        self.stacked = config.layout != "separate"

    def route(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """(tokens, hidden_size) -> weights and numbers of the chosen, (tokens, num_experts_per_token)."""
        logits = F.linear(hidden, local(self.router.get_parameter("weight")))
        weights, chosen = logits.float().softmax(dim=-1).topk(self.config.num_experts_per_token, dim=-1)
        return weights / weights.sum(dim=-1, keepdim=True), chosen

    def expert(self, number: int, hidden: Tensor, matrices: tuple[Tensor, ...]) -> Tensor:
        """What one expert makes of its tokens (tokens, hidden_size); over ranks a part of the sum."""
        if self.stacked:
            gate_up, down = matrices
            inner = gated(
                F.linear(hidden, gate_up[number]), self.activation, self.config.layout, self.config.block_rows
            )
            return F.linear(inner, down[number])
        gate, up, down = (local(self.get_parameter(f"{name}_{number}")) for name in ("gate", "up", "down"))
        return F.linear(self.activation(F.linear(hidden, gate)) * F.linear(hidden, up), down)

    def forward(self, hidden: Tensor) -> Tensor:
        """(batch, length, hidden_size) -> the same shape."""
        tokens = hidden.flatten(0, -2)
        weights, chosen = self.route(tokens)
        down = self.get_parameter("down") if self.stacked else self.get_parameter("down_0")
        matrices = (local(self.get_parameter("gate_up")), local(down)) if self.stacked else ()
        out = torch.zeros_like(tokens)
        for number in chosen.unique().tolist():
            rows, places = torch.where(chosen == number)
            made = self.expert(number, tokens[rows], matrices) * weights[rows, places, None].to(tokens.dtype)
            out.index_add_(0, rows, made)
        summed(out, split_group(down, 2 if self.stacked else 1))
        return out.view_as(hidden)
