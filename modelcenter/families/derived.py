"""Whether derived tensors hold what the configuration implies: frequencies, position ids, masks, sines.

The model computes them and reads none of these; one that holds something else tells that config.json is not
the one that the checkpoint was trained with. No torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from modelcenter.models.config import Attention, ModelConfig, Rotary, Sinusoidal

Values: TypeAlias = "NDArray[Any]"


def contradiction(name: str, values: Values, config: ModelConfig) -> str | None:
    """What a derived tensor holds where that is not what `config` implies, else None.

    values: of any dtype and of the shape of their kind (see `modelcenter.weights.plan.derived_shape`). Files
    keep them rounded to half precision at times, whatever their dtype, so differences within that count for
    none. Nothing is told of a kind that the model computes in a way that leaves it open, such as frequencies
    that are stretched by parts.
    """
    for end, told in KINDS.items():
        if name.endswith(end):
            with np.errstate(all="ignore"):  # what is no number is told as such
                return told(np.atleast_1d(values), tuple(dict.fromkeys(parts(config))))
    return None


def parts(config: Any) -> Iterator[Any]:
    """Every part of a config that says where tokens are, and its attentions."""
    if isinstance(config, Attention | Rotary | Sinusoidal):
        yield config
    if is_dataclass(config):
        for field in fields(config):
            yield from parts(getattr(config, field.name))
    elif isinstance(config, tuple):
        for item in dict.fromkeys(config):  # a stack has few layers that differ
            yield from parts(item)


Parts: TypeAlias = "tuple[Any, ...]"
HALF = 2.0**-8  # what bfloat16 rounds off
LEAST = 2.0**-24  # the smallest float16


def frequencies(values: Values, known: Parts) -> str | None:
    """theta ** (-2i / dim), as files have them before they are stretched, or divided by a linear factor."""
    rotaries = [part for part in known if isinstance(part, Rotary)]
    if not rotaries or any(r.scaling and r.scaling.kind not in LATER for r in rotaries):
        return None
    found = values.astype(np.float64)
    for rotary in rotaries:
        plain = inverse(rotary.theta, rotary.dim // rotary.axes)
        factor = rotary.scaling.factor if rotary.scaling else 1.0
        if any(near(found, expected) for expected in (plain, plain / factor)):
            return None
    bases = " or ".join(f"{rotary.theta:g}" for rotary in rotaries)
    dims = " or ".join(str(rotary.turned // rotary.axes // 2) for rotary in rotaries)
    if len(found) > 1 and found[-1] > 0 and np.isfinite(found).all():
        base = found[-1] ** (-len(found) / (len(found) - 1))
        return f"{len(found)} frequencies of a base near {base:.4g}; expected {dims} of {bases}"
    return f"{len(found)} values that are no frequencies; expected {dims} of the base {bases}"


LATER = ("linear", "dynamic", "doublings")  # stretched as the text demands, not in the table


def inverse(theta: float, dim: int) -> Values:
    """(dim / 2,): the frequencies of rotary positions (arXiv:2104.09864 §3.2)."""
    made: Values = theta ** (-np.arange(0, dim, 2, dtype=np.float64) / dim)
    return made


def near(found: Values, expected: Values) -> bool:
    """Whether they are equal but for rounding to half precision."""
    return found.shape == expected.shape and bool(np.allclose(found, expected, rtol=HALF, atol=LEAST))


def position_ids(values: Values, known: Parts) -> str | None:
    """0, 1, 2, .."""
    counted = np.arange(values.shape[-1])
    return None if (values == counted).all() else "other numbers than 0, 1, 2, .."


def mask(values: Values, known: Parts) -> str | None:
    """Ones where a token is seen: by itself and all later ones, or those within the window of a layer."""
    seen = values.reshape(values.shape[-2:]) != 0
    windows = {part.window for part in known if isinstance(part, Attention)}
    own = np.tri(len(seen), dtype=bool)
    for window in (None, *windows):
        expected = own if window is None else own & ~np.tri(len(seen), k=-window, dtype=bool)
        if np.array_equal(seen, expected):
            return None
    return "no mask of what comes before, whole or within a window of the configuration"


def masked_bias(values: Values, known: Parts) -> str | None:
    """What is added where a token is not seen."""
    return None if (values < 0).all() else f"{values.reshape(-1)[0]}; expected a negative value"


def sines(values: Values, known: Parts) -> str | None:
    """The sines of all frequencies, then the cosines, of positions 0, 1, 2, .."""
    rows, size = values.shape
    found = values.astype(np.float64)
    padding: list[int] = []
    candidates = [inverse(p.theta, size) for p in known if isinstance(p, Rotary) and p.dim == size]
    for part in known:
        if isinstance(part, Sinusoidal):
            last = size - 2 if part.last_included else size
            candidates.append(10000.0 ** (-np.arange(0, size, 2, dtype=np.float64) / last))
            padding += [part.offset - 1] if part.counts != "all" else []
    if not candidates:
        return None
    for one in candidates:
        angles = np.arange(rows)[:, None] * one
        expected = np.concatenate((np.sin(angles), np.cos(angles)), axis=1)[:, :size]
        for row in padding:
            if 0 <= row < rows:
                expected[row] = 0
        if expected.shape == found.shape and np.allclose(found, expected, rtol=0, atol=HALF):
            return None
    return "other values than sines and cosines of the positions"


# How the name of a derived tensor ends -> what it holds, where the configuration implies something else.
KINDS: Mapping[str, Callable[[Values, Parts], str | None]] = {
    "inv_freq": frequencies,
    "position_ids": position_ids,
    "attn.bias": mask,
    "attention.bias": mask,
    "causal_mask": mask,
    "masked_bias": masked_bias,
    "embed_positions": sines,
    "embed_positions.weight": sines,
    "embed_positions.weights": sines,
}
