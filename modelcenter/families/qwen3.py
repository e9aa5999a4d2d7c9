"""Qwen 3. Source: arXiv:2505.09388; transformers modeling_qwen3.py.

Each head's queries and keys are normalised before their rotation.
"""

from __future__ import annotations

from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import attention, attention_bias, decoder, decoder_map, gated, rms_norm
from modelcenter.families.family import Family, Header
from modelcenter.families.qwen2 import last_windowed
from modelcenter.models.config import Block, Decoder, QueryKeyNorm


def config(hf: Configuration, header: Header) -> Decoder:
    norm = rms_norm(hf)
    block = Block(
        attention=attention(
            hf,
            lambda head_dim: hf.rotary(head_dim, theta=10000.0),
            head_dim=128,
            bias=attention_bias(hf),
            query_key_norm=QueryKeyNorm(norm=norm),
        ),
        feedforward=gated(hf),
        norm=norm,
    )
    return decoder(hf, header, last_windowed(hf, block), norm, max_position_embeddings=32768)


FAMILY = Family(
    name="qwen3",
    model_types=("qwen3",),
    classes=("Qwen3Model", "Qwen3ForCausalLM"),
    config=config,
    dialects={"huggingface": decoder_map},
    spellings={"Qwen3ForQuestionAnswering": ("model.", "transformer.")},
    tokenizer="qwen2",
)
