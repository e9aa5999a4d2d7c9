"""MiniCPM 1, 2 and 4. Source: arXiv:2404.06395 §3 (the scales of tensor programs), arXiv:2506.07900;
modeling_minicpm.py of openbmb/MiniCPM-2B-sft-bf16, which transformers does not have.

Llama with three factors: of the embedding, of what a sublayer adds, and of the last hidden states. Where
config.json does not say whether the head is tied, the file does, by having one or not.
"""

from __future__ import annotations

from math import sqrt

from modelcenter.errors import ConfigurationInvalid
from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import (
    attention,
    attention_bias,
    decoder,
    decoder_map,
    gated,
    rms_norm,
)
from modelcenter.families.family import Family, Header, carries
from modelcenter.models.config import Block, Decoder, LanguageHead


def config(hf: Configuration, header: Header) -> Decoder:
    hf.refuse(num_experts=(0,))
    if "sparse_config" in hf:
        raise ConfigurationInvalid(
            "has a sparse_config, and sparse attention (InfLLM v2) is not supported; without that entry, as "
            "the model's card allows, the model attends to all tokens"
        )
    layers, hidden_size = hf.layers("num_hidden_layers"), hf.integer("hidden_size")
    block = Block(
        attention=attention(
            hf,
            lambda head_dim: hf.rotary(head_dim, theta=10000.0),
            own_head_dim=False,
            bias=attention_bias(hf),
        ),
        feedforward=gated(hf),
        norm=rms_norm(hf),
        residual_scale=hf.number("scale_depth", default=1.0) / sqrt(layers),
    )
    return decoder(
        hf,
        header,
        (block,) * layers,
        block.norm,
        head=LanguageHead(
            tied=not carries(header, "lm_head."),
            scale=hf.positive("dim_model_base", default=1.0) / hidden_size,
        ),
        max_position_embeddings=2048,
        embedding_scale=hf.number("scale_emb", default=1.0),
    )


FAMILY = Family(
    name="minicpm",
    model_types=("minicpm",),
    classes=("MiniCPMModel", "MiniCPMForCausalLM"),
    config=config,
    dialects={"huggingface": decoder_map},
    tokenizer="llama",
)
