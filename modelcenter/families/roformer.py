"""RoFormer. Source: arXiv:2104.09864; transformers modeling_roformer.py.

BERT whose queries and keys, and with `rotary_value` whose values, are turned by their positions.
"""

from __future__ import annotations

from dataclasses import replace

from modelcenter.families.configuration import Configuration
from modelcenter.families.encoders import (
    BERT_COPIES,
    CLASSIFYING,
    attention,
    bert_predictions,
    block,
    class_names,
    classes,
    classification,
    encoder,
    encoder_map,
    narrower,
    only_encoder,
    summary,
)
from modelcenter.families.family import Family, Header
from modelcenter.models.config import Encoder, MaskedLanguageHead, Rotary, Transform
from modelcenter.weights.rules import WeightMap

THETA = 10000.0


def config(hf: Configuration, header: Header) -> Encoder:
    only_encoder(hf)
    turned = attention(hf, rotate_values=hf.flag("rotary_value", default=False))
    layer = block(
        hf,
        attention=replace(turned, rotary=Rotary(dim=turned.head_dim, theta=THETA, interleaved=True)),
    )
    choice, through = summary(hf, kind="last", activation=None)
    activation, embedding_size = hf.activation("hidden_act", default="gelu"), narrower(hf)
    return encoder(
        hf,
        header,
        (layer,) * hf.layers("num_hidden_layers"),
        classes=classification(
            hf,
            of="first",
            transform=Transform(activation=activation),
            choice=choice,
            choice_transform=through,
        ),
        masked=MaskedLanguageHead(
            activation=activation,
            norm=layer.norm,
            tied=hf.flag("tie_word_embeddings", default=True),
            size=embedding_size,
        ),
        max_position_embeddings=hf.integer("max_position_embeddings", default=1536),
        type_vocab_size=hf.integer("type_vocab_size", default=2),
        embedding_size=embedding_size,
    )


def huggingface(c: Encoder) -> WeightMap:
    heads = {**bert_predictions(), **classes(c.head)}
    sines = "roformer.encoder.embed_positions.weight"
    return encoder_map(c, "roformer.", heads, copies=BERT_COPIES, derived=(sines,))


FAMILY = Family(
    name="roformer",
    model_types=("roformer",),
    classes=class_names("RoFormer", "MaskedLM", *CLASSIFYING),
    config=config,
    dialects={"huggingface": huggingface},
    tokenizer="roformer",
)
