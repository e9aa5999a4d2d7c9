"""ELECTRA, generator and discriminator. Source: arXiv:2003.10555; transformers modeling_electra.py."""

from __future__ import annotations

from modelcenter.families.configuration import Configuration
from modelcenter.families.encoders import (
    CLASSIFYING,
    attention,
    block,
    class_names,
    classes,
    classification,
    encoder,
    encoder_map,
    narrower,
    norm,
    only_encoder,
    summary,
    task,
)
from modelcenter.families.family import Family, Header, carries
from modelcenter.models.config import ClassificationHead, Encoder, Learned, MaskedLanguageHead, Transform
from modelcenter.weights.rules import RulesLike, WeightMap


def config(hf: Configuration, header: Header) -> Encoder:
    only_encoder(hf)
    layer = block(hf, attention=attention(hf))
    of, through = "first", None
    if task(hf) == "MultipleChoice":  # the only one that reads the summary's settings
        of, through = summary(hf, kind="first", activation="gelu")
    classes = classification(
        hf, of="first", transform=Transform(activation="gelu"), choice=of, choice_transform=through
    )
    if task(hf) == "PreTraining" or (not classes and carries(header, "discriminator_predictions.")):
        classes = ClassificationHead(
            name="replaced-token",
            num_labels=1,
            of="tokens",
            transform=Transform(activation=hf.activation("hidden_act", default="gelu")),
            answer="logit",
        )
    embedding_size = narrower(hf)
    return encoder(
        hf,
        header,
        (layer,) * hf.layers("num_hidden_layers"),
        classes=classes,
        masked=MaskedLanguageHead(
            activation="gelu",
            norm=layer.norm,
            tied=hf.flag("tie_word_embeddings", default=True),
            size=embedding_size,
            own_bias=False,
        ),
        predictions=("generator_predictions.",),
        positions=Learned(num_positions=hf.integer("max_position_embeddings", default=512)),
        type_vocab_size=hf.integer("type_vocab_size", default=2),
        embedding_size=embedding_size,
    )


def huggingface(c: Encoder) -> WeightMap:
    generator: RulesLike = {
        "head.dense.*": "generator_predictions.dense.*",
        **norm("head.norm", "generator_predictions.LayerNorm"),
        "head.decoder.weight": "generator_lm_head.weight",
        "head.bias": "generator_lm_head.bias",
    }
    discriminator = ("discriminator_predictions.dense", "discriminator_predictions.dense_prediction")
    replaced = isinstance(c.head, ClassificationHead) and c.head.name == "replaced-token"
    heads = {**generator, **(classes(c.head, *discriminator) if replaced else classes(c.head))}
    return encoder_map(c, "electra.", heads, copies={"generator_lm_head.weight": ""})


FAMILY = Family(
    name="electra",
    model_types=("electra",),
    classes=class_names("Electra", "MaskedLM", "PreTraining", *CLASSIFYING),
    config=config,
    dialects={"huggingface": huggingface},
    tokenizer="bert",
)
