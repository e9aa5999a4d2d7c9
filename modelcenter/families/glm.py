"""GLM-4-9B and GLM-4-0414. Source: arXiv:2406.12793; transformers modeling_glm.py, modeling_glm4.py.

Neighbouring pairs of the first half of each head are rotated; gate and up lie in one matrix. GLM-4-0414
(`glm4`) normalises after each sublayer too.
"""

from __future__ import annotations

from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import (
    attention,
    attention_bias,
    decoder,
    decoder_map,
    fused_feedforward,
    gated,
    llama_attention,
    rms_norm,
)
from modelcenter.families.family import Family, Header
from modelcenter.models.config import Block, Decoder
from modelcenter.weights.rules import RulesLike, WeightMap


def config(hf: Configuration, header: Header) -> Decoder:
    block = Block(
        attention=attention(
            hf,
            lambda head_dim: hf.rotary(
                head_dim,
                theta=10000.0,
                share=0.5,
                old=("rope_theta", "partial_rotary_factor"),
                interleaved=True,
            ),
            head_dim=128,
            bias=attention_bias(hf, "qkv", default=True),
        ),
        feedforward=gated(hf, layout="sections"),
        norm=rms_norm(hf, eps=1.5625e-07),
        norm_placement="both" if hf.values.get("model_type") == "glm4" else "before",
    )
    blocks = (block,) * hf.layers("num_hidden_layers")
    return decoder(hf, header, blocks, block.norm, max_position_embeddings=131072)


def layer(block: Block) -> RulesLike:
    return {
        "attention_norm.*": "input_layernorm.*",
        **llama_attention(block),
        "attention_post_norm.*": "post_self_attn_layernorm.*",
        "feedforward_norm.*": "post_attention_layernorm.*",
        **fused_feedforward(block),
        "feedforward_post_norm.*": "post_mlp_layernorm.*",
    }


def huggingface(c: Decoder) -> WeightMap:
    return decoder_map(c, layer)


FAMILY = Family(
    name="glm",
    model_types=("glm", "glm4"),
    classes=("GlmModel", "GlmForCausalLM", "Glm4Model", "Glm4ForCausalLM"),
    config=config,
    dialects={"huggingface": huggingface},
    tokenizer={"glm": "glm"},
)
