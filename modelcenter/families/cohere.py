"""Command R and R7B. Source: docs.cohere.com; transformers modeling_cohere.py, modeling_cohere2.py.

Attention and feedforward side by side, of one norm without bias; neighbouring pairs are rotated; a factor of
the logits. In `cohere2` the layers that see all know no positions, those with a window do.
"""

from __future__ import annotations

from dataclasses import replace

from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import (
    TIED,
    attention,
    attention_bias,
    decoder,
    decoder_map,
    gated,
    layer_norm,
    layer_types,
    llama_attention,
    llama_feedforward,
    window,
    windowed,
)
from modelcenter.families.family import Family, Header
from modelcenter.models.config import Block, Decoder, QueryKeyNorm
from modelcenter.weights.rules import RulesLike, WeightMap


def config(hf: Configuration, header: Header) -> Decoder:
    slides = hf.values.get("model_type") == "cohere2"
    norm = layer_norm(hf, bias=False)
    normalises = not slides and hf.flag("use_qk_norm", default=False)
    theta = 10000.0 if slides else 500000.0
    block = Block(
        attention=attention(
            hf,
            lambda head_dim: hf.rotary(head_dim, theta=theta, interleaved=True),
            bias=attention_bias(hf),
            query_key_norm=QueryKeyNorm(norm=norm, over="heads") if normalises else None,
        ),
        feedforward=gated(hf),
        norm=norm,
        residual="parallel_one_norm",
    )
    return decoder(
        hf,
        header,
        cohere2_layers(hf, block) if slides else (block,) * hf.layers("num_hidden_layers"),
        norm,
        head=replace(TIED, scale=hf.number("logit_scale", default=0.0625)),
        max_position_embeddings=8192,
    )


def cohere2_layers(hf: Configuration, block: Block) -> tuple[Block, ...]:
    """Three layers with positions and a window to one without either."""
    pattern = hf.integer("sliding_window_pattern", default=4)
    kinds = layer_types(hf, lambda i: (i + 1) % pattern != 0)
    lost = replace(block, attention=replace(block.attention, rotary=None))
    return windowed(lost, kinds, window(hf, 4096), block.attention.rotary)


def layer(block: Block) -> RulesLike:
    return {
        "attention_norm.*": "input_layernorm.*",
        **llama_attention(block),
        **llama_feedforward(block),
    }


def huggingface(c: Decoder) -> WeightMap:
    return decoder_map(c, layer)


FAMILY = Family(
    name="cohere",
    model_types=("cohere", "cohere2"),
    classes=("CohereModel", "CohereForCausalLM", "Cohere2Model", "Cohere2ForCausalLM"),
    config=config,
    dialects={"huggingface": huggingface},
)
