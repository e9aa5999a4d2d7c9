"""TeleChat and TeleChat 2. Source: arXiv:2401.03804; its modeling_telechat.py.

k and v lie in one matrix, head by head: each head's k, then its v. The rotary base is that of a text of
`training_seqlen` tokens even where the text is shorter.
"""

from __future__ import annotations

import numpy as np

from modelcenter.errors import ConfigurationInvalid
from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import TIED, decoder, decoder_map
from modelcenter.families.family import Family, Header
from modelcenter.models.config import Attention, Block, Decoder, FeedForward, Norm, Rotary, RotaryScaling
from modelcenter.weights.rules import (
    RulesLike,
    WeightMap,
    concat,
    gate_up_separate,
    group_rows,
    src,
    take,
    within,
)

VOCABULARY_7B = (
    160256  # of the first model, whose code has another length where config.json has no base_seqlen
)


def rotary(hf: Configuration, head_dim: int) -> Rotary:
    """Its positions, whose base grows by steps."""
    if head_dim <= 2:
        raise ConfigurationInvalid(f"grows the base of {head_dim} rotated elements; expected more than 2")
    first = hf.integer("vocab_size") == VOCABULARY_7B
    scaling = RotaryScaling(
        kind="doublings",
        factor=1.0,
        original_max_position_embeddings=hf.integer("base_seqlen", default=4096 if first else 8192),
        least_length=hf.integer("training_seqlen", default=8192),
    )
    return Rotary(dim=head_dim, theta=10000.0, scaling=scaling)


def config(hf: Configuration, header: Header) -> Decoder:
    hidden_size, num_heads = hf.integer("hidden_size"), hf.integer("n_head", "num_attention_heads")
    head_dim = hf.head_dim(hidden_size, num_heads)
    norm = Norm(kind="rms", eps=hf.number("layer_norm_epsilon", default=1e-5))
    block = Block(
        attention=Attention(
            num_heads=num_heads,
            num_kv_heads=hf.integer("num_key_value_heads", default=num_heads),
            head_dim=head_dim,
            causal=True,
            layout="separate",
            bias="out",
            rotary=rotary(hf, head_dim),
        ),
        feedforward=FeedForward(
            intermediate_size=hf.integer("ffn_hidden_size", "n_inner"),
            activation="silu",
            gated=True,
            bias="down",
            layout="separate",
        ),
        norm=norm,
        residual_from_norm=hf.flag("apply_residual_connection_post_layernorm", default=False),
    )
    return decoder(
        hf,
        header,
        (block,) * hf.layers("n_layer", "num_hidden_layers"),
        norm,
        head=TIED,
        prefix="transformer.",
        embedding_norm=norm if hf.flag("embed_layernorm", default=False) else None,
        max_position_embeddings=hf.integer("seq_length", "training_seqlen", default=8192),
    )


def query_key_value(a: Attention, query: str, key_value: str) -> RulesLike:
    """Rules of `qkv.*` (or q, k, v) from a matrix of queries and one of [k1, v1, k2, v2, ..]."""
    queries, keys = a.num_heads * a.head_dim, a.num_kv_heads * a.head_dim
    sections = np.argsort(group_rows(a, (1, 1)))  # where each row of [k | v] lies
    if a.layout == "separate":
        return {
            "q.*": query,
            "k.*": take(key_value, sections[:keys], 2 * keys),
            "v.*": take(key_value, sections[keys:], 2 * keys),
        }
    joined = concat(src(query, length=queries), src(key_value, length=2 * keys))
    rows = np.concatenate((np.arange(queries), queries + sections))  # of [q | k | v]
    order = rows if a.layout == "sections" else rows[group_rows(a, (a.heads_per_group, 1, 1))]
    return {"qkv.*": take(joined, order, len(order))}


def layer(block: Block) -> RulesLike:
    assert isinstance(block.feedforward, FeedForward)
    return {
        "attention_norm.*": "input_layernorm.*",
        **within(
            "attention",
            query_key_value(block.attention, "self_attention.query.*", "self_attention.key_value.*"),
        ),
        "attention.out.*": "self_attention.dense.*",
        "feedforward_norm.*": "post_attention_layernorm.*",
        **within("feedforward", gate_up_separate(block.feedforward, "mlp.gate_proj.*", "mlp.up_proj.*")),
        "feedforward.down.*": "mlp.down_proj.*",
    }


def huggingface(c: Decoder) -> WeightMap:
    return decoder_map(
        c,
        layer,
        embedding="transformer.word_embeddings",
        embedding_norm="transformer.word_embeddings_layernorm",
        layers="transformer.h.{i}.",
        norm="transformer.ln_f",
        prefix="transformer.",
        derived=("transformer.h.*.self_attention.rotary_emb.inv_freq",),
    )


FAMILY = Family(
    name="telechat",
    model_types=("telechat",),
    classes=("TelechatModel", "TelechatForCausalLM"),
    config=config,
    dialects={"huggingface": huggingface},
    tokenizer="sentencepiece",
)
