"""Megatron-BERT. Source: arXiv:1909.08053; transformers modeling_megatron_bert.py.

BERT with the norms before each sublayer, none after the embeddings and one after the last layer.
"""

from __future__ import annotations

from dataclasses import replace

from modelcenter.families import bert
from modelcenter.families.configuration import Configuration
from modelcenter.families.encoders import (
    BERT_COPIES,
    CLASSIFYING,
    bert_layer,
    bert_predictions,
    class_names,
    classes,
    encoder_map,
)
from modelcenter.families.family import Family, Header, with_blocks
from modelcenter.models.config import Block, Encoder
from modelcenter.weights.rules import RulesLike, WeightMap


def config(hf: Configuration, header: Header) -> Encoder:
    made = with_blocks(bert.config(hf, header), lambda block: replace(block, norm_placement="before"))
    assert isinstance(made, Encoder)
    return replace(made, embedding_norm=None, norm=made.blocks[0].norm)


def layer(block: Block) -> RulesLike:
    return {**bert_layer(block), "attention_norm.*": "attention.ln.*", "feedforward_norm.*": "ln.*"}


def huggingface(c: Encoder) -> WeightMap:
    heads = {**bert_predictions(), "next_sentence.*": "cls.seq_relationship.*", **classes(c.head)}
    return encoder_map(c, "bert.", heads, layer, copies=BERT_COPIES, more={"norm.*": "bert.encoder.ln.*"})


FAMILY = Family(
    name="megatron_bert",
    model_types=("megatron-bert",),
    classes=class_names("MegatronBert", "MaskedLM", "PreTraining", "NextSentencePrediction", *CLASSIFYING),
    config=config,
    dialects={"huggingface": huggingface},
    tokenizer="bert",
)
