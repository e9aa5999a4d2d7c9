"""BERT, RoBERTa and Longformer as transformers and OpenBMB write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from modelcenter.families import openbmb
from modelcenter.families.forms.form import (
    HUGGINGFACE,
    Adapted,
    Form,
    Get,
    common,
    labels,
    original,
    tied,
    without,
)
from modelcenter.models.config import ClassificationHead, Encoder, FeedForward, MaskedLanguageHead


def _bert(c: Encoder, model_type: str = "bert", kind: str = "Bert") -> dict[str, Any]:
    a, f = c.blocks[0].attention, c.blocks[0].feedforward
    assert isinstance(f, FeedForward) and c.positions is not None
    name = f"{kind}ForMaskedLM" if isinstance(c.head, MaskedLanguageHead) else f"{kind}Model"
    if c.next_sentence is not None:
        name = f"{kind}ForPreTraining"
    classes: dict[str, Any] = {}
    if isinstance(c.head, ClassificationHead) and c.head.of == "tokens":
        name, classes = f"{kind}ForTokenClassification", labels(c.head.num_labels)
    return {
        **common(c, model_type, name),
        "hidden_size": c.hidden_size,
        "intermediate_size": f.intermediate_size,
        "num_hidden_layers": c.num_layers,
        "num_attention_heads": a.num_heads,
        "max_position_embeddings": c.positions.rows,
        "type_vocab_size": c.type_vocab_size,
        "hidden_act": f.activation,
        "layer_norm_eps": c.blocks[0].norm.eps,
        "tie_word_embeddings": tied(c),
        **classes,
    }


def _longformer(c: Any) -> dict[str, Any]:
    windows = [block.attention.window for block in c.blocks]
    values = _bert(c, "longformer", "Longformer")
    return {**values, "attention_window": windows, "sep_token_id": c.sep_token_id}


def _original_encoder(name: str) -> Callable[[Encoder], dict[str, Any]]:
    def describe(c: Encoder) -> dict[str, Any]:
        assert c.positions is not None
        own = {"position_size": c.positions.rows, "type_size": c.type_vocab_size, "tied": tied(c)}
        pad = {"pad_token_id": c.pad_token_id} if "pad_token_id" in openbmb.DEFAULTS[name] else {}
        return openbmb.described(name, c, **own, **pad)

    return describe


def _original_longformer(c: Any) -> dict[str, Any]:
    own = {"attention_window": c.blocks[0].attention.window, "sep_tok_id": c.sep_token_id}
    return {**_original_encoder("longformer")(c), **own}


_REPEATED = (
    "lm_head.decoder.weight repeats the embedding: OpenBMB's classes have it and, tied, do not read it, "
    "whatever it held before."
)


def _encoder_to_original(c: Encoder, get: Get) -> Adapted:
    """OpenBMB's form has no next-sentence head, and one bias in the other."""
    notes: tuple[str, ...] = ()
    if c.next_sentence is not None:
        notes = (without(c.next_sentence),)
    made, duplicates, values = replace(c, next_sentence=None), {}, {}
    if isinstance(c.head, MaskedLanguageHead):
        if c.head.tied:
            duplicates = {"lm_head.decoder.weight": "input_embedding.weight"}
            notes = (*notes, _REPEATED)
        else:
            made = replace(made, head=replace(c.head, bias=False, own_bias=True))
            values = {} if c.head.own_bias else {"head.decoder.bias": lambda get: get("head.bias")}
    return Adapted(made, values, notes=notes, duplicates=duplicates)


def _roberta_to_original(c: Encoder, get: Get) -> Adapted:
    """OpenBMB's RoBERTa counts every token, transformers' what is not padding."""
    made = _encoder_to_original(c, get)
    return replace(made, config=_counting(made.config, "all"), notes=(*made.notes, *_COUNTING))


def _roberta_to_huggingface(c: Encoder, get: Get) -> Adapted:
    made = _encoder_to_huggingface(c, get)
    return replace(made, config=_counting(made.config, "not_padding"), notes=(*made.notes, *_COUNTING))


_COUNTING = (
    "Texts that are padded on the left have other positions: OpenBMB's RoBERTa counts padding among them.",
)


def _counting(c: Any, counts: str) -> Any:
    return replace(c, positions=replace(c.positions, counts=counts))


def _encoder_to_huggingface(c: Encoder, get: Get) -> Adapted:
    """transformers' untied head has a second bias, which no logit reads."""
    if not isinstance(c.head, MaskedLanguageHead) or c.head.tied or (c.head.bias and c.head.own_bias):
        return Adapted(c)
    lacking, there = ("bias", "decoder.bias") if c.head.own_bias else ("decoder.bias", "bias")
    head = replace(c.head, bias=True, own_bias=True)
    return Adapted(replace(c, head=head), {f"head.{lacking}": lambda get: get(f"head.{there}")})


FORMS: Mapping[str, Mapping[str, Form]] = {
    "bert": {
        HUGGINGFACE: Form(_bert, _encoder_to_huggingface),
        openbmb.DIALECT: original(_original_encoder("bert"), _encoder_to_original),
    },
    "roberta": {
        HUGGINGFACE: Form(lambda c: _bert(c, "roberta", "Roberta"), _roberta_to_huggingface),
        openbmb.DIALECT: original(_original_encoder("roberta"), _roberta_to_original),
    },
    "longformer": {
        HUGGINGFACE: Form(_longformer, _encoder_to_huggingface),
        openbmb.DIALECT: original(_original_longformer, _encoder_to_original),
    },
}
"""Family -> the forms of others that it is written in."""
