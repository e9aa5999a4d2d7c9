"""Tiny models in OpenBMB's original form, what they are asked, and what the original modules answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.support.oracles import model_center

Values = dict[str, Any]
LENGTH, BATCH = 12, 3


@dataclass(frozen=True, eq=False)
class Original:
    """One architecture's recipe.

    settings: constructor arguments. asked: of the original alone, beside the inputs that both are given.
    told: arguments that both take as they are.
    """

    name: str
    architecture: str
    settings: Values
    told: Mapping[str, Tensor] = field(default_factory=dict)
    override: str | None = None

    @property
    def sides(self) -> bool:
        return self.architecture in ("t5", "cpm2")


def lengths(mask: Tensor) -> Tensor:
    return mask.sum(dim=1)


def inputs(recipe: Original) -> dict[str, Tensor]:
    """What both models are asked; rows are padded on the right, where there is a mask."""
    generator = torch.Generator().manual_seed(5)
    if recipe.architecture == "vit":
        return {"input_seq": torch.randn(2, 3, 32, 32, generator=generator)}
    ids = torch.randint(2, recipe.settings["vocab_size"], (BATCH, LENGTH), generator=generator)
    if recipe.architecture == "glm":
        ids = ids.clamp(max=97)
        ids[0, [2, 4]], ids[0, [6, 9]], ids[1, 3], ids[1, 8] = 100, 98, 100, 98
        return {"input_ids": ids, **recipe.told}
    if recipe.architecture == "cpm3":
        ids[:, :4] = torch.arange(4, 8)  # the prompts of a kind of task
    places = torch.arange(LENGTH)[None]
    mask = (places < torch.tensor([LENGTH, LENGTH - 3, LENGTH - 5])[:, None]).long()
    asked = {"input_ids": ids, "attention_mask": mask}
    if recipe.sides:
        asked["decoder_input_ids"], asked["decoder_attention_mask"] = ids.flip(0)[:, :7], mask[:, -7:].flip(1)
    if recipe.settings.get("pad_token_id") is not None:
        asked["input_ids"] = torch.where(mask.bool(), ids, recipe.settings["pad_token_id"])
    if recipe.settings.get("type_size", 0) > 1:
        asked["token_type_ids"] = torch.randint(0, 2, ids.shape, generator=generator)
    return {**asked, **recipe.told}


def valid(recipe: Original, asked: Mapping[str, Tensor]) -> Tensor | None:
    """Which positions are no padding; None: there is none."""
    mask = asked.get("decoder_attention_mask" if recipe.sides else "attention_mask")
    return None if mask is None else mask.bool()


@cache
def folder(recipe: Original, place: Path, dtype: torch.dtype = torch.float32) -> tuple[Path, Any]:
    """A checkpoint of the recipe and the original model that it was written from."""
    target = place / f"{recipe.name}-{str(dtype).rpartition('.')[2]}"
    model = model_center.made(recipe.architecture, recipe.settings)
    model_center.save(model, recipe.settings, target, dtype)
    return target, model


def answers(recipe: Original, model: Any, asked: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The original's logits and what else it tells."""
    more = {} if recipe.architecture in ("glm", "vit", "longformer") else {"output_logits": True}
    if recipe.architecture in ("bert", "roberta"):
        more["output_pooler_output"] = True
    told = dict(asked)
    if recipe.architecture == "llama":
        told["attention_mask"] = told["attention_mask"].bool()
    with torch.no_grad():
        out = model(**told, **more)
        if torch.is_tensor(out):
            return {"logits": out}
        known = {name: out[name] for name in ("last_hidden_state", "logits", "pooler_output") if name in out}
        if recipe.architecture == "longformer":
            known["logits"] = model(**told, return_logits=True)
    return known


