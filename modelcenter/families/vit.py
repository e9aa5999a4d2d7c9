"""ViT. Source: arXiv:2010.11929; transformers modeling_vit.py.

A model of images: its input is `pixel_values`, and it has no vocabulary.
"""

from __future__ import annotations

from modelcenter.errors import ConfigurationInvalid
from modelcenter.families import openbmb
from modelcenter.families.configuration import MOST, Configuration
from modelcenter.families.family import Family, Header, carries
from modelcenter.models.config import (
    Attention,
    Block,
    FeedForward,
    ImageClassificationHead,
    ImageEncoder,
    Norm,
    Patches,
    Pooler,
)
from modelcenter.weights.rules import RulesLike, WeightMap, each, qkv_separate, within


def config(hf: Configuration, header: Header) -> ImageEncoder:
    hidden_size, num_heads = hf.integer("hidden_size"), hf.integer("num_attention_heads")
    hf.refuse(pooler_act=("tanh",), pooler_output_size=(hidden_size,))
    norm = Norm(kind="layer", eps=hf.number("layer_norm_eps", default=1e-12), bias=True)
    block = Block(
        attention=Attention(
            num_heads=num_heads,
            num_kv_heads=num_heads,
            head_dim=hf.head_dim(hidden_size, num_heads),
            causal=False,
            layout="separate",
            bias="all" if hf.flag("qkv_bias", default=True) else "out",
        ),
        feedforward=FeedForward(
            intermediate_size=hf.integer("intermediate_size"),
            activation=hf.activation("hidden_act", default="gelu"),
            gated=False,
            bias=True,
        ),
        norm=norm,
    )
    classifies = hf.architecture == "ViTForImageClassification" or carries(header, "classifier.")
    return ImageEncoder(
        hidden_size=hidden_size,
        blocks=(block,) * hf.layers("num_hidden_layers"),
        patches=Patches(
            image_size=pixels(hf, "image_size", 224),
            patch_size=pixels(hf, "patch_size", 16),
            channels=hf.integer("num_channels", default=3),
        ),
        norm=norm,
        pooler=Pooler() if carries(header, "pooler.dense.") else None,
        head=ImageClassificationHead(num_labels=hf.num_labels) if classifies else None,
    )


def pixels(hf: Configuration, name: str, default: int) -> tuple[int, int]:
    """A height and a width, which are one number where they are equal."""
    value = hf.values.get(name)
    if not isinstance(value, list):
        side = hf.integer(name, default=default)
        return side, side
    if len(value) != 2 or not all(type(side) is int and 0 < side <= MOST for side in value):
        raise ConfigurationInvalid(
            f"has {name} {value!r}; expected a number of pixels, or a height and a width"
        )
    return value[0], value[1]


def huggingface(c: ImageEncoder) -> WeightMap:
    layer: RulesLike = {
        "attention_norm.*": "layernorm_before.*",
        **within(
            "attention",
            qkv_separate(
                c.blocks[0].attention,
                "attention.attention.query.*",
                "attention.attention.key.*",
                "attention.attention.value.*",
            ),
        ),
        "attention.out.*": "attention.output.dense.*",
        "feedforward_norm.*": "layernorm_after.*",
        "feedforward.up.*": "intermediate.dense.*",
        "feedforward.down.*": "output.dense.*",
    }
    rules: RulesLike = {
        "patches.*": "vit.embeddings.patch_embeddings.projection.*",
        "patches.class_token": "vit.embeddings.cls_token",
        "patches.positions": "vit.embeddings.position_embeddings",
        **each(c.num_layers, "blocks.{i}.", "vit.encoder.layer.{i}.", layer),
        "norm.*": "vit.layernorm.*",
        "pooler.*": "vit.pooler.dense.*",
        "head.*": "classifier.*",
    }
    return WeightMap.of(c.parameters(), rules, optional_prefix="vit.")


def original_config(hf: Configuration, header: Header) -> ImageEncoder:
    """OpenBMB's arguments have names of their own for this model."""
    c = Configuration({**openbmb.DEFAULTS_OF_VIT, **{k: v for k, v in hf.values.items() if v is not None}})
    hidden_size, num_heads = c.integer("hidden_size"), c.integer("num_heads")
    has_bias = c.flag("norm_bias", default=True)
    norm = Norm(kind="layer" if has_bias else "rms", eps=1e-5, bias=has_bias)
    block = Block(
        attention=Attention(
            num_heads=num_heads,
            num_kv_heads=num_heads,
            head_dim=c.head_dim(hidden_size, num_heads),
            causal=False,
            layout="separate",
            bias="all" if c.flag("attn_bias", default=True) else "none",
        ),
        feedforward=FeedForward(
            intermediate_size=c.integer("mlp_size"),
            activation="gelu",
            gated=False,
            bias=c.flag("ffn_bias", default=True),
        ),
        norm=norm,
    )
    image, patch = c.integer("img_size"), c.integer("patch_size")
    return ImageEncoder(
        hidden_size=hidden_size,
        blocks=(block,) * c.layers("num_layers"),
        patches=Patches(
            image_size=(image, image), patch_size=(patch, patch), channels=c.integer("channels_in")
        ),
        norm=norm,
        head=ImageClassificationHead(
            num_labels=c.integer("num_classes"), size=c.integer("representation_size", default=None)
        )
        if carries(header, "head.")
        else None,
    )


def original(c: ImageEncoder) -> WeightMap:
    return openbmb.weight_map(
        c,
        {
            "patches.*": "patch_embed.proj.*",
            "patches.class_token": "patch_embed.cls_token",
            "patches.positions": "patch_embed.pos_embed",
            **openbmb.stack(c.blocks, root="blocks"),
            "head.dense.*": "representation_layer.*",
            "head.*": "head.*",
        },
    )


FAMILY = Family(
    name="vit",
    model_types=("vit",),
    classes=("ViTModel", "ViTForImageClassification"),
    config=config,
    dialects={"huggingface": huggingface, openbmb.DIALECT: original},
    readers={openbmb.DIALECT: original_config},
)
