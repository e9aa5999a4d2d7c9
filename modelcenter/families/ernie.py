"""ERNIE. Source: arXiv:1904.09223, arXiv:2107.02137; transformers modeling_ernie.py.

BERT whose tokens also say what kind of task they are for, where `use_task_id` is set (ERNIE 3).
"""

from __future__ import annotations

from dataclasses import replace

from modelcenter.families import bert
from modelcenter.families.configuration import Configuration
from modelcenter.families.encoders import (
    BERT_COPIES,
    CLASSIFYING,
    bert_predictions,
    class_names,
    classes,
    encoder_map,
)
from modelcenter.families.family import Family, Header
from modelcenter.models.config import Encoder
from modelcenter.weights.rules import WeightMap


def config(hf: Configuration, header: Header) -> Encoder:
    tasks = hf.integer("task_type_vocab_size", default=3) if hf.flag("use_task_id", default=False) else 0
    return replace(bert.config(hf, header), task_vocab_size=tasks)


def huggingface(c: Encoder) -> WeightMap:
    heads = {**bert_predictions(), "next_sentence.*": "cls.seq_relationship.*", **classes(c.head)}
    return encoder_map(c, "ernie.", heads, copies=BERT_COPIES)


FAMILY = Family(
    name="ernie",
    model_types=("ernie",),
    classes=class_names("Ernie", "MaskedLM", "PreTraining", "NextSentencePrediction", *CLASSIFYING),
    config=config,
    dialects={"huggingface": huggingface},
    tokenizer="bert",
)
