"""config.json, read at the border: every value checked once, in the spellings that the years have left.

Untrusted like the rest of a checkpoint, so each number has a limit and nothing is defaulted silently: a
default is given by the family that knows its model's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelcenter.errors import ConfigurationInvalid
from modelcenter.models.config import Rotary, RotaryScaling

MOST = 2**31  # of any count or size; far above what exists, far below what hurts
MOST_LAYERS = 4096
LARGEST = 1e12  # of any base, scale or epsilon
ACTIVATIONS = frozenset(
    (
        *("gelu", "gelu_10", "gelu_accurate", "gelu_fast", "gelu_new", "gelu_python", "gelu_pytorch_tanh"),
        *("laplace", "leaky_relu", "linear", "mish", "quick_gelu", "relu", "relu2", "relu6"),
        *("sigmoid", "silu", "swish", "tanh"),
    )
)

_REQUIRED: Any = object()


class Configuration:
    """The values of a config.json. Raises ConfigurationInvalid, naming the key, for what cannot be meant."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values

    def __contains__(self, name: str) -> bool:
        return self.values.get(name) is not None

    def _find(self, names: tuple[str, ...], default: Any) -> tuple[str, Any]:
        for name in names:
            if self.values.get(name) is not None:
                return name, self.values[name]
        if default is _REQUIRED:
            raise ConfigurationInvalid(f"lacks {' or '.join(names)}")
        return names[0], default

    def integer(self, *names: str, default: Any = _REQUIRED, least: int = 1, most: int = MOST) -> int:
        """The first of `names` that is set, a whole number from `least` to `most`."""
        name, value = self._find(names, default)
        if value is default:
            return default  # type: ignore[no-any-return]
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ConfigurationInvalid(
                f"has {name} {value!r}; expected a whole number from {least} to {most}"
            )
        return value

    def layers(self, *names: str, default: Any = _REQUIRED) -> int:
        """A number of layers, or of experts: what each of becomes objects."""
        return self.integer(*names, default=default, most=MOST_LAYERS)

    def number(self, *names: str, default: Any = _REQUIRED) -> float:
        """The first of `names` that is set, a number that is not negative."""
        name, value = self._find(names, default)
        if value is default:
            return default  # type: ignore[no-any-return]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < LARGEST:
            raise ConfigurationInvalid(f"has {name} {value!r}; expected a number from 0 to {LARGEST:g}")
        return float(value)

    def positive(self, name: str, default: Any = _REQUIRED) -> float:
        """A number above 0."""
        value = self.number(name, default=default)
        if value == 0:
            raise ConfigurationInvalid(f"has {name} 0; expected a number above 0")
        return value

    def flag(self, *names: str, default: bool) -> bool:
        """The first of `names` that is set, true or false."""
        name, value = self._find(names, default)
        if not isinstance(value, bool):
            raise ConfigurationInvalid(f"has {name} {value!r}; expected true or false")
        return value

    def activation(self, *names: str, default: str) -> str:
        """The first of `names` that is set, an activation that we have."""
        name, value = self._find(names, default)
        if not isinstance(value, str) or value not in ACTIVATIONS:
            raise ConfigurationInvalid(
                f"has {name} {value!r}; expected one of {', '.join(sorted(ACTIVATIONS))}"
            )
        return value

    def refuse(self, **unsupported: Any) -> None:
        """Raise where a value changes the computation in a way that this family does not know.

        unsupported: name -> the values with which it changes nothing, None (absent) always among them.
        """
        for name, harmless in unsupported.items():
            value = self.values.get(name)
            if value is not None and value not in harmless:
                raise ConfigurationInvalid(
                    f"has {name} {value!r}, which changes what the model computes: unsupported"
                )

    def head_dim(self, hidden_size: int, num_heads: int) -> int:
        """The width of a head where nothing names it: an even part of the hidden size."""
        if hidden_size % num_heads:
            raise ConfigurationInvalid(
                f"has hidden states of {hidden_size} and {num_heads} heads; expected a multiple of the heads"
            )
        return hidden_size // num_heads

    @property
    def architecture(self) -> str:
        """The class it was saved from, empty where it does not say."""
        names = self.values.get("architectures")
        return str(names[0]) if isinstance(names, list) and names else ""

    @property
    def eos_token_ids(self) -> tuple[int, ...]:
        """The end tokens, as a configuration spells one or several."""
        value = self.values.get("eos_token_id")
        ids = value if isinstance(value, list) else [value]
        return tuple(i for i in ids if isinstance(i, int) and not isinstance(i, bool))

    @property
    def pad_token_id(self) -> int | None:
        """The padding token."""
        value = self.values.get("pad_token_id")
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    @property
    def num_labels(self) -> int:
        """How many classes a head tells apart, two where nothing says so."""
        labels = self.values.get("id2label")
        if "num_labels" not in self and labels is not None:
            if not isinstance(labels, Mapping) or not labels:
                raise ConfigurationInvalid("has an id2label that is not a table of names, one for each class")
            return len(labels)
        return self.integer("num_labels", default=2)

    def rotary(
        self,
        head_dim: int,
        *,
        theta: float,
        share: float = 1.0,
        old: tuple[str, str] = ("rope_theta", ""),
        interleaved: bool = False,
        kind: str = "",
    ) -> Rotary:
        """Rotary settings in the new spelling (`rope_parameters`) or the old (top level and `rope_scaling`).

        theta, share: the family's defaults of the base and of the rotated share of a head. old: how its older
        files spell the two. kind: whose settings, where the family's `rope_parameters` has a table for each
        kind of layer. Raises ConfigurationInvalid for a scaling that we do not have: none is ignored.
        """
        parameters = self.values.get("rope_parameters") or {}
        if kind and isinstance(parameters, Mapping):
            parameters = parameters.get(kind) or {}
        scaling = self.values.get("rope_scaling") or {}
        if not isinstance(parameters, Mapping) or not isinstance(scaling, Mapping):
            raise ConfigurationInvalid("has rope_parameters or rope_scaling that is no table")
        # What older files say at the top level counts under the family's own names alone.
        stated = {
            "rope_theta": self.values.get(old[0]),
            "partial_rotary_factor": self.values.get(old[1]) if old[1] else None,
        }
        new = Configuration({**self.values, **stated, **scaling, **parameters})
        base = new.number("rope_theta", default=theta)
        share = new.number("partial_rotary_factor", default=share)
        if share != 1 and not old[1]:
            raise ConfigurationInvalid(f"has partial_rotary_factor {share:g}, which the family does not know")
        named = new.values.get("rope_type", new.values.get("type", "default"))
        if base <= 1 or not 0 < share <= 1:
            raise ConfigurationInvalid(
                f"rotates {share:g} of each head with base {base:g}; expected a share up to 1, a base above 1"
            )
        dim = int(head_dim * share)
        return Rotary(dim=dim, theta=base, scaling=_scaling(named, new, dim), interleaved=interleaved)


