"""MPNet. Source: arXiv:2004.09297; transformers modeling_mpnet.py.

RoBERTa's positions, and T5's bias for distances, one for all layers.
"""

from __future__ import annotations

from modelcenter.families.configuration import Configuration
from modelcenter.families.encoders import (
    CLASSIFYING,
    ROBERTA_COPIES,
    attention,
    block,
    class_names,
    classes,
    encoder_map,
    norm,
    only_encoder,
    roberta_encoder,
    roberta_predictions,
)
from modelcenter.families.family import Family, Header
from modelcenter.models.config import Block, Encoder, RelativeBias
from modelcenter.weights.rules import RulesLike, WeightMap, qkv_separate, within

# What the model counts with, whatever its configuration says.
PADDING, BUCKETS, MAX_DISTANCE = 1, 32, 128


def config(hf: Configuration, header: Header) -> Encoder:
    only_encoder(hf)
    hf.refuse(pad_token_id=(PADDING,), relative_attention_num_buckets=(BUCKETS,))
    layer = block(hf, attention=attention(hf))
    bias = RelativeBias(
        num_buckets=BUCKETS,
        max_distance=MAX_DISTANCE,
        bidirectional=True,
        num_heads=layer.attention.num_heads,
    )
    blocks = (layer,) * hf.layers("num_hidden_layers")
    return roberta_encoder(hf, header, blocks, PADDING, relative_bias=bias)


def layer(block: Block) -> RulesLike:
    q, k, v = (f"attention.attn.{name}.*" for name in "qkv")
    return {
        **within("attention", qkv_separate(block.attention, q, k, v)),
        "attention.out.*": "attention.attn.o.*",
        **norm("attention_norm", "attention.LayerNorm"),
        "feedforward.up.*": "intermediate.dense.*",
        "feedforward.down.*": "output.dense.*",
        **norm("feedforward_norm", "output.LayerNorm"),
    }


def huggingface(c: Encoder) -> WeightMap:
    heads = {**roberta_predictions(), **classes(c.head)}
    more: RulesLike = {"relative_bias.weight": "mpnet.encoder.relative_attention_bias.weight"}
    return encoder_map(c, "mpnet.", heads, layer, copies=ROBERTA_COPIES, more=more)


FAMILY = Family(
    name="mpnet",
    model_types=("mpnet",),
    classes=class_names("MPNet", "MaskedLM", *CLASSIFYING),
    config=config,
    dialects={"huggingface": huggingface},
    tokenizer="mpnet",
)
