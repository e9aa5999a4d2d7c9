"""Baichuan and Baichuan 2. Source: arXiv:2309.10305; its modeling_baichuan.py, of 7B and of 13B.

Llama's decoder with q, k and v in one matrix. Two models share the name: that of 7B has rotary positions,
that of 13B a penalty of distance (ALiBi), and only the former's configuration class knows
`max_position_embeddings`.
"""

from __future__ import annotations

from dataclasses import replace

from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import (
    UNTIED,
    attention,
    decoder,
    decoder_map,
    gated,
    llama_feedforward,
    rms_norm,
)
from modelcenter.families.family import Family, Header, carries
from modelcenter.models.config import Alibi, Block, Decoder
from modelcenter.weights.rules import RulesLike, WeightMap, qkv_sections, within

SECOND = 125696  # the vocabulary of Baichuan 2, whose head is normalised


def config(hf: Configuration, header: Header) -> Decoder:
    num_heads = hf.integer("num_attention_heads")
    rotates = "max_position_embeddings" in hf or carries(header, "rotary_emb.")
    block = Block(
        attention=attention(
            hf,
            lambda head_dim: hf.rotary(head_dim, theta=10000.0) if rotates else None,
            own_head_dim=False,
            num_kv_heads=num_heads,
            layout="sections",
            alibi=None if rotates else Alibi(num_heads=num_heads),
        ),
        feedforward=gated(hf),
        norm=rms_norm(hf),
    )
    # `z_loss_weight` is a setting that came with the second.
    normalized = hf.integer("vocab_size") == SECOND or "z_loss_weight" in hf
    return decoder(
        hf,
        header,
        (block,) * hf.layers("num_hidden_layers"),
        block.norm,
        head=replace(UNTIED, normalized=normalized),
        max_position_embeddings=hf.integer("max_position_embeddings", "model_max_length", default=4096),
    )


def layer(block: Block) -> RulesLike:
    return {
        "attention_norm.*": "input_layernorm.*",
        **within("attention", qkv_sections(block.attention, "self_attn.W_pack.*")),
        "attention.out.*": "self_attn.o_proj.*",
        "feedforward_norm.*": "post_attention_layernorm.*",
        **llama_feedforward(block),
    }


def huggingface(c: Decoder) -> WeightMap:
    return decoder_map(c, layer)


FAMILY = Family(
    name="baichuan",
    model_types=("baichuan",),
    classes=("BaichuanModel", "BaiChuanForCausalLM", "BaichuanForCausalLM"),
    config=config,
    dialects={"huggingface": huggingface},
    tokenizer="sentencepiece",
)
