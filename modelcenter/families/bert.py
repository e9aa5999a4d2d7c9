"""BERT. Source: arXiv:1810.04805; transformers modeling_bert.py."""

from __future__ import annotations

from modelcenter.families.configuration import Configuration
from modelcenter.families.family import Family, Header, carries
from modelcenter.models.config import (
    Attention,
    Block,
    Encoder,
    FeedForward,
    Learned,
    MaskedLanguageHead,
    NextSentenceHead,
    Norm,
    Pooler,
)
from modelcenter.weights.rules import RulesLike, WeightMap, each, qkv_separate, src, within


def config(hf: Configuration, header: Header) -> Encoder:
    hf.refuse(position_embedding_type=("absolute",), is_decoder=(False,), add_cross_attention=(False,))
    hidden_size, num_heads = hf.integer("hidden_size"), hf.integer("num_attention_heads")
    activation = hf.activation("hidden_act", default="gelu")
    norm = Norm(kind="layer", eps=hf.number("layer_norm_eps", default=1e-12), bias=True)
    block = Block(
        attention=Attention(
            num_heads=num_heads,
            num_kv_heads=num_heads,
            head_dim=hf.head_dim(hidden_size, num_heads),
            causal=False,
            layout="separate",
            bias="all",
        ),
        feedforward=FeedForward(
            intermediate_size=hf.integer("intermediate_size"), activation=activation, gated=False, bias=True
        ),
        norm=norm,
        norm_placement="after_residual",
    )
    # The class says what must be there, the header what is: released files carry more heads than they name.
    masked = hf.architecture in ("BertForMaskedLM", "BertForPreTraining") or carries(
        header, "cls.predictions."
    )
    next_sentence = hf.architecture == "BertForPreTraining" or carries(header, "cls.seq_relationship.")
    return Encoder(
        vocab_size=hf.integer("vocab_size"),
        hidden_size=hidden_size,
        max_position_embeddings=hf.integer("max_position_embeddings"),
        blocks=(block,) * hf.layers("num_hidden_layers"),
        pad_token_id=hf.pad_token_id,
        embedding_norm=norm,
        positions=Learned(num_positions=hf.integer("max_position_embeddings")),
        type_vocab_size=hf.integer("type_vocab_size", default=2),
        pooler=Pooler() if next_sentence or carries(header, "pooler.dense.") else None,
        head=MaskedLanguageHead(
            activation=activation, norm=norm, tied=hf.flag("tie_word_embeddings", default=True)
        )
        if masked
        else None,
        next_sentence=NextSentenceHead() if next_sentence else None,
    )


def norm(ours: str, theirs: str) -> RulesLike:
    """A norm's rules; files from TensorFlow's days say gamma and beta."""
    return {
        f"{ours}.weight": src(f"{theirs}.weight", f"{theirs}.gamma"),
        f"{ours}.bias": src(f"{theirs}.bias", f"{theirs}.beta"),
    }


def huggingface(c: Encoder) -> WeightMap:
    block = c.blocks[0]
    rules: RulesLike = {
        "embedding.weight": "bert.embeddings.word_embeddings.weight",
        "position_embedding.weight": "bert.embeddings.position_embeddings.weight",
        "type_embedding.weight": "bert.embeddings.token_type_embeddings.weight",
        **norm("embedding_norm", "bert.embeddings.LayerNorm"),
        **each(
            c.num_layers,
            "blocks.{i}.",
            "bert.encoder.layer.{i}.",
            {
                **within(
                    "attention",
                    qkv_separate(
                        block.attention,
                        "attention.self.query.*",
                        "attention.self.key.*",
                        "attention.self.value.*",
                    ),
                ),
                "attention.out.*": "attention.output.dense.*",
                **norm("attention_norm", "attention.output.LayerNorm"),
                "feedforward.up.*": "intermediate.dense.*",
                "feedforward.down.*": "output.dense.*",
                **norm("feedforward_norm", "output.LayerNorm"),
            },
        ),
        "pooler.*": "bert.pooler.dense.*",
        "head.dense.*": "cls.predictions.transform.dense.*",
        **norm("head.norm", "cls.predictions.transform.LayerNorm"),
        "head.decoder.*": "cls.predictions.decoder.*",
        "head.bias": "cls.predictions.bias",
        "next_sentence.*": "cls.seq_relationship.*",
    }
    return WeightMap.of(
        c.parameters(),
        rules,
        copies={
            "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
            "cls.predictions.decoder.bias": "cls.predictions.bias",
        },
        derived=("bert.embeddings.position_ids",),
        optional_prefix="bert.",
    )


FAMILY = Family(
    name="bert",
    model_types=("bert",),
    classes=("BertModel", "BertForMaskedLM", "BertForPreTraining"),
    config=config,
    dialects={"huggingface": huggingface},
)
