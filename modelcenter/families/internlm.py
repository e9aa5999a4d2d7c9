"""InternLM. Source: github.com/InternLM/InternLM; its modeling_internlm.py.

Llama's decoder with biases in attention. Its positions are called `rotary`, with a base and a type: `dynamic`
grows the base, `origin` does not.
"""

from __future__ import annotations

from collections.abc import Mapping

from modelcenter.errors import ConfigurationInvalid
from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import attention, decoder, decoder_map, gated, rms_norm
from modelcenter.families.family import Family, Header
from modelcenter.models.config import Block, Decoder, Rotary

DYNAMIC = {"base": 10000, "type": "dynamic"}  # what its configuration class has
NUM_POSITIONS = 2048


def rotary(hf: Configuration, head_dim: int) -> Rotary:
    """Its positions, told in the words of others. Raises ConfigurationInvalid for a type that it has not."""
    told = hf.values.get("rotary") or DYNAMIC
    if not isinstance(told, Mapping) or told.get("type") not in ("origin", "dynamic"):
        raise ConfigurationInvalid(f"has rotary {told!r}; expected a table of type origin or dynamic")
    kind = "dynamic" if told["type"] == "dynamic" else "default"
    scaling = {"type": kind, "factor": told.get("scaling_factor", 1.0)}
    spelled = Configuration(
        {
            "rope_theta": told.get("base"),
            "rope_scaling": scaling,
            "max_position_embeddings": hf.integer("max_position_embeddings", default=NUM_POSITIONS),
        }
    )
    return spelled.rotary(head_dim, theta=10000.0)


def config(hf: Configuration, header: Header) -> Decoder:
    block = Block(
        attention=attention(
            hf,
            lambda head_dim: rotary(hf, head_dim),
            own_head_dim=False,
            num_kv_heads=hf.integer("num_attention_heads"),
            bias="all" if hf.flag("bias", default=True) else "none",
        ),
        feedforward=gated(hf),
        norm=rms_norm(hf),
    )
    blocks = (block,) * hf.layers("num_hidden_layers")
    return decoder(hf, header, blocks, block.norm, max_position_embeddings=NUM_POSITIONS)


FAMILY = Family(
    name="internlm",
    model_types=("internlm",),
    classes=("InternLMModel", "InternLMForCausalLM"),
    config=config,
    dialects={"huggingface": decoder_map},
    tokenizer="sentencepiece",
)
