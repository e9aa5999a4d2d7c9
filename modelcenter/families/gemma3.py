"""Gemma 3's text models. Source: arXiv:2503.19786; transformers modeling_gemma3.py.

Gemma 2 with normalised queries and keys in place of the caps; five layers with a window and a rotary base of
their own to one without. EmbeddingGemma sees both ways. Of the models that see images too (`gemma3`)
the text model is loaded, whose configuration is theirs' `text_config`; the tensors of images are told as
unused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import sqrt

from modelcenter.errors import ConfigurationInvalid
from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import (
    TANH_GELU,
    TIED,
    attention,
    attention_bias,
    decoder,
    decoder_map,
    gated,
    layer_types,
    rms_norm,
    window,
    windowed,
)
from modelcenter.families.family import Family, Header
from modelcenter.families.gemma2 import cap, layer
from modelcenter.models.config import Block, Decoder, QueryKeyNorm
from modelcenter.weights.rules import WeightMap

# What text_config leaves out where it is usual.
USUAL = {"num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 262208}
IMAGES = ("*vision_tower.*", "*multi_modal_projector.*")


def text_configuration(hf: Configuration) -> Configuration:
    """The configuration of the text model. Raises ConfigurationInvalid for a text_config that is no table."""
    if "text_config" not in hf:
        return hf
    text = hf.values["text_config"]
    if not isinstance(text, Mapping):
        raise ConfigurationInvalid("has a text_config that is no table")
    stated = ("eos_token_id", "pad_token_id", "tie_word_embeddings", "id2label", "num_labels")
    outer = {name: hf.values[name] for name in stated if name in hf}
    is_whole = hf.architecture.endswith("ForConditionalGeneration")
    named = "Gemma3ForCausalLM" if is_whole else hf.architecture
    return Configuration({**USUAL, **text, **outer, "architectures": [named] if named else []})


def config(hf: Configuration, header: Header) -> Decoder:
    hf = text_configuration(hf)
    hf.refuse(attn_logit_softcapping=(), is_causal=(True,))
    both_ways = hf.flag("use_bidirectional_attention", default=False)
    size = window(hf, 4096)
    if both_ways and size is not None:
        size = size // 2 + 1  # to each side, the token itself included
    norm = rms_norm(hf, offset=1.0)
    block = Block(
        attention=attention(
            hf,
            lambda head_dim: hf.rotary(head_dim, theta=1e6, kind="full_attention"),
            head_dim=256,
            causal=not both_ways,
            bias=attention_bias(hf),
            scale=hf.positive("query_pre_attn_scalar", default=256.0) ** -0.5,
            query_key_norm=QueryKeyNorm(norm=norm),
        ),
        feedforward=gated(hf, "hidden_activation", activation=TANH_GELU),
        norm=norm,
        norm_placement="both",
    )
    pattern = hf.integer("sliding_window_pattern", default=6)
    kinds = layer_types(hf, lambda i: (i + 1) % pattern != 0)
    unscaled = Configuration({**hf.values, "rope_scaling": None})  # it is of the layers that see all
    near = unscaled.rotary(
        block.attention.head_dim,
        theta=10000.0,
        old=("rope_local_base_freq", ""),
        kind="sliding_attention",
    )
    return decoder(
        hf,
        header,
        windowed(block, kinds, size, near),
        norm,
        head=replace(TIED, cap=cap(hf, "final_logit_softcapping", None)),
        max_position_embeddings=131072,
        embedding_scale=sqrt(hf.integer("hidden_size")),
    )


def huggingface(c: Decoder) -> WeightMap:
    return decoder_map(
        c,
        layer,
        head=("lm_head", "language_model.lm_head"),
        unused=IMAGES,
        prefixes=("language_model.model.", "model.language_model."),  # of files with images, by their age
    )


FAMILY = Family(
    name="gemma3",
    model_types=("gemma3_text", "gemma3"),
    classes=("Gemma3TextModel", "Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"),
    config=config,
    dialects={"huggingface": huggingface},
    tokenizer="gemma",
)
