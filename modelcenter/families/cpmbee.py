"""CPM-Bee. Source: github.com/OpenBMB/CPM-Bee; its modeling_cpmbee.py.

A tree of texts, of which some are given and one is written. The two forms differ in names alone.
"""

from __future__ import annotations

from modelcenter.errors import ConfigurationInvalid
from modelcenter.families import openbmb
from modelcenter.families.configuration import Configuration
from modelcenter.families.family import Family, Header, has_language_head
from modelcenter.models.config import (
    Attention,
    Block,
    FeedForward,
    LanguageHead,
    Norm,
    RelationBias,
    StructuredDecoder,
)
from modelcenter.weights.rules import WeightMap, each_block


def config(hf: Configuration, header: Header) -> StructuredDecoder:
    """As the code beside its files on hubs writes it."""
    return model(
        hf,
        hidden_size=hf.integer("hidden_size"),
        num_heads=hf.integer("num_attention_heads"),
        num_layers=hf.layers("num_hidden_layers"),
        has_head=has_language_head(hf, header, "cpmbee.", "lm_head."),
    )


def original_config(hf: Configuration, header: Header) -> StructuredDecoder:
    """As CPM-Live writes it."""
    hf.refuse(int4=(False,))
    return model(
        hf,
        hidden_size=hf.integer("dim_model"),
        num_heads=hf.integer("num_heads"),
        num_layers=hf.layers("num_layers"),
        has_head=True,
    )


def model(
    hf: Configuration, *, hidden_size: int, num_heads: int, num_layers: int, has_head: bool
) -> StructuredDecoder:
    """The model of either form."""
    if hidden_size % 2:
        raise ConfigurationInvalid(f"turns embeddings of {hidden_size} elements; expected an even number")
    norm, scale = Norm(kind="rms", eps=hf.number("eps", default=1e-6)), hidden_size**-0.5
    block = Block(
        attention=Attention(
            num_heads=num_heads,
            num_kv_heads=num_heads,
            head_dim=hf.integer("dim_head"),
            causal=True,
            layout="separate",
            length_scaled=True,
        ),
        feedforward=FeedForward(
            intermediate_size=hf.integer("dim_ff"),
            activation="gelu",
            gated=True,
            layout="separate",
            length_scaled=True,
        ),
        norm=norm,
        sum_scale=1 / 1.05,
    )
    return StructuredDecoder(
        vocab_size=hf.integer("vocab_size"),
        hidden_size=hidden_size,
        max_position_embeddings=None,
        blocks=openbmb.with_halves((block,) * num_layers, hf),
        pad_token_id=hf.pad_token_id,
        eos_token_ids=hf.eos_token_ids,
        embedding_scale=scale,
        norm=norm,
        head=LanguageHead(tied=True, scale=scale) if has_head else None,
        position_bias=RelationBias(
            num_buckets=hf.integer("position_bias_num_buckets"),
            max_distance=hf.integer("position_bias_max_distance", default=2048),
            num_relations=hf.integer("position_bias_num_segment_buckets"),
            num_heads=num_heads,
        ),
        number_distance=hf.number("distance_scale", default=16.0),
    )


def huggingface(c: StructuredDecoder) -> WeightMap:
    table = "cpmbee.input_embedding.weight"
    return WeightMap.of(
        c.parameters(),
        {
            "embedding.weight": table,
            "position_bias.weight": "cpmbee.position_bias.relative_attention_bias",
            **each_block(c.blocks, "blocks.{i}.", "cpmbee.encoder.layers.{i}.", openbmb.layer),
            "norm.*": "cpmbee.encoder.output_layernorm.*",
            "head.weight": "lm_head.weight",
        },
        copies={"lm_head.weight": table},
        derived=("cpmbee.input_embedding.rotary_emb.inv_freq",),
        optional_prefix="cpmbee.",
    )


def original(c: StructuredDecoder) -> WeightMap:
    rules = {"position_bias.weight": openbmb.RELATIVE_BIAS, **openbmb.stack(c.blocks)}
    return openbmb.weight_map(c, rules, derived=("input_embedding.rotary_emb.inv_freq",))


FAMILY = Family(
    name="cpmbee",
    model_types=("cpmbee",),
    classes=("CpmBeeModel", "CpmBeeForCausalLM"),
    config=config,
    dialects={"huggingface": huggingface, openbmb.DIALECT: original},
    readers={openbmb.DIALECT: original_config},
    tokenizer="cpmbee",
)
