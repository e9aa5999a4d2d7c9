"""SmolLM 3. Source: github.com/huggingface/smollm; arXiv:2501.18795 (NoPE); transformers modeling_smollm3.py.

Llama in which every fourth layer knows no positions; those alone may see a window.
"""

from __future__ import annotations

from dataclasses import replace

from modelcenter.errors import ConfigurationInvalid
from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import (
    TIED,
    attention,
    attention_bias,
    decoder,
    decoder_map,
    gated,
    layer_types,
    rms_norm,
    window,
    windowed,
)
from modelcenter.families.family import Family, Header
from modelcenter.models.config import Block, Decoder


def rotates(hf: Configuration) -> tuple[bool, ...]:
    """Whether each layer rotates: what `no_rope_layers` says, in spite of its name, with a 1."""
    count, told = hf.layers("num_hidden_layers"), hf.values.get("no_rope_layers")
    interval = hf.integer("no_rope_layer_interval", default=4)
    if told is None:
        return tuple((i + 1) % interval != 0 for i in range(count))
    if not isinstance(told, list) or len(told) != count or any(value not in (0, 1) for value in told):
        raise ConfigurationInvalid(f"has no_rope_layers that are not a list of {count} zeros and ones")
    return tuple(map(bool, told))


def config(hf: Configuration, header: Header) -> Decoder:
    block = Block(
        attention=attention(hf, lambda head_dim: hf.rotary(head_dim, theta=2e6), bias=attention_bias(hf)),
        feedforward=gated(hf, bias=hf.flag("mlp_bias", default=False)),
        norm=rms_norm(hf),
    )
    rotated = rotates(hf)
    size = window(hf) if hf.flag("use_sliding_window", default=False) else None
    kinds = layer_types(hf, lambda i: size is not None and not rotated[i])
    blocks = [
        layer if turned else replace(layer, attention=replace(layer.attention, rotary=None))
        for layer, turned in zip(windowed(block, kinds, size), rotated, strict=True)
    ]
    return decoder(hf, header, blocks, block.norm, head=TIED, max_position_embeddings=32768)


FAMILY = Family(
    name="smollm3",
    model_types=("smollm3",),
    classes=("SmolLM3Model", "SmolLM3ForCausalLM"),
    config=config,
    dialects={"huggingface": decoder_map},
    spellings={"SmolLM3ForQuestionAnswering": ("model.", "transformer.")},
)
