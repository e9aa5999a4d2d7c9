"""DistilBERT. Source: arXiv:1910.01108; transformers modeling_distilbert.py."""

from __future__ import annotations

from modelcenter.families.configuration import Configuration
from modelcenter.families.encoders import (
    CLASSIFYING,
    class_names,
    classes,
    classification,
    encoder,
    encoder_map,
)
from modelcenter.families.family import Family, Header
from modelcenter.models.config import (
    Attention,
    Block,
    Encoder,
    FeedForward,
    Learned,
    MaskedLanguageHead,
    Norm,
    Transform,
)
from modelcenter.weights.rules import RulesLike, WeightMap, qkv_separate, within

NORM = Norm(kind="layer", eps=1e-12, bias=True)


def config(hf: Configuration, header: Header) -> Encoder:
    hidden_size, num_heads = hf.integer("dim", "hidden_size"), hf.integer("n_heads", "num_attention_heads")
    activation = hf.activation("activation", default="gelu")
    num_positions = hf.integer("max_position_embeddings", default=512)
    layer = Block(
        attention=Attention(
            num_heads=num_heads,
            num_kv_heads=num_heads,
            head_dim=hf.head_dim(hidden_size, num_heads),
            causal=False,
            layout="separate",
            bias="all",
        ),
        feedforward=FeedForward(
            intermediate_size=hf.integer("hidden_dim"), activation=activation, gated=False, bias=True
        ),
        norm=NORM,
        norm_placement="after_residual",
    )
    text = Transform(activation="relu")
    return encoder(
        hf,
        header,
        (layer,) * hf.layers("n_layers", "num_hidden_layers"),
        classes=classification(hf, of="first", transform=text, choice="first", choice_transform=text),
        masked=MaskedLanguageHead(
            activation=activation,
            norm=NORM,
            tied=hf.flag("tie_word_embeddings", default=True),
            own_bias=False,
        ),
        predictions=("vocab_transform.",),
        hidden_size=hidden_size,
        max_position_embeddings=num_positions,
        # Sines too are stored: `sinusoidal_pos_embds` says what they began as.
        positions=Learned(num_positions=num_positions),
    )


def layer(block: Block) -> RulesLike:
    attention = block.attention
    return {
        **within(
            "attention",
            qkv_separate(attention, "attention.q_lin.*", "attention.k_lin.*", "attention.v_lin.*"),
        ),
        "attention.out.*": "attention.out_lin.*",
        "attention_norm.*": "sa_layer_norm.*",
        "feedforward.up.*": "ffn.lin1.*",
        "feedforward.down.*": "ffn.lin2.*",
        "feedforward_norm.*": "output_layer_norm.*",
    }


def huggingface(c: Encoder) -> WeightMap:
    heads: RulesLike = {
        "head.dense.*": "vocab_transform.*",
        "head.norm.*": "vocab_layer_norm.*",
        "head.decoder.weight": "vocab_projector.weight",
        "head.bias": "vocab_projector.bias",
        **classes(c.head, dense="pre_classifier", out="classifier"),
    }
    return encoder_map(
        c,
        "distilbert.",
        heads,
        layer,
        layers="transformer.layer.{i}.",
        copies={"vocab_projector.weight": ""},
    )


FAMILY = Family(
    name="distilbert",
    model_types=("distilbert",),
    classes=class_names("DistilBert", "MaskedLM", *CLASSIFYING),
    config=config,
    dialects={"huggingface": huggingface},
    tokenizer="bert",
)
