"""CPM-Ant. Source: github.com/OpenBMB/CPM-Live; transformers modeling_cpmant.py.

CPM-3's prompts and segments, with vectors of segments of its own. Its own form divides products, embeddings
and every sum by constants, which transformers' files have folded into the weights.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from modelcenter.families import openbmb
from modelcenter.families.configuration import Configuration
from modelcenter.families.family import Family, Header, has_language_head
from modelcenter.models.config import (
    Attention,
    Block,
    FeedForward,
    LanguageHead,
    Norm,
    PrefixDecoder,
    Prompts,
    SegmentBias,
)
from modelcenter.weights.rules import WeightMap, each_block, src, take

TEXT = 2  # the type of task, and the segment, of texts that are to be continued


def config(hf: Configuration, header: Header) -> PrefixDecoder:
    has_head = has_language_head(hf, header, "cpmant.", "lm_head.")
    return model(
        hf,
        hidden_size=hf.integer("hidden_size", default=4096),
        num_heads=hf.integer("num_attention_heads", default=32),
        num_layers=hf.layers("num_hidden_layers", default=48),
        head=LanguageHead(tied=False) if has_head else None,
    )


def original_config(hf: Configuration, header: Header) -> PrefixDecoder:
    """As CPM-Live writes it."""
    size = hf.integer("dim_model", default=4096)
    made = model(
        hf,
        hidden_size=size,
        num_heads=hf.integer("num_heads", default=32),
        num_layers=hf.layers("num_layers", default=48),
        head=LanguageHead(tied=True, scale=size**-0.5),
        length_scaled=True,
        sum_scale=1 / 1.05,
    )
    return replace(made, blocks=openbmb.with_halves(made.blocks, hf))


def model(
    hf: Configuration,
    *,
    hidden_size: int,
    num_heads: int,
    num_layers: int,
    head: LanguageHead | None,
    length_scaled: bool = False,
    sum_scale: float = 1.0,
) -> PrefixDecoder:
    """The model of either form."""
    norm = Norm(kind="rms", eps=hf.number("eps", default=1e-6))
    block = Block(
        attention=Attention(
            num_heads=num_heads,
            num_kv_heads=num_heads,
            head_dim=hf.integer("dim_head", default=128),
            causal=True,
            layout="separate",
            length_scaled=length_scaled,
        ),
        feedforward=FeedForward(
            intermediate_size=hf.integer("dim_ff", default=10240),
            activation="gelu",
            gated=True,
            layout="separate",
            length_scaled=length_scaled,
        ),
        norm=norm,
        sum_scale=sum_scale,
    )
    segments = hf.integer("segment_types", default=32, least=TEXT + 1)
    return PrefixDecoder(
        vocab_size=hf.integer("vocab_size", default=30720),
        hidden_size=hidden_size,
        max_position_embeddings=None,
        blocks=(block,) * num_layers,
        pad_token_id=hf.pad_token_id,
        eos_token_ids=hf.eos_token_ids,
        embedding_scale=hidden_size**-0.5 if length_scaled else 1.0,
        norm=norm,
        head=head,
        position_bias=SegmentBias(
            num_buckets=hf.integer("position_bias_num_buckets", default=512),
            max_distance=hf.integer("position_bias_max_distance", default=2048),
            num_segments=segments,
            num_heads=num_heads,
        ),
        prompts=Prompts(
            types=hf.integer("prompt_types", default=32, least=TEXT + 1),
            length=hf.integer("prompt_length", default=32),
            default=TEXT,
        ),
        segment_types=segments,
    )


def huggingface(c: PrefixDecoder) -> WeightMap:
    """One table holds the tokens, then the prompts; the head is a matrix of its own."""
    assert c.prompts is not None
    prompts = c.prompts.types * c.prompts.length
    table, of = "cpmant.input_embedding.weight", c.vocab_size + prompts
    rules: dict[str, Any] = {
        "embedding.weight": take(table, range(c.vocab_size), of),
        "prompt_embedding.weight": take(table, range(c.vocab_size, of), of),
        "segment_embedding.weight": "cpmant.segment_embedding.weight",
        "position_bias.weight": "cpmant.position_bias.relative_attention_bias",
        **each_block(c.blocks, "blocks.{i}.", "cpmant.encoder.layers.{i}.", openbmb.layer),
        "norm.*": "cpmant.encoder.output_layernorm.*",
        "head.weight": src("lm_head.weight"),
    }
    return WeightMap.of(c.parameters(), rules, optional_prefix="cpmant.")


FAMILY = Family(
    name="cpmant",
    model_types=("cpmant",),
    classes=("CpmAntModel", "CpmAntForCausalLM"),
    config=config,
    dialects={"huggingface": huggingface, openbmb.DIALECT: openbmb.prefix_decoder_map},
    readers={openbmb.DIALECT: original_config},
    tokenizer="cpmant",
)
