"""DeBERTa. Source: arXiv:2006.03654; transformers modeling_deberta.py.

As DeBERTa-v2, with one matrix of queries, keys and values, and biases of queries and values alone.
"""

from __future__ import annotations

from modelcenter.families.configuration import Configuration
from modelcenter.families.deberta_v2 import EPS, TASKS, disentangled, heads, names, reach
from modelcenter.families.encoders import bert_layer, block, class_names
from modelcenter.families.family import Family, Header
from modelcenter.models.config import Block, DisentangledAttention, DisentangledEncoder
from modelcenter.weights.rules import RulesLike, WeightMap, qkv_groups, within


def config(hf: Configuration, header: Header) -> DisentangledEncoder:
    hf.refuse(talking_head=(False,))
    attention = DisentangledAttention(
        **heads(hf),
        layout="groups",
        bias="out",
        span=reach(hf),
        position_key_bias=False,
        query_value_bias=True,
    )
    layer = block(hf, eps=EPS, attention=attention)
    return disentangled(hf, header, [layer] * hf.layers("num_hidden_layers"), None)


def layer(b: Block) -> RulesLike:
    return {
        **bert_layer(b),
        **within("attention", qkv_groups(b.attention, "attention.self.in_proj.*")),
        "attention.q_bias": "attention.self.q_bias",
        "attention.v_bias": "attention.self.v_bias",
        "attention.position_k.*": "attention.self.pos_proj.*",
        "attention.position_q.*": "attention.self.pos_q_proj.*",
    }


def huggingface(c: DisentangledEncoder) -> WeightMap:
    return names(c, layer)


FAMILY = Family(
    name="deberta",
    model_types=("deberta",),
    classes=class_names("Deberta", *TASKS),
    config=config,
    dialects={"huggingface": huggingface},
    tokenizer="deberta",
)
