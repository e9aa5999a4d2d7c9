"""Whether two configs are of the same model."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

from modelcenter.families.family import in_layout, with_blocks
from modelcenter.families.forms.form import close
from modelcenter.models.config import Block, EncoderDecoder, FeedForward, MaskedLanguageHead, ModelConfig

SAME_ACTIVATION = {
    "gelu_fast": "gelu_new",
    "gelu_pytorch_tanh": "gelu_new",
    "gelu_accurate": "gelu_new",
    "gelu_python": "gelu",
    "swish": "silu",
}


def canonical(config: ModelConfig) -> Any:
    """`config` without what does not change the model's answers: layouts, spellings, precision, tokens by
    default."""

    def plain(block: Block) -> Block:
        changes: dict[str, Any] = {}
        for name in ("attention", "cross_attention"):
            a = getattr(block, name)
            if a is not None and hasattr(a, "transposed"):
                is_default = a.scale is not None and close(a.scale, a.head_dim**-0.5)
                changes[name] = replace(a, transposed=False, scale=None if is_default else a.scale)
        f = block.feedforward
        if isinstance(f, FeedForward):
            activation = SAME_ACTIVATION.get(f.activation, f.activation)
            changes["feedforward"] = replace(f, transposed=False, activation=activation, precise=None)
        return replace(block, **changes)

    made: Any = with_blocks(in_layout(config, "fused"), plain)
    head = getattr(made, "head", None)
    if isinstance(head, MaskedLanguageHead):
        activation = SAME_ACTIVATION.get(head.activation, head.activation)
        made = replace(made, head=replace(head, activation=activation))
    known: dict[str, Any] = {"pad_token_id": None, "eos_token_ids": (), "max_position_embeddings": None}
    if isinstance(made, EncoderDecoder):
        known["decoder_start_token_id"] = 0
    return replace(made, **known)


def differences(wanted: Any, found: Any, where: str = "") -> list[str]:
    """Where two configs differ, as `place: value, other value`."""
    if type(wanted) is not type(found):
        return [f"{where}: {_short(wanted)}, not {_short(found)}"]
    if is_dataclass(wanted):
        named = ((f.name, getattr(wanted, f.name), getattr(found, f.name)) for f in fields(wanted))
        return [told for name, a, b in named for told in differences(a, b, f"{where}.{name}".strip("."))]
    if isinstance(wanted, tuple) and len(wanted) == len(found):
        pairs = enumerate(zip(wanted, found, strict=True))
        return [told for i, (a, b) in pairs for told in differences(a, b, f"{where}.{i}")]
    if isinstance(wanted, float) and close(wanted, found):
        return []
    return [] if wanted == found else [f"{where}: {_short(wanted)}, not {_short(found)}"]


def _short(value: Any) -> str:
    return type(value).__name__ if is_dataclass(value) else str(value)[:40]
