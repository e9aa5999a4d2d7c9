"""Nomic BERT. Source: arXiv:2402.01613; transformers modeling_nomic_bert.py, nomic-ai's own code before it.

BERT with rotary positions, gated feedforwards and few biases. Files keep the names of the original code;
config.json comes in its spelling and in transformers'.
"""

from __future__ import annotations

from dataclasses import replace

from modelcenter.errors import ConfigurationInvalid
from modelcenter.families.configuration import Configuration
from modelcenter.families.encoders import (
    BERT_COPIES,
    class_names,
    classes,
    classification,
    encoder,
    encoder_map,
    only_encoder,
)
from modelcenter.families.family import Family, Header
from modelcenter.models.config import (
    Attention,
    Block,
    Encoder,
    FeedForward,
    MaskedLanguageHead,
    Norm,
    Rotary,
    RotaryScaling,
)
from modelcenter.weights.rules import RulesLike, WeightMap, gate_up_separate, qkv_sections, src, within

# The original code's names of gated activations.
GATED = {"swiglu": "silu", "geglu": "gelu", "glu": "sigmoid"}


def config(hf: Configuration, header: Header) -> Encoder:
    only_encoder(hf)
    hf.refuse(
        causal=(False,), mlp_fc1_bias=(False,), mlp_fc2_bias=(False,), num_experts=(0,),
        parallel_block=(False,), prenorm=(False,), qkv_proj_bias=(False,), rotary_emb_interleaved=(False,),
        rotary_emb_scale_base=(), scale_attn_weights=(True,), use_rms_norm=(False,),
    )  # fmt: skip
    hidden_size, num_heads = hf.integer("hidden_size", "n_embd"), hf.integer("num_attention_heads", "n_head")
    head_dim = hf.integer("head_dim", default=0) or hf.head_dim(hidden_size, num_heads)
    norm = Norm(kind="layer", eps=hf.number("layer_norm_eps", "layer_norm_epsilon", default=1e-12), bias=True)
    activation = activated(hf)
    layer = Block(
        attention=Attention(
            num_heads=num_heads,
            num_kv_heads=num_heads,
            head_dim=head_dim,
            causal=False,
            layout="sections",
            rotary=rotary(hf, head_dim),
        ),
        feedforward=FeedForward(
            intermediate_size=hf.integer("intermediate_size", "n_inner"),
            activation=activation,
            gated=True,
            layout="separate",
        ),
        norm=norm,
        norm_placement="after_residual",
    )
    return encoder(
        hf,
        header,
        (layer,) * hf.layers("num_hidden_layers", "n_layer"),
        classes=classification(hf),
        masked=MaskedLanguageHead(
            activation=activation, norm=norm, tied=hf.flag("tie_word_embeddings", default=True)
        ),
        hidden_size=hidden_size,
        max_position_embeddings=hf.integer("max_position_embeddings", "n_positions", default=2048),
        type_vocab_size=hf.integer("type_vocab_size", default=2),
    )


def activated(hf: Configuration) -> str:
    """The activation of the gate."""
    named = hf.values.get("activation_function")
    if named is None:
        return hf.activation("hidden_act", default="silu")
    if not isinstance(named, str) or named not in GATED:
        raise ConfigurationInvalid(f"has activation_function {named!r}; expected one of {', '.join(GATED)}")
    return GATED[named]


def rotary(hf: Configuration, head_dim: int) -> Rotary:
    """The positions; the original code spells a growing base as `rotary_scaling_factor`."""
    made = hf.rotary(head_dim, theta=1000.0, old=("rotary_emb_base", "rotary_emb_fraction"))
    if "rotary_scaling_factor" not in hf:
        return made
    grown = RotaryScaling(
        kind="dynamic",
        factor=hf.positive("rotary_scaling_factor"),
        original_max_position_embeddings=hf.integer("max_trained_positions", default=2048),
    )
    if made.dim <= 2:
        raise ConfigurationInvalid(f"grows the base of {made.dim} rotated elements; expected more than 2")
    return replace(made, scaling=grown)


def layer(block: Block) -> RulesLike:
    assert isinstance(block.feedforward, FeedForward)
    return {
        **within("attention", qkv_sections(block.attention, "attn.Wqkv.*")),
        "attention.out.*": "attn.out_proj.*",
        "attention_norm.*": "norm1.*",
        **within("feedforward", gate_up_separate(block.feedforward, "mlp.fc12.*", "mlp.fc11.*")),
        "feedforward.down.*": "mlp.fc2.*",
        "feedforward_norm.*": "norm2.*",
    }


def huggingface(c: Encoder) -> WeightMap:
    transform = "cls.predictions.transform"
    heads: RulesLike = {
        "head.dense.*": f"{transform}.dense.*",
        "head.norm.weight": src(f"{transform}.layer_norm.weight", f"{transform}.LayerNorm.weight"),
        "head.norm.bias": src(f"{transform}.layer_norm.bias", f"{transform}.LayerNorm.bias"),
        "head.decoder.*": "cls.predictions.decoder.*",
        "head.bias": "cls.predictions.bias",
        **classes(c.head),
    }
    more: RulesLike = {
        "embedding_norm.weight": "nomic_bert.emb_ln.weight",
        "embedding_norm.bias": "nomic_bert.emb_ln.bias",
    }
    return encoder_map(
        c,
        "nomic_bert.",
        heads,
        layer,
        layers="encoder.layers.{i}.",
        copies=BERT_COPIES,
        more=more,
        prefixes=("bert.",),  # as the authors' class for masked tokens calls the model
    )


FAMILY = Family(
    name="nomic_bert",
    model_types=("nomic_bert",),
    classes=class_names("NomicBert", "MaskedLM", "SequenceClassification", "TokenClassification"),
    config=config,
    dialects={"huggingface": huggingface},
    tokenizer="bert",
)
