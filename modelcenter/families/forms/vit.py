"""ViT as transformers and OpenBMB write it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from modelcenter.families import openbmb
from modelcenter.families.family import with_blocks
from modelcenter.families.forms.form import (
    HUGGINGFACE,
    NUM_CLASSES,
    Adapted,
    Form,
    Get,
    close,
    common,
    labels,
    original,
    without,
)
from modelcenter.models.config import Block


def _vit(c: Any) -> dict[str, Any]:
    a, f = c.blocks[0].attention, c.blocks[0].feedforward
    (height, width), (rows, columns) = c.patches.image_size, c.patches.patch_size
    return {
        **common(c, "vit", "ViTForImageClassification" if c.head else "ViTModel"),
        "image_size": height if height == width else [height, width],
        "patch_size": rows if rows == columns else [rows, columns],
        "num_channels": c.patches.channels,
        "hidden_size": c.hidden_size,
        "intermediate_size": f.intermediate_size,
        "num_hidden_layers": c.num_layers,
        "num_attention_heads": a.num_heads,
        "hidden_act": f.activation,
        "layer_norm_eps": c.norm.eps,
        "qkv_bias": a.bias == "all",
        **(labels(c.head.num_labels) if c.head else {}),
    }


def _original_vit(c: Any) -> dict[str, Any]:
    a, f = c.blocks[0].attention, c.blocks[0].feedforward
    return {
        **openbmb.DEFAULTS_OF_VIT,
        "img_size": c.patches.image_size[0],
        "patch_size": c.patches.patch_size[0],
        "channels_in": c.patches.channels,
        "num_classes": c.head.num_labels if c.head else NUM_CLASSES,
        "representation_size": c.head.size if c.head else None,
        "hidden_size": c.hidden_size,
        "num_layers": c.num_layers,
        "num_heads": a.num_heads,
        "mlp_size": f.intermediate_size,
        "attn_bias": a.bias == "all",
        "norm_bias": c.norm.bias,
        "ffn_bias": f.bias,
    }


def _vit_to_original(c: Any, get: Get) -> Adapted:
    """The original's norms have an epsilon of their own, which no argument changes; it has no pooler."""
    notes: tuple[str, ...] = ()
    if c.pooler is not None:
        c, notes = replace(c, pooler=None), (without(c.pooler),)
    eps = {norm.eps for norm in (c.norm, *(block.norm for block in c.blocks))}
    if all(close(own, EPS_OF_VIT) for own in eps):
        return Adapted(c, notes=notes)
    note = (
        f"OpenBMB's ViT has norms of epsilon {EPS_OF_VIT:g}, this model of {max(eps):g}: "
        "its answers differ slightly."
    )

    def changed(block: Block) -> Block:
        return replace(block, norm=replace(block.norm, eps=EPS_OF_VIT))

    made: Any = with_blocks(c, changed)
    return Adapted(replace(made, norm=replace(c.norm, eps=EPS_OF_VIT)), notes=(*notes, note))


EPS_OF_VIT = 1e-5  # of OpenBMB's modules


FORMS: Mapping[str, Mapping[str, Form]] = {
    "vit": {HUGGINGFACE: Form(_vit), openbmb.DIALECT: original(_original_vit, _vit_to_original)},
}
"""Family -> the forms of others that it is written in."""
