"""DeBERTa-v2 and v3. Source: arXiv:2006.03654, arXiv:2111.09543; transformers modeling_deberta_v2.py.

BERT whose attentions know distances by what they mean to each token. Pretraining's head is stored under
another name than BERT's, beside one that told replaced tokens, which no answer reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from modelcenter.errors import ConfigurationInvalid
from modelcenter.families.configuration import Configuration
from modelcenter.families.encoders import (
    BERT_COPIES,
    bert_layer,
    bert_predictions,
    block,
    class_names,
    classes,
    classification,
    encoder,
    encoder_map,
    layer_norm,
    norm,
)
from modelcenter.families.family import Family, Header, carries
from modelcenter.models.config import (
    Block,
    Convolution,
    DisentangledAttention,
    DisentangledEncoder,
    Learned,
    MaskedLanguageHead,
    Norm,
    Transform,
)
from modelcenter.weights.rules import RulesLike, WeightMap, qkv_separate, within

EPS = 1e-7
TASKS = ("MaskedLM", "SequenceClassification", "TokenClassification", "QuestionAnswering")


def config(hf: Configuration, header: Header) -> DisentangledEncoder:
    buckets = stated(hf, "position_buckets")
    furthest = reach(hf)
    span = buckets or furthest
    attention = DisentangledAttention(
        **heads(hf),
        layout="separate",
        bias="all",
        span=span,
        furthest=furthest if buckets else None,
        shared=hf.flag("share_att_key", default=False),
    )
    layer = block(hf, eps=EPS, attention=attention)
    blocks = [layer] * hf.layers("num_hidden_layers")
    if width := hf.integer("conv_kernel_size", default=0, least=0):
        blocks[0] = replace(layer, convolution=convolution(hf, width))
    has_norm = "layer_norm" in split(hf, "norm_rel_ebd")
    return disentangled(hf, header, blocks, layer_norm(hf, EPS) if has_norm else None)


def stated(hf: Configuration, name: str) -> int | None:
    """A size that is absent where it is -1 too."""
    return None if hf.values.get(name) in (-1, 0) else hf.integer(name, default=None)


def reach(hf: Configuration) -> int:
    """The furthest distance that is told from others, in tokens."""
    return stated(hf, "max_relative_positions") or hf.integer("max_position_embeddings", default=512)


def split(hf: Configuration, name: str) -> list[str]:
    """A list, or a string of parts with | between them."""
    value = hf.values.get(name) or []
    parts = value.lower().split("|") if isinstance(value, str) else value
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise ConfigurationInvalid(f"has {name} {value!r}; expected words, with | between them")
    return [part.strip() for part in parts]


def heads(hf: Configuration) -> Mapping[str, Any]:
    """The heads of each attention, and what they know of distances."""
    hidden_size, num_heads = hf.integer("hidden_size"), hf.integer("num_attention_heads")
    head_dim = hf.head_dim(hidden_size, num_heads)
    hf.refuse(attention_head_size=(head_dim,), embedding_size=(hidden_size,))
    terms = split(hf, "pos_att_type")
    if not set(terms) <= {"c2p", "p2c"} or (terms and not hf.flag("relative_attention", default=False)):
        raise ConfigurationInvalid(
            f"has pos_att_type {terms}; expected c2p, p2c or both, and relative_attention with them"
        )
    return {
        "num_heads": num_heads,
        "num_kv_heads": num_heads,
        "head_dim": head_dim,
        "content_to_position": "c2p" in terms,
        "position_to_content": "p2c" in terms,
    }


def convolution(hf: Configuration, width: int) -> Convolution:
    """The convolution beside the first layer."""
    hidden_size, groups = hf.integer("hidden_size"), hf.integer("conv_groups", default=1)
    if width % 2 == 0 or hidden_size % groups:
        raise ConfigurationInvalid(
            f"has a convolution over {width} tokens in {groups} groups; "
            f"expected an odd number, and groups that divide {hidden_size}"
        )
    activation = hf.activation("conv_act", default="tanh")
    return Convolution(width=width, groups=groups, activation=activation, norm=layer_norm(hf, EPS))


def disentangled(
    hf: Configuration, header: Header, blocks: list[Block], distance_norm: Norm | None
) -> DisentangledEncoder:
    """The encoder of `blocks`, with what both DeBERTas' configurations say alike."""
    attention = blocks[0].attention
    assert isinstance(attention, DisentangledAttention)
    positions = hf.integer("max_position_embeddings", default=512)
    is_original = carries(header, "lm_predictions.") or not hf.flag("legacy", default=True)
    # The pooler is a part of the heads that read it.
    pooler = Transform(activation=hf.activation("pooler_hidden_act", default="gelu"))
    hf.refuse(pooler_hidden_size=(hf.integer("hidden_size"),))
    made = encoder(
        hf,
        header,
        blocks,
        classes=classification(hf, of="first", transform=pooler, choice="first", choice_transform=pooler),
        masked=MaskedLanguageHead(
            activation=hf.activation("hidden_act", default="gelu"),
            norm=layer_norm(hf, EPS),
            tied=is_original or hf.flag("tie_word_embeddings", default=True),
            own_bias=not is_original,
        ),
        predictions=("cls.predictions.", "lm_predictions."),
        max_position_embeddings=positions,
        positions=Learned(num_positions=positions)
        if hf.flag("position_biased_input", default=True)
        else None,
        type_vocab_size=hf.integer("type_vocab_size", default=0, least=0),
    )
    return DisentangledEncoder(
        **vars(replace(made, pooler=None)),
        distances=2 * attention.span if hf.flag("relative_attention", default=False) else 0,
        distance_norm=distance_norm,
    )


