"""ALBERT. Source: arXiv:1909.11942; transformers modeling_albert.py.

BERT whose layers share their values, in groups, and whose embeddings are narrower than its layers. A file
holds each layer once; every block of ours that reads it has parameters of its own, so that tuned they may
differ, and then no file of this form can hold them.
"""

from __future__ import annotations

from modelcenter.errors import ConfigurationInvalid
from modelcenter.families.configuration import MOST_LAYERS, Configuration
from modelcenter.families.encoders import (
    CLASSIFYING,
    attention,
    block,
    class_names,
    classes,
    classification,
    encoder,
    encoder_map,
    norm,
    only_encoder,
)
from modelcenter.families.family import Family, Header
from modelcenter.models.config import (
    Block,
    Encoder,
    FeedForward,
    Learned,
    MaskedLanguageHead,
    NextSentenceHead,
)
from modelcenter.weights.rules import Rules, RulesLike, WeightMap, each_block, qkv_separate, within

GROUPS = "albert.encoder.albert_layer_groups."


def shared_layers(hf: Configuration) -> tuple[tuple[int, int], ...]:
    """Of each block its group, and its place in it: the groups follow one another, each run several times."""
    runs, groups = hf.layers("num_hidden_layers"), hf.layers("num_hidden_groups", default=1)
    inner = hf.layers("inner_group_num", default=1)
    if runs * inner > MOST_LAYERS:
        raise ConfigurationInvalid(f"implies {runs * inner} layers; expected at most {MOST_LAYERS}")
    return tuple((run * groups // runs, place) for run in range(runs) for place in range(inner))


def config(hf: Configuration, header: Header) -> Encoder:
    only_encoder(hf)
    activation = hf.activation("hidden_act", default="gelu_new")
    layer = block(
        hf,
        attention=attention(hf),
        feedforward=FeedForward(
            intermediate_size=hf.integer("intermediate_size"), activation=activation, gated=False, bias=True
        ),
    )
    layers, embedding_size = shared_layers(hf), hf.integer("embedding_size", default=128)
    return encoder(
        hf,
        header,
        (layer,) * len(layers),
        classes=classification(hf),
        masked=MaskedLanguageHead(
            activation=activation,
            norm=layer.norm,
            tied=hf.flag("tie_word_embeddings", default=True),
            size=embedding_size,
        ),
        predictions=("predictions.",),
        pair=NextSentenceHead(name="sentence-order"),
        pair_names=("sop_classifier.",),
        pooler="pooler.",
        positions=Learned(num_positions=hf.integer("max_position_embeddings", default=512)),
        type_vocab_size=hf.integer("type_vocab_size", default=2),
        embedding_size=embedding_size,
        shared_layers=layers,
    )


def layer(block: Block) -> RulesLike:
    return {
        **within(
            "attention",
            qkv_separate(block.attention, "attention.query.*", "attention.key.*", "attention.value.*"),
        ),
        "attention.out.*": "attention.dense.*",
        **norm("attention_norm", "attention.LayerNorm"),
        "feedforward.up.*": "ffn.*",
        "feedforward.down.*": "ffn_output.*",
        **norm("feedforward_norm", "full_layer_layer_norm"),
    }


def huggingface(c: Encoder) -> WeightMap:
    blocks: Rules = {}
    for i, (group, place) in enumerate(c.shared_layers):
        stored = f"{GROUPS}{group}.albert_layers.{place}."
        blocks.update(each_block(c.blocks[i : i + 1], f"blocks.{i}.", stored, layer))
    heads: RulesLike = {
        "head.dense.*": "predictions.dense.*",
        **norm("head.norm", "predictions.LayerNorm"),
        "head.decoder.*": "predictions.decoder.*",
        "head.bias": "predictions.bias",
        "next_sentence.*": "sop_classifier.classifier.*",
        **classes(c.head),
    }
    return encoder_map(
        c,
        "albert.",
        heads,
        pooler="pooler",
        copies={"predictions.decoder.weight": "", "predictions.decoder.bias": "predictions.bias"},
        more={**blocks, "project_in.*": "albert.encoder.embedding_hidden_mapping_in.*"},
        shared=(f"{GROUPS}*",),
    )


FAMILY = Family(
    name="albert",
    model_types=("albert",),
    classes=class_names("Albert", "MaskedLM", "PreTraining", *CLASSIFYING),
    config=config,
    dialects={"huggingface": huggingface},
    tokenizer="albert",
)
