"""Qwen 1.5, 2 and 2.5. Source: arXiv:2309.16609, arXiv:2407.10671; transformers modeling_qwen2.py.

Biases on q, k and v; the later layers see a window where `use_sliding_window` says so.
"""

from __future__ import annotations

from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import (
    attention,
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


def config(hf: Configuration, header: Header) -> Decoder:
    block = Block(
        attention=attention(hf, lambda head_dim: hf.rotary(head_dim, theta=10000.0), bias="qkv"),
        feedforward=gated(hf),
        norm=rms_norm(hf),
    )
    blocks = last_windowed(hf, block)
    return decoder(hf, header, blocks, block.norm, max_position_embeddings=32768)


def last_windowed(hf: Configuration, block: Block) -> tuple[Block, ...]:
    """The layers of Qwen: those from `max_window_layers` on see a window, if any does."""
    used = hf.flag("use_sliding_window", default=False)
    whole = hf.integer("max_window_layers", default=28, least=0)
    size = window(hf, 4096) if used else None
    return windowed(block, layer_types(hf, lambda i: size is not None and i >= whole), size)


FAMILY = Family(
    name="qwen2",
    model_types=("qwen2",),
    classes=("Qwen2Model", "Qwen2ForCausalLM"),
    config=config,
    dialects={"huggingface": decoder_map},
    spellings={"Qwen2ForQuestionAnswering": ("model.", "transformer.")},
    tokenizer="qwen2",
)