def _scaling(kind: object, c: Configuration, dim: int) -> RotaryScaling | None:
    if kind in ("default", None):
        return None
    if kind == "linear":
        return RotaryScaling(kind="linear", factor=c.positive("factor"))
    original = c.integer("original_max_position_embeddings", "max_position_embeddings")
    if kind == "llama3":
        low, high = c.positive("low_freq_factor"), c.positive("high_freq_factor")
        if low >= high:
            raise ConfigurationInvalid(
                f"has low_freq_factor {low:g}; expected less than high_freq_factor {high:g}"
            )
        return RotaryScaling(
            kind="llama3",
            factor=c.positive("factor"),
            original_max_position_embeddings=original,
            low_freq_factor=low,
            high_freq_factor=high,
        )
    if kind == "yarn":
        if dim % 2:
            raise ConfigurationInvalid(f"stretches {dim} rotated elements by parts; expected an even number")
        longer = c.integer("max_position_embeddings", default=original) / original
        factor = c.positive("factor", default=longer)
        return RotaryScaling(
            kind="yarn",
            factor=factor,
            original_max_position_embeddings=original,
            beta_fast=c.positive("beta_fast", default=32.0),
            beta_slow=c.positive("beta_slow", default=1.0),
            truncate=c.flag("truncate", default=True),
            attention_factor=_yarn_attention_factor(c, factor),
        )
    if kind == "dynamic":
        if dim <= 2:
            raise ConfigurationInvalid(f"grows the base of {dim} rotated elements; expected more than 2")
        return RotaryScaling(
            kind="dynamic",
            factor=c.positive("factor"),
            original_max_position_embeddings=c.integer("max_position_embeddings"),
        )
    if kind in ("longrope", "su"):
        return _longrope(c, original, dim)
    raise ConfigurationInvalid(
        f"has rotary positions of type {kind!r}; expected default, linear, dynamic, llama3, yarn or longrope"
    )


def _longrope(c: Configuration, original: int, dim: int) -> RotaryScaling:
    from math import log, sqrt

    count = (dim + 1) // 2

    def factors(name: str) -> tuple[float, ...]:
        values = c.values.get(name)
        if (
            not isinstance(values, list)
            or len(values) != count
            or not all(
                isinstance(v, int | float) and not isinstance(v, bool) and 0 < v < LARGEST for v in values
            )
        ):
            raise ConfigurationInvalid(f"has {name} that are not {count} numbers above 0, one a frequency")
        return tuple(map(float, values))

    factor = c.integer("max_position_embeddings", default=original) / original
    if "factor" in c:
        factor = c.positive("factor")
    grown = sqrt(1 + log(factor) / log(original)) if factor > 1 and original > 1 else 1.0
    return RotaryScaling(
        kind="longrope",
        factor=factor,
        original_max_position_embeddings=original,
        attention_factor=c.number("attention_factor", default=grown),
        short_factors=factors("short_factor"),
        long_factors=factors("long_factor"),
    )


def _yarn_attention_factor(c: Configuration, factor: float) -> float:
    """By how much cosines and sines grow. Source: arXiv:2309.00071 eq. 22; transformers' rope utilities."""
    from math import log

    def mscale(scale: float, by: float = 1.0) -> float:
        return 0.1 * by * log(scale) + 1.0 if scale > 1 else 1.0

    if "attention_factor" in c:
        return c.number("attention_factor")
    if c.number("mscale", default=0.0) and c.number("mscale_all_dim", default=0.0):
        return mscale(factor, c.number("mscale")) / mscale(factor, c.number("mscale_all_dim"))
    return mscale(factor)
