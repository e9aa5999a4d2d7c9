"""Mistral. Source: arXiv:2310.06825; transformers modeling_mistral.py.

Every layer sees a window of tokens, unless `sliding_window` is null (from version 0.2 on); in Ministral
(`ministral`) those that `layer_types` names.
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
        attention=attention(hf, lambda head_dim: hf.rotary(head_dim, theta=10000.0)),
        feedforward=gated(hf),
        norm=rms_norm(hf),
    )
    size = window(hf, 4096)
    usual = "full_attention" if size is None else "sliding_attention"
    kinds = (usual,) * hf.layers("num_hidden_layers")
    if hf.values.get("model_type") == "ministral":  # in Mistral's files transformers does not read them
        kinds = layer_types(hf, lambda _: size is not None)
    blocks = windowed(block, kinds, size)
    return decoder(hf, header, blocks, block.norm, max_position_embeddings=131072)


FAMILY = Family(
    name="mistral",
    model_types=("mistral", "ministral"),
    classes=("MistralModel", "MistralForCausalLM", "MinistralModel", "MinistralForCausalLM"),
    config=config,
    dialects={"huggingface": decoder_map},
    spellings={"MinistralForQuestionAnswering": ("model.", "transformer.")},
    tokenizer="llama",
)
