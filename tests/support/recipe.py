"""A recipe: how a tiny random checkpoint is made, and how older writers spelled its config.json."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Values = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Recipe:
    """How a checkpoint is made.

    The model:
      model         the class that writes it, and answers for it
      oracle        the module in tests/support/oracles that has the class, where transformers has none
      settings      of the class's configuration; keywords: of the class itself
      seed          of all values
      kind          what it is asked with: tokens, a source and tokens, or images

    Its files:
      respell       config.json as other writers spell it
      apart         tied tensors that get values of their own
      copies        tensors that the file holds once more, copy -> original
      lacks         tensors that released files do not hold; optional: those that some do not
      only_numbers  whether another recipe's files have the same tensors: only what is computed is new

    What it is asked:
      attention     which of transformers' implementations
      segments      the kinds of token_type_ids, where its configuration does not say
      least_id      of the tokens, where smaller ones are padding whatever the mask says
      first_id      the first token, where a text needs one
      row_by_row    whether transformers takes padding in a batch of one row alone
      sees_ahead    whether a text sees what follows, so that a cache changes answers
    """

    name: str
    model: str
    settings: Values
    respell: Callable[[Values], Values] | None = None
    apart: tuple[str, ...] = ()
    copies: Mapping[str, str] = field(default_factory=dict)
    lacks: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    keywords: Values = field(default_factory=dict)
    seed: int = 20
    only_numbers: bool = False
    kind: Literal["decoder", "encoder", "encoder_decoder", "image"] = "decoder"
    oracle: str = ""
    attention: Literal["eager", "sdpa"] = "eager"
    segments: int = 0
    row_by_row: bool = False
    least_id: int = 0
    first_id: int | None = None
    sees_ahead: bool = False

    @property
    def generates(self) -> bool:
        return self.kind in ("decoder", "encoder_decoder") and self.model.endswith(
            ("CausalLM", "LMHeadModel", "ConditionalGeneration")
        )

    @property
    def is_encoder_decoder(self) -> bool:
        return self.kind == "encoder_decoder"

    @property
    def is_encoder(self) -> bool:
        return self.kind == "encoder"

    @property
    def is_image(self) -> bool:
        return self.kind == "image"


# --- respelling: as older writers spell config.json


def without(*names: str) -> Callable[[Values], Values]:
    """config.json without what older files lack."""
    return lambda values: {name: value for name, value in values.items() if name not in names}


def old_rope(values: Values) -> Values:
    """Rotary settings at the top level, as files before transformers 5 have them."""
    parameters = dict(values.pop("rope_parameters"))
    kind = parameters.pop("rope_type")
    values["rope_theta"] = parameters.pop("rope_theta")
    values["rope_scaling"] = {"rope_type": kind, **parameters} if kind != "default" else None
    values["torch_dtype"] = values.pop("dtype")
    return values


def oldest_rope(values: Values) -> Values:
    """The same with the first name of the kind."""
    values = old_rope(values)
    values["rope_scaling"]["type"] = values["rope_scaling"].pop("rope_type")
    return values