def layer(b: Block) -> RulesLike:
    """The names of a layer."""
    return {
        **bert_layer(b),
        **within(
            "attention",
            qkv_separate(
                b.attention,
                "attention.self.query_proj.*",
                "attention.self.key_proj.*",
                "attention.self.value_proj.*",
            ),
        ),
        "attention.position_k.*": "attention.self.pos_key_proj.*",
        "attention.position_q.*": "attention.self.pos_query_proj.*",
    }


def huggingface(c: DisentangledEncoder) -> WeightMap:
    return names(c, layer)


def names(c: DisentangledEncoder, layer: Any) -> WeightMap:
    """The map of an encoder whose layers' rules are `layer`."""
    is_original = isinstance(c.head, MaskedLanguageHead) and c.head.tied and not c.head.own_bias
    original: RulesLike = {
        "head.dense.*": "lm_predictions.lm_head.dense.*",
        "head.norm.*": "lm_predictions.lm_head.LayerNorm.*",
        "head.bias": "lm_predictions.lm_head.bias",
    }
    return encoder_map(
        c,
        "deberta.",
        {
            **(original if is_original else bert_predictions()),
            **classes(c.head, dense="pooler.dense", out="classifier"),
        },
        layer,
        copies=BERT_COPIES,
        # What pretraining leaves behind: positions that were not added, a head for replaced tokens.
        unused=(
            *(() if c.positions else ("deberta.embeddings.position_embeddings.weight",)),
            "mask_predictions.*",
        ),
        more={
            "distance_embedding.weight": "deberta.encoder.rel_embeddings.weight",
            **norm("distance_norm", "deberta.encoder.LayerNorm"),
            "blocks.0.convolution.weight": "deberta.encoder.conv.conv.weight",
            "blocks.0.convolution.bias": "deberta.encoder.conv.conv.bias",
            **norm("blocks.0.convolution.norm", "deberta.encoder.conv.LayerNorm"),
        },
    )


FAMILY = Family(
    name="deberta_v2",
    model_types=("deberta-v2",),
    classes=(*class_names("DebertaV2", *TASKS), "DebertaV2ForMultipleChoice"),
    config=config,
    dialects={"huggingface": huggingface},
    tokenizer="deberta-v2",
)
