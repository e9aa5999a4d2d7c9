"""A mixture of experts: a router and, for each token, the few feedforwards it chooses."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from modelcenter.models.config import ClampedGate, Experts, Router
from modelcenter.models.parts.feedforward import ACTIVATIONS, FeedForwardPart, gated
from modelcenter.models.parts.linear import Holder, LinearPart
from modelcenter.models.parts.sharding import local, split_group, summed


class RouterPart(Holder):
    """Weights and numbers of the experts that each token chooses."""

    def __init__(self, config: Experts, hidden_size: int) -> None:
        super().__init__(config.router.tree(config.num_experts, hidden_size))
        self.config = config.router
        self.count = config.num_experts_per_token

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """(tokens, hidden_size) -> weights in fp32 and numbers, (tokens, num_experts_per_token).

        All in fp32: a rounded score can send a token elsewhere.
        """
        c = self.config
        bias = local(self.held("bias")).float() if c.bias else None
        logits = F.linear(tokens.float(), local(self.held("weight")).float(), bias)
        scores = logits.sigmoid() if c.scoring == "sigmoid" else logits.softmax(dim=-1)
        judged = scores + local(self.held("correction_bias")) if c.correction_bias else scores
        if c.num_groups > 1:
            judged = of_best_groups(judged, c)
        chosen = judged.topk(self.count, dim=-1).indices
        weights = scores.gather(1, chosen)
        if c.normalized:
            weights = weights / weights.sum(dim=-1, keepdim=True).clamp(min=c.least_sum)
        return weights if c.scale == 1.0 else weights * c.scale, chosen


def of_best_groups(scores: Tensor, config: Router) -> Tensor:
    """Scores (tokens, num_experts), minus infinity outside each token's best groups."""
    groups = scores.unflatten(-1, (config.num_groups, -1))
    best = groups.topk(1 if config.group_score == "best" else 2, dim=-1).values.sum(dim=-1)
    chosen = best.topk(config.num_chosen_groups, dim=-1).indices
    outside = torch.ones_like(best, dtype=torch.bool).scatter(1, chosen, False)
    return cast(Tensor, groups.masked_fill(outside[..., None], -torch.inf).flatten(1))


def clamped_swiglu(gate: Tensor, up: Tensor, config: ClampedGate) -> Tensor:
    """(up + 1) * gate * sigmoid(alpha * gate) of clamped values. Source: transformers modeling_gpt_oss.py."""
    gate, up = gate.clamp(max=config.limit), up.clamp(-config.limit, config.limit)
    return (up + 1) * gate * torch.sigmoid(config.alpha * gate)


class ExpertsPart(Holder):
    """The router as a module, the experts as stacked (or, in layout `separate`, numbered) parameters."""

    def __init__(self, config: Experts, hidden_size: int) -> None:
        super().__init__(config.matrices(hidden_size))
        self.config = config
        self.activation = ACTIVATIONS[config.activation]
        self.router = RouterPart(config, hidden_size)
        if config.shared is not None:
            self.shared = FeedForwardPart(config.shared, hidden_size)
        if config.shared_gate:
            self.shared_gate = LinearPart(config.gate_of_shared(hidden_size))

    def gate(self, pair: Tensor) -> Tensor:
        """(..., 2 * intermediate_size) of gate and up -> (..., intermediate_size)."""
        c = self.config
        if c.clamped_gate is None:
            return gated(pair, self.activation, c.layout, c.block_rows)
        gate, up = pair.unflatten(-1, (-1, 2, c.block_rows)).unbind(-2)
        return clamped_swiglu(gate, up, c.clamped_gate).flatten(-2)

    def matrices(self) -> tuple[Tensor, ...]:
        """The stacked parameters that experts compute with, read once a forward: gate_up, down, a bias."""
        if not self.config.stacked:
            return ()
        gate_up, down = (local(self.held(name)) for name in ("gate_up", "down"))
        if self.config.transposed:
            gate_up, down = gate_up.transpose(1, 2), down.transpose(1, 2)
        return (gate_up, down, *((local(self.held("gate_up_bias")),) if self.config.bias else ()))

    def expert(self, number: int, tokens: Tensor, matrices: tuple[Tensor, ...]) -> Tensor:
        """What one expert makes of its tokens (tokens, hidden_size), without the last bias; over ranks a part
        of the sum."""
        if matrices:
            gate_up, down, *biases = (matrix[number] for matrix in matrices)
            return F.linear(self.gate(F.linear(tokens, gate_up, *biases)), down)
        gate, up, down = (local(self.held(f"{name}_{number}")) for name in ("gate", "up", "down"))
        return F.linear(self.activation(F.linear(tokens, gate)) * F.linear(tokens, up), down)

    def forward(self, hidden: Tensor) -> Tensor:
        """(batch, length, hidden_size) -> the same shape."""
        c = self.config
        tokens = hidden.flatten(0, -2)
        weights, chosen = self.router(tokens)
        matrices = self.matrices()
        out = torch.zeros_like(tokens)
        for number in chosen.unique().tolist():
            rows, places = torch.where(chosen == number)
            made = self.expert(number, tokens[rows], matrices) * weights[rows, places, None]
            out.index_add_(0, rows, made.to(out.dtype))
        name, dim = ("down", 1 if c.transposed else 2) if c.stacked else ("down_0", 1)
        summed(out, split_group(self.held(name), dim))
        if c.bias:  # once, after the sum over ranks
            shares = weights.new_zeros(len(tokens), c.num_experts).scatter(1, chosen, weights)
            out = out + shares.to(out.dtype) @ local(self.held("down_bias"))
        if c.shared is not None:
            out = out + self.of_shared(tokens)
        return out.view_as(hidden)

    def of_shared(self, tokens: Tensor) -> Tensor:
        """What the shared expert makes of all tokens (tokens, hidden_size)."""
        made = cast(Tensor, self.shared(tokens))
        return torch.sigmoid(self.shared_gate(tokens)) * made if self.config.shared_gate else made
