"""BERT. Source: arXiv:1810.04805; transformers modeling_bert.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelcenter.families import openbmb
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
    only_encoder,
)
from modelcenter.families.family import Family, Header
from modelcenter.models.config import Encoder, Learned, MaskedLanguageHead, NextSentenceHead
from modelcenter.weights.rules import WeightMap


def config(hf: Configuration, header: Header) -> Encoder:
    only_encoder(hf)
    layer = block(hf, attention=attention(hf))
    return encoder(
        hf,
        header,
        (layer,) * hf.layers("num_hidden_layers"),
        classes=classification(hf),
        masked=MaskedLanguageHead(
            activation=hf.activation("hidden_act", default="gelu"),
            norm=layer.norm,
            tied=hf.flag("tie_word_embeddings", default=True),
        ),
        pair=NextSentenceHead(),
        positions=Learned(num_positions=hf.integer("max_position_embeddings", default=512)),
        type_vocab_size=hf.integer("type_vocab_size", default=2),
    )


def huggingface(c: Encoder) -> WeightMap:
    heads = {**bert_predictions(), "next_sentence.*": "cls.seq_relationship.*", **classes(c.head)}
    return encoder_map(c, "bert.", heads, copies=BERT_COPIES)


def original_config(hf: Configuration, header: Header) -> Encoder:
    positions = Learned(num_positions=openbmb.num_positions("bert", hf, header))
    return openbmb.encoder("bert", hf, header, positions)


# A config.json that names neither a model_type nor a class is Google's BERT's where it has all of these keys
# and none but these and the harmless ones. One key more may be another architecture: RoBERTa's first files
# have layer_norm_eps, NEZHA's use_relative_position, ALBERT's embedding_size.
# Source: github.com/google-research/bert, modeling.py BertConfig, and the files of its releases.
KEYS = frozenset(
    (
        *("attention_probs_dropout_prob", "hidden_act", "hidden_dropout_prob", "hidden_size"),
        *("initializer_range", "intermediate_size", "max_position_embeddings", "num_attention_heads"),
        *("num_hidden_layers", "type_vocab_size", "vocab_size"),
    )
)
HARMLESS = frozenset(
    (
        *("directionality", "dtype", "pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers"),
        *("pooler_size_per_head", "pooler_type", "torch_dtype"),
    )
)


def claims(values: Mapping[str, Any]) -> bool:
    """Whether the keys are those of a configuration of Google's BERT, which names nothing."""
    stated = {name for name, value in values.items() if value is not None}
    return KEYS <= stated <= KEYS | HARMLESS


FAMILY = Family(
    name="bert",
    model_types=("bert",),
    classes=(
        *class_names("Bert", "MaskedLM", "PreTraining", "NextSentencePrediction", *CLASSIFYING),
        "BertLMHeadModel",
    ),
    config=config,
    dialects={"huggingface": huggingface, openbmb.DIALECT: openbmb.encoder_map},
    readers={openbmb.DIALECT: original_config},
    tokenizer="bert",
    claims=claims,
)
