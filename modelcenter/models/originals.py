"""The arguments of OpenBMB's original classes, by their names, for models loaded from their files.

Source: model-center 1.0.2 model/*.py; github.com/OpenBMB/CPM-Live models/cpm_ant.py.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from modelcenter.errors import Invalid
from modelcenter.models.cache import KVCache
from modelcenter.models.config import ImageEncoder, Learned
from modelcenter.models.model import Model

# Theirs -> ours.
NAMES = {
    "input": "input_ids",
    "input_seq": "pixel_values",
    "position": "position_ids",
    "segment": "token_type_ids",
    "encoder_outputs": "memory",
    "past_key_values": "cache",
}
# A number of tokens for each row, where ours is a mask -> the tokens that it tells of.
LENGTHS = {"length": "input_ids", "decoder_length": "decoder_input_ids"}
# What the originals take and do not read, and logits that are made or not: here they always are.
IDLE = (
    "head_mask", "decoder_head_mask", "cross_attn_head_mask", "output_attentions", "output_hidden_states",
    "output_decoder_attentions", "output_decoder_hidden_states", "output_logits", "output_pooler_output",
    "return_logits",
)  # fmt: skip


# What asks for an answer or an input of another kind: the value that does not, and what there is instead.
OTHERWISE: Mapping[str, tuple[Any, str]] = {
    "use_cache": (False, "pass cache=model.new_cache(length), which every call extends"),
    "return_dict": (True, "the answer's parts have names"),
    "inputs_embeds": (None, "give input_ids"),
    "decoder_inputs_embeds": (None, "give decoder_input_ids"),
    "register_blk": (-1, "register a forward hook on model.blocks"),
}


def accept_original_arguments(model: Model) -> None:
    """Let `model` take the original's arguments beside its own."""
    model.register_forward_pre_hook(translated, with_kwargs=True)


def translated(model: Any, given: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], Any]:
    """The same call with our names: what `length` tells becomes a mask, rows of a table become positions.

    Raises Invalid for what the original takes and there is nothing of here.
    """
    named = {NAMES.get(name, name): value for name, value in named.items() if name not in IDLE}
    past = named.get("cache")
    if past is not None and not isinstance(past, KVCache):
        raise Invalid(f"past_key_values is a {type(past).__name__}; {OTHERWISE['use_cache'][1]}.")
    for name, (plain, instead) in OTHERWISE.items():
        value = named.pop(name, plain)
        is_plain = value is None or (not isinstance(value, Tensor) and value == plain)
        if not is_plain and not (name == "use_cache" and past is not None):
            told = tuple(value.shape) if isinstance(value, Tensor) else value
            raise Invalid(f"{name} is {told}, which this model does not take: {instead}.")
    taken = arguments(type(model))
    for name in ("cache", "position_ids", "token_type_ids"):
        # GPT-2, GPT-J and OPT take types of tokens and do not read them.
        if name not in taken and (named.get(name) is None or name == "token_type_ids"):
            named.pop(name, None)
    for name, of in LENGTHS.items():
        length = named.pop(name, None)
        mask = of.replace("input_ids", "attention_mask")
        if length is not None and named.get(mask) is None:
            tokens = named.get(of, given[0] if given and name == "length" else None)
            named[mask] = mask_of(length, tokens, named.get("cache"))
    learned = getattr(model.config, "positions", None)
    if named.get("position_ids") is not None and isinstance(learned, Learned):
        named["position_ids"] = named["position_ids"] - learned.offset
    if isinstance(model.config, ImageEncoder):
        named.pop("attention_mask", None)  # images have no padding
    return given, named


def arguments(kind: type[Model]) -> frozenset[str]:
    """The names of what the model's forward takes."""
    return frozenset(inspect.signature(kind.forward).parameters)


def mask_of(length: Tensor, tokens: Tensor | None, cache: Any) -> Tensor:
    """(batch,) -> (batch, cached + length) of bool. Also a mask already, which Llama's `length` may be."""
    if length.ndim == 2:
        return length
    if tokens is None:
        raise ValueError("length tells how many of the input_ids count, and there are none.")
    places = torch.arange((cache.length if cache else 0) + tokens.shape[1], device=tokens.device)
    return places[None, :] < length.to(tokens.device)[:, None]
