"""Longformer, Lawformer. Source: arXiv:2004.05150, arXiv:2105.03887; transformers modeling_longformer.py.

RoBERTa with attention to what is near and to a few global tokens: those that `global_attention_mask` marks,
else the first where texts are classified, the question's where an answer is looked for, and what follows the
question where one of several is chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from modelcenter.errors import ConfigurationInvalid
from modelcenter.families import openbmb
from modelcenter.families.configuration import MOST, Configuration
from modelcenter.families.encoders import (
    CLASSIFYING,
    ROBERTA_COPIES,
    bert_layer,
    block,
    class_names,
    classes,
    encoder_map,
    roberta_encoder,
    roberta_predictions,
    task,
)
from modelcenter.families.family import Family, Header
from modelcenter.models.config import (
    Block,
    Learned,
    LocalGlobalAttention,
    LongEncoder,
)
from modelcenter.weights.rules import RulesLike, WeightMap, kv_separate, within

GLOBAL_TOKENS: Mapping[str, Literal["first", "question", "choice"]] = {
    "SequenceClassification": "first",
    "QuestionAnswering": "question",
    "MultipleChoice": "choice",
}


def config(hf: Configuration, header: Header) -> LongEncoder:
    hf.refuse(position_embedding_type=("absolute",), attention_mode=("longformer",))
    hidden_size, num_heads = hf.integer("hidden_size"), hf.integer("num_attention_heads")
    padding = hf.integer("pad_token_id", default=1, least=0)

    def layer(window: int) -> Block:
        attention = LocalGlobalAttention(
            num_heads=num_heads,
            num_kv_heads=num_heads,
            head_dim=hf.head_dim(hidden_size, num_heads),
            window=window,
            layout="separate",
            bias="all",
        )
        return block(hf, attention=attention)

    layers = {window: layer(window) for window in set(windows(hf))}
    blocks = [layers[window] for window in windows(hf)]
    segments = hf.integer("type_vocab_size", default=2)
    made = roberta_encoder(hf, header, blocks, padding, type_vocab_size=segments)
    return LongEncoder(
        **vars(made),
        global_tokens=GLOBAL_TOKENS.get(task(hf), "none"),
        sep_token_id=hf.integer("sep_token_id", default=2, least=0),
    )


def windows(hf: Configuration) -> tuple[int, ...]:
    """The window of each layer's attention in tokens, both sides together."""
    count, value = hf.layers("num_hidden_layers"), hf.values.get("attention_window")
    if not isinstance(value, list):
        return (hf.integer("attention_window", default=512),) * count
    if len(value) != count or not all(type(window) is int and 0 < window <= MOST for window in value):
        raise ConfigurationInvalid(
            f"has an attention_window that is not a list of {count} numbers, one a layer"
        )
    return tuple(value)


def layer(b: Block) -> RulesLike:
    """BERT's names, and those of the products of global tokens."""
    far = kv_separate(b.attention, "attention.self.key_global.*", "attention.self.value_global.*")
    rules = {"global_q.*": "attention.self.query_global.*", **{f"global_{k}": v for k, v in far.items()}}
    return {**bert_layer(b), **within("attention", rules)}


def huggingface(c: LongEncoder) -> WeightMap:
    heads = {**roberta_predictions(), **classes(c.head)}
    return encoder_map(c, "longformer.", heads, layer, copies=ROBERTA_COPIES)


def original_config(hf: Configuration, header: Header) -> LongEncoder:
    """OpenBMB's head is always tied and always there."""
    values = {**hf.values, "tied": True, "cls_head": None}
    c = openbmb.arguments("longformer", Configuration(values), header)
    num_heads, padding = c.integer("num_heads"), openbmb.padding("longformer", hf, header)
    attention = LocalGlobalAttention(
        num_heads=num_heads,
        num_kv_heads=num_heads,
        head_dim=c.integer("dim_head"),
        window=c.integer("attention_window"),
        layout="separate",
        bias="all" if c.flag("att_bias", default=True) else "none",
    )
    positions = Learned(
        num_positions=max(c.integer("position_size") - padding - 1, 1),
        offset=padding + 1,
        counts="not_padding",
    )
    made = openbmb.encoder("longformer", Configuration(values), header, positions, attention)
    return LongEncoder(**vars(made), sep_token_id=c.integer("sep_tok_id", least=0))


def original_layer(b: Block) -> RulesLike:
    """OpenBMB's names."""
    own = "self_att.self_attention."
    far = kv_separate(b.attention, f"{own}project_k_global.*", f"{own}project_v_global.*")
    rules = {"global_q.*": f"{own}project_q_global.*", **{f"global_{k}": v for k, v in far.items()}}
    return {**openbmb.layer(b), **within("attention", rules)}


def original(c: LongEncoder) -> WeightMap:
    return openbmb.encoder_map(c, original_layer)


FAMILY = Family(
    name="longformer",
    model_types=("longformer",),
    classes=class_names("Longformer", "MaskedLM", *CLASSIFYING),
    config=config,
    dialects={"huggingface": huggingface, openbmb.DIALECT: original},
    readers={openbmb.DIALECT: original_config},
    tokenizer="roberta",
)
