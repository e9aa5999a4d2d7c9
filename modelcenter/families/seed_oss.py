"""Seed-OSS. Source: github.com/ByteDance-Seed/seed-oss; transformers modeling_seed_oss.py.

Llama with a switch of its own for the bias of attention's output.
"""

from __future__ import annotations

from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import BIASES, attention, decoder, decoder_map, gated, rms_norm
from modelcenter.families.family import Family, Header
from modelcenter.models.config import Block, Decoder


def config(hf: Configuration, header: Header) -> Decoder:
    inward = hf.flag("attention_bias", default=True)
    outward = hf.flag("attention_out_bias", default=False)
    block = Block(
        attention=attention(
            hf,
            lambda head_dim: hf.rotary(head_dim, theta=10000.0),
            head_dim=128,
            bias=BIASES[inward, outward],
        ),
        feedforward=gated(hf, bias=hf.flag("mlp_bias", default=False)),
        norm=rms_norm(hf),
    )
    blocks = (block,) * hf.layers("num_hidden_layers")
    return decoder(hf, header, blocks, block.norm, max_position_embeddings=524288)


FAMILY = Family(
    name="seed_oss",
    model_types=("seed_oss",),
    classes=("SeedOssModel", "SeedOssForCausalLM"),
    config=config,
    dialects={"huggingface": decoder_map},
    spellings={"SeedOssForQuestionAnswering": ("model.", "transformer.")},
)
