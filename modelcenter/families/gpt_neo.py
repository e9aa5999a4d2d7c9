"""GPT-Neo. Source: github.com/EleutherAI/gpt-neo; transformers modeling_gpt_neo.py.

Layers see everything and the last tokens alone by turns; the logits of the attention are not scaled.
"""

from __future__ import annotations

from typing import Any

from modelcenter.errors import ConfigurationInvalid
from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import (
    HIDDEN_SIZE,
    NUM_HEADS,
    TIED,
    attention,
    decoder,
    gpt2_layer,
    gpt2_map,
    layer_norm,
    windowed,
)
from modelcenter.families.family import Family, Header
from modelcenter.models.config import Block, Decoder, FeedForward, Learned
from modelcenter.weights.rules import RulesLike, WeightMap, qkv_separate

KINDS = {"global": "full_attention", "local": "sliding_attention"}


def config(hf: Configuration, header: Header) -> Decoder:
    block = Block(
        attention=attention(
            hf,
            lambda head_dim: None,
            num_kv_heads=hf.integer(*NUM_HEADS),
            own_head_dim=False,
            bias="out",
            scale=1.0,
        ),
        feedforward=FeedForward(
            intermediate_size=hf.integer("intermediate_size", default=4 * hf.integer(*HIDDEN_SIZE)),
            activation=hf.activation("activation_function", default="gelu_new"),
            gated=False,
            bias=True,
        ),
        norm=layer_norm(hf, "layer_norm_epsilon"),
    )
    num_positions = hf.integer("max_position_embeddings", default=2048)
    return decoder(
        hf,
        header,
        windowed(block, attention_kinds(hf), hf.integer("window_size", default=256)),
        block.norm,
        head=TIED,
        prefix="transformer.",
        max_position_embeddings=num_positions,
        positions=Learned(num_positions=num_positions),
    )


def attention_kinds(hf: Configuration) -> list[str]:
    """The kind of each layer's attention: as `attention_layers` lists them, else from `attention_types`,
    [[kinds by turns, how often], ...]."""
    count = hf.layers("num_layers", "num_hidden_layers")
    told: Any = hf.values.get("attention_types") or [[["global", "local"], 12]]
    if "attention_layers" in hf:
        told = [[hf.values["attention_layers"], 1]]
    kinds: list[str] = []
    try:
        for turns, times in told:
            if isinstance(times, bool) or not 0 <= times <= count or len(turns) > count:
                raise ValueError(f"{times} times {len(turns)} layers")
            kinds += [KINDS[kind] for kind in turns] * times
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationInvalid(
            f"has attention_layers or attention_types {told!r:.80}; "
            "expected pairs of a list of global and local, and how often"
        ) from error
    if len(kinds) != count:
        raise ConfigurationInvalid(
            f"has attentions of {len(kinds)} layers and num_layers {count}; expected as many"
        )
    return kinds


def layer(block: Block) -> RulesLike:
    names = (f"attn.attention.{part}_proj.*" for part in "qkv")
    return gpt2_layer(qkv_separate(block.attention, *names), "attn.attention.out_proj.*")


def huggingface(c: Decoder) -> WeightMap:
    masks = ("transformer.h.*.attn.attention.bias", "transformer.h.*.attn.attention.masked_bias")
    return gpt2_map(c, layer, masks)


FAMILY = Family(
    name="gpt_neo",
    model_types=("gpt_neo",),
    classes=("GPTNeoModel", "GPTNeoForCausalLM"),
    config=config,
    dialects={"huggingface": huggingface},
    spellings={"GPTNeoForTokenClassification": ("score.", "classifier.")},
    tokenizer="gpt2",
)
