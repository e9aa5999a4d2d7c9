"""Qwen 1. Source: arXiv:2309.16609; its modeling_qwen.py.

q, k and v in one matrix [q | k | v] with biases, no others; `intermediate_size` counts gate and up together,
and w2 is the gate. Texts longer than `seq_length` stretch the rotary base by steps and scale queries. (While
it generates, the original keeps the base of the prompt, and has one for each row; here it is that of the
longest row so far.)
"""

from __future__ import annotations

from dataclasses import replace

from modelcenter.errors import ConfigurationInvalid
from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import decoder, decoder_map
from modelcenter.families.family import Family, Header
from modelcenter.models.config import Attention, Block, Decoder, FeedForward, Norm, Rotary, RotaryScaling
from modelcenter.weights.rules import RulesLike, WeightMap, gate_up_separate, qkv_sections, within


def rotary(hf: Configuration, head_dim: int, trained: int) -> Rotary:
    """Its positions: those of others in its own words, with a base that may grow."""
    plain = hf.rotary(head_dim, theta=10000.0, old=("rotary_emb_base", "rotary_pct"))
    if not hf.flag("use_dynamic_ntk", default=True):
        return plain
    if plain.dim <= 2:
        raise ConfigurationInvalid(f"grows the base of {plain.dim} rotated elements; expected more than 2")
    scaling = RotaryScaling(kind="doublings", factor=1.0, original_max_position_embeddings=trained)
    return replace(plain, scaling=scaling)


def config(hf: Configuration, header: Header) -> Decoder:
    hf.refuse(scale_attn_weights=(True,), apply_residual_connection_post_layernorm=(False,))
    num_heads = hf.integer("num_attention_heads", "n_head")
    hidden_size = hf.integer("hidden_size", "n_embd")
    pair = hf.integer("intermediate_size", "ffn_hidden_size")
    if pair % 2:
        raise ConfigurationInvalid(f"has intermediate_size {pair}; expected an even number, for gate and up")
    head_dim = hf.integer("kv_channels", default=128)
    trained = hf.integer("seq_length", default=2048, least=2)
    biased = not hf.flag("no_bias", default=True)
    block = Block(
        attention=Attention(
            num_heads=num_heads,
            num_kv_heads=num_heads,
            head_dim=head_dim,
            causal=True,
            layout="sections",
            bias="all" if biased else "qkv",
            rotary=rotary(hf, head_dim, trained),
            log_length=trained if hf.flag("use_logn_attn", default=True) else None,
        ),
        feedforward=FeedForward(
            intermediate_size=pair // 2, activation="silu", gated=True, bias=biased, layout="separate"
        ),
        norm=Norm(kind="rms", eps=hf.number("layer_norm_epsilon", default=1e-6)),
    )
    return decoder(
        hf,
        header,
        (block,) * hf.layers("num_hidden_layers", "n_layer"),
        block.norm,
        prefix="transformer.",
        hidden_size=hidden_size,
        max_position_embeddings=hf.integer("max_position_embeddings", "n_positions", default=8192),
    )


def layer(block: Block) -> RulesLike:
    assert isinstance(block.feedforward, FeedForward)
    return {
        "attention_norm.*": "ln_1.*",
        **within("attention", qkv_sections(block.attention, "attn.c_attn.*")),
        "attention.out.*": "attn.c_proj.*",
        "feedforward_norm.*": "ln_2.*",
        **within("feedforward", gate_up_separate(block.feedforward, "mlp.w2.*", "mlp.w1.*")),
        "feedforward.down.*": "mlp.c_proj.*",
    }


def huggingface(c: Decoder) -> WeightMap:
    return decoder_map(
        c,
        layer,
        embedding="transformer.wte",
        layers="transformer.h.{i}.",
        norm="transformer.ln_f",
        prefix="transformer.",
        derived=("transformer.rotary_emb.inv_freq", "transformer.h.*.attn.rotary_emb.inv_freq"),
    )


FAMILY = Family(
    name="qwen",
    model_types=("qwen",),
    classes=("QWenModel", "QWenLMHeadModel"),
    config=config,
    dialects={"huggingface": huggingface},
    tokenizer="qwen",
)
