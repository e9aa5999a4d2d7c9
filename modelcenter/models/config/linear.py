"""Products and norms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from modelcenter.models.config.parameter import Parameter, Precise, Tree


@dataclass(frozen=True, kw_only=True)
class Linear:
    """A product with a weight of (outputs, inputs), or of (inputs, outputs) where `transposed`.

    split: which side tensor parallelism divides; unit: see Parameter.
    length_scaled: the product is divided by sqrt(inputs): weights are of order 1 (OpenBMB's `length_scale`).
    precise: see Parameter; the product is then taken, and given on, in the precision of the weight.
    """

    outputs: int
    inputs: int
    bias: bool = False
    transposed: bool = False
    split: Literal["outputs", "inputs"] | None = None
    unit: int | None = None
    length_scaled: bool = False
    precise: Precise | None = None

    def tree(self) -> Tree:
        shape = (self.inputs, self.outputs) if self.transposed else (self.outputs, self.inputs)
        dim = None if self.split is None else int((self.split == "inputs") != self.transposed)
        tree = {"weight": Parameter(shape, dim, self.unit, self.precise)}
        if self.bias:
            split = self.split == "outputs"
            dim, unit = (0, self.unit) if split else (None, None)
            tree["bias"] = Parameter((self.outputs,), dim, unit, self.precise)
        return tree


@dataclass(frozen=True, kw_only=True)
class Norm:
    """Layer normalisation (arXiv:1607.06450) or the root mean square alone (arXiv:1910.07467).

    weight: whether it scales; OLMo's does not. offset: what is added to the stored weight (Gemma's 1).
    precise: see Parameter; what comes out has the dtype of what came in all the same.
    """

    kind: Literal["layer", "rms"]
    eps: float
    bias: bool = False
    weight: bool = True
    offset: float = 0.0
    precise: Precise | None = None

    def tree(self, size: int) -> Tree:
        one = Parameter((size,), precise=self.precise)
        return {name: one for name in ("weight", "bias") if getattr(self, name)}
