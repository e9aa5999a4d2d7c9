"""BLOOM. Source: arXiv:2211.05100; transformers modeling_bloom.py.

Distance is a penalty (ALiBi), the embedding is normalised; q, k and v lie in one matrix, head by head.
"""

from __future__ import annotations

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
    hf.refuse(n_inner=(4 * hidden_size,))
    norm = layer_norm(hf, "layer_norm_epsilon")
    block = Block(
        attention=attention(
            hf,
            lambda head_dim: None,
            num_kv_heads=num_heads,
            own_head_dim=False,
            layout="groups",
            bias="all",
            alibi=Alibi(num_heads=num_heads),
        ),
        feedforward=FeedForward(
            intermediate_size=4 * hidden_size, activation="gelu_pytorch_tanh", gated=False, bias=True
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
        embedding_norm=norm,
    )


def layer(block: Block) -> RulesLike:
    return {
        "attention_norm.*": "input_layernorm.*",
        **within("attention", qkv_groups(block.attention, "self_attention.query_key_value.*")),
        "attention.out.*": "self_attention.dense.*",
        "feedforward_norm.*": "post_attention_layernorm.*",
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
        derived=(),
        embedding_norm="transformer.word_embeddings_layernorm",
    )


FAMILY = Family(
    name="bloom",
    model_types=("bloom",),
    classes=("BloomModel", "BloomForCausalLM"),
    config=config,
    dialects={"huggingface": huggingface},
    spellings={"BloomForTokenClassification": ("score.", "classifier.")},
)
