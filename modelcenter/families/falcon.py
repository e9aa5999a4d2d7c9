"""Falcon. Source: arXiv:2311.16867; transformers modeling_falcon.py.

Three kinds: 7B, attention and feedforward behind one norm, one key/value head; 40B and 180B, behind a norm
each, groups; Falcon-RW, one after the other, distance as a penalty (ALiBi). First called `RefinedWebModel`
(7B, RW) and `RefinedWeb` (40B). q, k and v lie in one matrix, by groups.
"""

from __future__ import annotations

from modelcenter.errors import ConfigurationInvalid
from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import (
    HIDDEN_SIZE,
    NUM_HEADS,
    TIED,
    attention,
    decoder,
    decoder_map,
    layer_norm,
)
from modelcenter.families.family import Family, Header
from modelcenter.models.config import Alibi, Block, Decoder, FeedForward
from modelcenter.weights.rules import RulesLike, WeightMap, qkv_groups, within


def config(hf: Configuration, header: Header) -> Decoder:
    hidden_size, num_heads = hf.integer(*HIDDEN_SIZE), hf.integer(*NUM_HEADS)
    head_dim = hf.head_dim(hidden_size, num_heads)
    bias = hf.flag("bias", default=False)
    grouped = hf.flag("new_decoder_architecture", default=hf.values.get("model_type") == "RefinedWeb")
    parallel = hf.flag("parallel_attn", default=True)
    norms = hf.integer("num_ln_in_parallel_attn", default=2 if grouped else 1, most=2)
    if (grouped and not parallel) or (norms == 2) > (grouped and parallel):
        raise ConfigurationInvalid(
            f"has new_decoder_architecture {grouped}, parallel_attn {parallel} and {norms} norms a layer; "
            "expected parallel_attn with the new architecture, and two norms with it alone"
        )
    alibi = Alibi(num_heads=num_heads, scale=head_dim**-0.5, rounded=True)
    has_alibi = hf.flag("alibi", default=False)
    block = Block(
        attention=attention(
            hf,
            lambda head_dim: None if has_alibi else hf.rotary(head_dim, theta=10000.0),
            num_kv_heads=_num_kv_heads(hf, grouped, num_heads),
            own_head_dim=False,
            layout="groups",
            bias="all" if bias else "none",
            alibi=alibi if has_alibi else None,
        ),
        feedforward=FeedForward(
            intermediate_size=hf.integer("ffn_hidden_size", default=4 * hidden_size),
            activation=hf.activation("activation", default="gelu"),
            gated=False,
            bias=bias,
        ),
        norm=layer_norm(hf, "layer_norm_epsilon"),
        residual="sequential" if not parallel else "parallel" if norms == 2 else "parallel_one_norm",
    )
    return decoder(
        hf,
        header,
        (block,) * hf.layers("num_hidden_layers", "n_layer"),
        block.norm,
        head=TIED,
        prefix="transformer.",
        max_position_embeddings=2048,
    )


def _num_kv_heads(hf: Configuration, grouped: bool, num_heads: int) -> int:
    if grouped:
        return hf.integer("num_kv_heads", "n_head_kv", default=num_heads)
    return 1 if hf.flag("multi_query", default=True) else num_heads


def layer(block: Block) -> RulesLike:
    own = block.residual == "parallel"
    return {
        "attention_norm.*": "ln_attn.*" if own else "input_layernorm.*",
        **within("attention", qkv_groups(block.attention, "self_attention.query_key_value.*")),
        "attention.out.*": "self_attention.dense.*",
        "feedforward_norm.*": "ln_mlp.*" if own else "post_attention_layernorm.*",
        "feedforward.up.*": "mlp.dense_h_to_4h.*",
        "feedforward.down.*": "mlp.dense_4h_to_h.*",
    }


def huggingface(c: Decoder) -> WeightMap:
    return decoder_map(
        c,
        layer,
        embedding="transformer.word_embeddings",
        layers="transformer.h.{i}.",
        norm="transformer.ln_f",
        prefix="transformer.",
        derived=("transformer.h.*.self_attention.rotary_emb.inv_freq",),
    )


FAMILY = Family(
    name="falcon",
    model_types=("falcon", "RefinedWeb", "RefinedWebModel"),
    classes=("FalconModel", "FalconForCausalLM", "RWModel", "RWForCausalLM"),
    config=config,
    dialects={"huggingface": huggingface},
    spellings={"FalconForTokenClassification": ("score.", "classifier.")},
)
