"""RoBERTa, XLM-RoBERTa and CamemBERT. Source: arXiv:1907.11692; transformers modeling_roberta.py.

BERT with fairseq's positions, which count what is not padding from the row after that of the padding token.
"""

from __future__ import annotations

from modelcenter.families import openbmb
from modelcenter.families.configuration import Configuration
from modelcenter.families.encoders import (
    CLASSIFYING,
    ROBERTA_COPIES,
    attention,
    block,
    class_names,
    classes,
    encoder_map,
    only_encoder,
    roberta_encoder,
    roberta_predictions,
)
from modelcenter.families.family import Family, Header
from modelcenter.models.config import Encoder, Learned
from modelcenter.weights.rules import WeightMap

TASKS = ("MaskedLM", *CLASSIFYING)


def config(hf: Configuration, header: Header) -> Encoder:
    only_encoder(hf)
    layer = block(hf, attention=attention(hf))
    padding = hf.integer("pad_token_id", default=1, least=0)
    blocks = (layer,) * hf.layers("num_hidden_layers")
    segments = hf.integer("type_vocab_size", default=2)
    return roberta_encoder(hf, header, blocks, padding, type_vocab_size=segments)


def huggingface(c: Encoder) -> WeightMap:
    heads = {**roberta_predictions(), **classes(c.head)}
    return encoder_map(c, "roberta.", heads, copies=ROBERTA_COPIES)


def original_config(hf: Configuration, header: Header) -> Encoder:
    """OpenBMB's counts every token, padding or not."""
    padding = openbmb.padding("roberta", hf, header)
    rows = openbmb.num_positions("roberta", hf, header)
    return openbmb.encoder(
        "roberta", hf, header, Learned(num_positions=max(rows - padding - 1, 1), offset=padding + 1)
    )


FAMILY = Family(
    name="roberta",
    model_types=("roberta", "xlm-roberta", "camembert"),
    classes=(
        *class_names("Roberta", *TASKS),
        *class_names("XLMRoberta", *TASKS),
        *class_names("Camembert", *TASKS),
    ),
    config=config,
    dialects={"huggingface": huggingface, openbmb.DIALECT: openbmb.encoder_map},
    readers={openbmb.DIALECT: original_config},
    tokenizer={"roberta": "roberta", "xlm-roberta": "xlm-roberta", "camembert": "camembert"},
)
