"""BlueLM. Source: github.com/vivo-ai-lab/BlueLM; its modeling_bluelm.py.

Llama's decoder with a norm of its embedding. Those of 32K tokens have `ntkmixed` positions: refused.
"""

from __future__ import annotations

from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import attention, decoder, decoder_map, gated, layer_norm, rms_norm
from modelcenter.families.family import Family, Header
from modelcenter.models.config import Block, Decoder
from modelcenter.weights.rules import WeightMap


def config(hf: Configuration, header: Header) -> Decoder:
    block = Block(
        attention=attention(hf, lambda head_dim: hf.rotary(head_dim, theta=10000.0), own_head_dim=False),
        feedforward=gated(hf),
        norm=rms_norm(hf),
    )
    stable = hf.flag("use_stable_embedding", default=True)
    return decoder(
        hf,
        header,
        (block,) * hf.layers("num_hidden_layers"),
        block.norm,
        max_position_embeddings=2048,
        embedding_norm=layer_norm(hf, "rms_norm_eps", eps=1e-6) if stable else None,
    )


def huggingface(c: Decoder) -> WeightMap:
    return decoder_map(c, embedding_norm="model.embed_layer_norm")


FAMILY = Family(
    name="bluelm",
    model_types=("BlueLM",),
    classes=("BlueLMModel", "BlueLMForCausalLM"),
    config=config,
    dialects={"huggingface": huggingface},
    tokenizer="sentencepiece",
)