_SMALL: Values = {
    "vocab_size": 101, "dim_model": 32, "num_heads": 4, "dim_head": 6, "dim_ff": 44, "num_layers": 2,
}  # fmt: skip
_EVEN = _SMALL | {"dim_head": 8}
_SIDES: Values = {k: v for k, v in _SMALL.items() if k != "num_layers"} | {
    "num_encoder_layers": 2, "num_decoder_layers": 3,
}  # fmt: skip
_BUCKETS: Values = {"position_bias_num_buckets": 8, "position_bias_max_distance": 20}
_CPM3 = _SMALL | _BUCKETS | {"prompt_types": 3, "prompt_length": 4, "segment_types": 5}
_CONTEXT = torch.zeros(BATCH, LENGTH, dtype=torch.bool)
_CONTEXT[:, :5], _CONTEXT[1, 8] = True, True
_SPAN = torch.zeros(BATCH, LENGTH, dtype=torch.long)
_SPAN[1, 6:] = 1
_SEGMENTS = torch.tensor([[0] * 4 + [2] * 8, [0] * 4 + [2] * 3 + [1] * 5, [0] * 4 + [3] * 7 + [4]])
_POSITIONS = torch.arange(LENGTH).expand(BATCH, -1).clone()
_POSITIONS[1, 7:] = torch.arange(5)
_PREFIX = {"context": _CONTEXT, "span": _SPAN}
_SEGMENTED = {**_PREFIX, "token_type_ids": _SEGMENTS, "position_ids": _POSITIONS}

ORIGINALS = (
    Original("llama", "llama", _EVEN),
    Original("llama-wide-heads", "llama", _SMALL | {"tied": True, "norm_eps": 1e-3}),
    Original("llama-scaled", "llama", _SMALL | {"length_scale": True, "attn_scale": False, "att_bias": True}),
    Original("llama-classes", "llama", _SMALL | {"cls_head": 5}),
    Original("gpt2", "gpt2", _EVEN | {"vocab_size": 102, "position_size": 20, "ffn_activate_fn": "gelu_new"}),
    Original("gpt2-exact", "gpt2", _EVEN | {"vocab_size": 102, "position_size": 20, "attn_scale": False}),
    Original("bert", "bert", _EVEN | {"position_size": 20, "type_size": 2}),
    Original("bert-untied", "bert", _EVEN | {"position_size": 20, "type_size": 2, "tied": False}),
    Original("bert-classes", "bert", _EVEN | {"position_size": 20, "type_size": 2, "cls_head": 5}),
    Original("roberta", "roberta", _EVEN | {"position_size": 22, "type_size": 1, "pad_token_id": 1}),
    Original("longformer", "longformer", _EVEN | {
        "position_size": 24, "type_size": 2, "attention_window": 4, "pad_token_id": 1,
    }, {"global_attention_mask": torch.eye(LENGTH, dtype=torch.long)[[0, 0, 3]]}),
    Original("t5", "t5", _SIDES | _BUCKETS),
    Original("t5-scale", "t5", _SIDES | {"scale": True}),
    Original("t5-classes", "t5", _SIDES | {"cls_head": 5, "proj_bias": True}),
    Original("t5-scale-classes", "t5", _SIDES | {"cls_head": 5, "scale": True}),
    Original("t5-v1.1", "t5", _SIDES | {"tied": False, "ffn_activate_fn": "gated_gelu_new"}),
    Original("cpm1", "cpm1", _SMALL | _BUCKETS | {"length_scale": True, "attn_scale": True, "tied": True}),
    Original("cpm1-context", "cpm1", _SMALL | _BUCKETS, _PREFIX),
    Original("cpm2", "cpm2", _SIDES | _BUCKETS | {"length_scale": True, "attn_scale": True}),
    Original("cpm2-classes", "cpm2", _SIDES | {"length_scale": True, "cls_head": 5, "proj_bias": True}),
    Original("cpm3", "cpm3", _CPM3, _SEGMENTED),
    Original("cpm3-classes", "cpm3", _CPM3 | {"cls_head": 5}, _SEGMENTED),
    Original("cpm3-segments", "cpm3", _CPM3 | {"absolute_inner_segment": False, "tied": False}, _SEGMENTED),
    Original("glm", "glm", _SMALL | {
        "position_size": 20, "sop_tok_id": 98, "eop_tok_id": 99, "mask_tok_id": 100,
    }),
    Original("glm-classes", "glm", _SMALL | {
        "position_size": 20, "sop_tok_id": 98, "eop_tok_id": 99, "mask_tok_id": 100, "cls_head": 5,
    }),
    Original("gptj", "gptj", _EVEN | {"pos_rotary_dim": 4}),
    Original("opt", "opt", _EVEN | {"position_size": 20}),
    Original("vit", "vit", {
        "img_size": 32, "hidden_size": 32, "num_heads": 4, "num_layers": 2, "mlp_size": 44, "num_classes": 7,
    }),
    Original("vit-represented", "vit", {
        "img_size": 32, "hidden_size": 32, "num_heads": 4, "num_layers": 2, "mlp_size": 44, "num_classes": 7,
        "representation_size": 20,
    }),
)  # fmt: skip
