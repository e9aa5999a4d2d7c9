"""What a form is: a family's config.json in it, and the model as it has it. And what all families share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from modelcenter.families import openbmb
from modelcenter.models.config import (
    Decoder,
    Encoder,
    EncoderDecoder,
    ImageClassificationHead,
    ImageEncoder,
    LanguageHead,
    MaskedLanguageHead,
    ModelConfig,
    Norm,
    Pooler,
)

if TYPE_CHECKING:
    from torch import Tensor

HUGGINGFACE = "huggingface"
NUM_CLASSES: int = openbmb.DEFAULTS_OF_VIT["num_classes"]
NO_HEAD = "The checkpoint has no head: OpenBMB's form takes the embedding for one."

Get = Callable[[str], "Tensor"]
Values = Mapping[str, Callable[[Get], "Tensor"]]


@dataclass(frozen=True)
class Adapted:
    """The model as a form has it. values: its parameters that are computed from those of the other.

    widened: whether they are in fp32 now. notes: what the form cannot hold, as sentences. duplicates: tensors
    of the file that repeat another.
    """

    config: ModelConfig
    values: Values = field(default_factory=dict)
    widened: bool = False
    notes: tuple[str, ...] = ()
    duplicates: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Form:
    """How a family is written in one form: its config.json, and the model as this form has it.

    whole: the same with every head that this form's own classes build, whether the checkpoint has it or not.
    """

    describe: Callable[[Any], dict[str, Any]]
    adapt: Callable[[Any, Get], Adapted] = lambda config, get: Adapted(config)
    whole: Callable[[Any], Any] = lambda config: config


def common(c: Any, model_type: str, architecture: str) -> dict[str, Any]:
    """What every config.json of transformers says."""
    ends = c.eos_token_ids[0] if len(c.eos_token_ids) == 1 else list(c.eos_token_ids)
    return {
        "architectures": [architecture],
        "model_type": model_type,
        **({"vocab_size": c.vocab_size} if hasattr(c, "vocab_size") else {}),
        **({"pad_token_id": c.pad_token_id} if c.pad_token_id is not None else {}),
        **({"eos_token_id": ends} if c.eos_token_ids else {}),
    }


def tied(c: Any) -> bool:
    return c.head is None or bool(c.head.tied)


def labels(count: int) -> dict[str, Any]:
    """Classes without names."""
    names = {i: f"LABEL_{i}" for i in range(count)}
    return {
        "id2label": {str(i): name for i, name in names.items()},
        "label2id": {name: i for i, name in names.items()},
    }


def close(a: float, b: float) -> bool:
    return abs(a - b) <= 1e-9 * max(abs(a), abs(b))


def times(name: str, factor: float) -> Callable[[Get], Tensor]:
    """A parameter multiplied, in double precision and then in single: more than half precision needs."""
    return lambda get: (get(name).double() * factor).float()


def without(head: Any) -> str:
    return f"Left out: the {head.name} head, for which OpenBMB's form has no place."


def original(
    describe: Callable[[Any], dict[str, Any]],
    adapt: Callable[[Any, Get], Adapted] = lambda config, get: Adapted(config),
) -> Form:
    """A family in OpenBMB's form."""
    return Form(describe, lambda config, get: _with_head(adapt(config, get)), _whole)


def _with_head(made: Adapted) -> Adapted:
    """A model without a head as one whose head is the embedding, which needs no tensor."""
    c: Any = made.config
    if getattr(c, "head", None) is not None or not isinstance(c, Decoder | EncoderDecoder):
        return made
    scale = c.hidden_size**-0.5 if c.blocks[0].attention.length_scaled else 1.0
    name = "seq2seq-lm" if isinstance(c, EncoderDecoder) else "causal-lm"
    head = LanguageHead(tied=True, scale=scale, name=name)
    return replace(made, config=replace(c, head=head), notes=(*made.notes, NO_HEAD))


def _whole(c: Any) -> Any:
    """Encoders have a pooler and a head over the vocabulary, ViT has classes."""
    if isinstance(c, ImageEncoder):
        return replace(c, head=c.head or ImageClassificationHead(num_labels=NUM_CLASSES))
    if not isinstance(c, Encoder):
        return c
    norm = Norm(kind="layer", eps=c.blocks[0].norm.eps, bias=True)
    masked = MaskedLanguageHead(activation="gelu", norm=norm, tied=False, bias=False)
    return replace(c, pooler=Pooler(), head=masked)
