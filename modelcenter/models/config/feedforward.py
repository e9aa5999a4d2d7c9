"""Feedforward layers and mixtures of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Self

from modelcenter.errors import ConfigurationInvalid
from modelcenter.models.config.linear import Linear
from modelcenter.models.config.parameter import Parameter, Precise, Tree, nested, under

PairLayout = Literal["alternating", "sections", "separate"]
ExpertLayout = Literal["alternating", "interleaved", "sections", "separate"]


def alternating_rows(intermediate_size: int) -> int:
    """Rows of a block where gate and up alternate.

    The largest power of two, at most 128, that leaves the number of blocks divisible by 16; below 32 rows,
    where the activation gets slow, by 8, then by 4.
    """
    for divisor, least in ((16, 32), (8, 32), (4, 1), (2, 1), (1, 1)):
        for rows in (128, 64, 32, 16, 8, 4, 2, 1):
            if rows >= least and intermediate_size % (rows * divisor) == 0:
                return rows
    return 1


@dataclass(frozen=True, kw_only=True)
class FeedForward:
    """Two products with an activation between them, the first gated or not (arXiv:2002.05202).

    layout of a gated pair: `alternating` blocks of `block_rows` rows of gate, then up: [g1, u1, g2, u2, ..],
    of which a contiguous slice is a rank's share; `sections` [gate | up]; `separate`, two matrices.
    bias: of every product, or of the last alone (`down`).
    length_scaled: see Linear. precise: of the last product (T5's, whose released weights exceed fp16).
    """

    intermediate_size: int
    activation: str
    gated: bool
    bias: bool | Literal["down"] = False
    layout: PairLayout = "alternating"
    transposed: bool = False
    length_scaled: bool = False
    precise: Precise | None = None

    @property
    def block_rows(self) -> int:
        """Rows of a block where gate and up alternate."""
        return alternating_rows(self.intermediate_size)

    def in_layout(self, layout: Literal["fused", "separate"]) -> Self:
        """The same layer with gate and up fused, in alternating blocks, or apart."""
        return replace(self, layout="alternating" if layout == "fused" else "separate")

    def linears(self, hidden_size: int) -> dict[str, Linear]:
        """The products by name."""
        sharded = not (self.gated and self.layout == "sections")
        unit = self.block_rows if self.gated and self.layout == "alternating" else 1

        def inward(outputs: int, unit: int) -> Linear:
            return Linear(
                outputs=outputs,
                inputs=hidden_size,
                bias=self.bias is True,
                transposed=self.transposed,
                split="outputs" if sharded else None,
                unit=unit,
                length_scaled=self.length_scaled,
            )

        if not self.gated:
            inputs = {"up": inward(self.intermediate_size, 1)}
        elif self.layout == "separate":
            inputs = {"gate": inward(self.intermediate_size, 1), "up": inward(self.intermediate_size, 1)}
        else:
            inputs = {"gate_up": inward(2 * self.intermediate_size, 2 * unit)}
        down = Linear(
            outputs=hidden_size,
            inputs=self.intermediate_size,
            bias=bool(self.bias),
            transposed=self.transposed,
            split="inputs" if sharded else None,
            unit=unit,
            length_scaled=self.length_scaled,
            precise=self.precise,
        )
        return {**inputs, "down": down}

    def tree(self, hidden_size: int) -> Tree:
        return nested({name: linear.tree() for name, linear in self.linears(hidden_size).items()})


@dataclass(frozen=True, kw_only=True)
class Router:
    """How a token chooses its experts, and what each of their answers counts.

    scoring: `softmax` over all experts, or `sigmoid`, each by itself. normalized: the weights of the chosen
    are brought to a sum of 1, which after a softmax is a softmax over the chosen alone; least_sum: what they
    are divided by at least. scale: of the weights. bias: of the product that scores. correction_bias: one
    that counts for the choice, not for the weights (arXiv:2408.15664).
    num_groups, num_chosen_groups: experts come from the best groups only (arXiv:2405.04434 §2.2.2), a group
    being as good as its best expert, or (`group_score`) as its best two together (arXiv:2412.19437 §2.1.2).
    precise: of the product that scores, see Parameter; the correction bias is so in every half.
    """

    scoring: Literal["softmax", "sigmoid"] = "softmax"
    normalized: bool = True
    least_sum: float = 2.0**-126
    scale: float = 1.0
    bias: bool = False
    correction_bias: bool = False
    num_groups: int = 1
    num_chosen_groups: int = 1
    group_score: Literal["best", "best_two"] = "best"
    precise: Precise | None = None

    def tree(self, num_experts: int, hidden_size: int) -> Tree:
        # Large beside the differences between scores: rounded, it would send tokens elsewhere.
        bias = Parameter((1, num_experts), precise="half")
        return {
            **Linear(outputs=num_experts, inputs=hidden_size, bias=self.bias, precise=self.precise).tree(),
            **({"correction_bias": bias} if self.correction_bias else {}),
        }


@dataclass(frozen=True, kw_only=True)
class ClampedGate:
    """(up + 1) * gate * sigmoid(alpha * gate), gate at most `limit`, up within it both ways (GPT-OSS)."""

    alpha: float
    limit: float


@dataclass(frozen=True, kw_only=True)
class Experts:
    """A router that sends each token to `num_experts_per_token` gated feedforwards (arXiv:2401.04088).

    layout, of gate_up (experts, 2 * intermediate_size, hidden_size): `alternating`, each expert's rows as in
    FeedForward; `interleaved`, rows of gate and up by turns, as GPT-OSS stores them; `sections`, [gate | up],
    which does not shard. down is (experts, hidden_size, intermediate_size). `separate`: gate_E, up_E and
    down_E of each expert E. transposed: each matrix is kept (in, out). bias: gate_up_bias (experts, 2 *
    intermediate_size) and down_bias (experts, hidden_size); only where experts are stacked.
    clamped_gate: in place of activation(gate) * up.
    shared: a feedforward that every token goes through (arXiv:2401.06066); shared_gate: how much of it, by
    the sigmoid of a product (Qwen2-MoE).
    """

    num_experts: int
    num_experts_per_token: int
    intermediate_size: int
    activation: str
    layout: ExpertLayout = "alternating"
    transposed: bool = False
    bias: bool = False
    clamped_gate: ClampedGate | None = None
    router: Router = Router()
    shared: FeedForward | None = None
    shared_gate: bool = False

    def __post_init__(self) -> None:
        chosen, experts, groups = self.num_experts_per_token, self.num_experts, self.router.num_groups
        if chosen > experts:
            raise ConfigurationInvalid(f"chooses {chosen} of {experts} experts; expected fewer")
        if experts % groups or self.router.num_chosen_groups > groups:
            raise ConfigurationInvalid(
                f"chooses {self.router.num_chosen_groups} of {groups} groups of {experts} experts; "
                "expected fewer, of equal size"
            )
        size = experts // groups
        if chosen > size * self.router.num_chosen_groups or (
            size < 2 and self.router.group_score == "best_two"
        ):
            raise ConfigurationInvalid(
                f"chooses {chosen} experts from {self.router.num_chosen_groups} groups of {size}; "
                "expected larger groups"
            )

    @property
    def block_rows(self) -> int:
        """Rows of a block where gate and up alternate."""
        return 1 if self.layout == "interleaved" else alternating_rows(self.intermediate_size)

    @property
    def stacked(self) -> bool:
        """Whether one tensor has the matrices of all experts."""
        return self.layout != "separate"

    def in_layout(self, layout: Literal["fused", "separate"]) -> Self:
        """The same experts stacked, gate and up in alternating blocks, or each matrix apart.

        Those that are stored stacked are not taken apart.
        """
        shared = self.shared and self.shared.in_layout(layout)
        if self.layout == "interleaved":
            return replace(self, shared=shared)
        apart = layout == "separate" and self.layout != "sections"
        return replace(self, layout="separate" if apart else "alternating", shared=shared)

    def gate_of_shared(self, hidden_size: int) -> Linear:
        """The product that says how much of the shared expert counts."""
        return Linear(outputs=1, inputs=hidden_size)

    def matrices(self, hidden_size: int) -> Tree:
        """The parameters of the experts alone, without the router's and the shared expert's."""
        size, experts, rows = self.intermediate_size, self.num_experts, self.block_rows
        if not self.stacked:
            tree: Tree = {}
            for e in range(experts):
                tree[f"gate_{e}"] = tree[f"up_{e}"] = Parameter((size, hidden_size), 0, 1)
                tree[f"down_{e}"] = Parameter((hidden_size, size), 1, 1)
            return tree
        inward, outward = (experts, 2 * size, hidden_size), (experts, hidden_size, size)
        if self.transposed:
            inward, outward = (experts, hidden_size, 2 * size), (experts, size, hidden_size)
        dims = (2, 1) if self.transposed else (1, 2)
        if self.layout == "sections":
            return {"gate_up": Parameter(inward), "down": Parameter(outward)}
        biases = {
            "gate_up_bias": Parameter((experts, 2 * size), 1, 2 * rows),
            "down_bias": Parameter((experts, hidden_size)),
        }
        return {
            "gate_up": Parameter(inward, dims[0], 2 * rows),
            "down": Parameter(outward, dims[1], rows),
            **(biases if self.bias else {}),
        }

    def tree(self, hidden_size: int) -> Tree:
        return {
            **under("router.", self.router.tree(self.num_experts, hidden_size)),
            **self.matrices(hidden_size),
            **(under("shared.", self.shared.tree(hidden_size)) if self.shared else {}),
            **(under("shared_gate.", self.gate_of_shared(hidden_size).tree()) if self.shared_gate else {}),
        }
