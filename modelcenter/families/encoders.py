"""What encoder families share: BERT's facts in config.json, its layer, its heads and its files' names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from modelcenter.errors import ConfigurationInvalid
from modelcenter.families.configuration import Configuration
from modelcenter.families.family import Header, carries
from modelcenter.models.config import (
    Attention,
    Block,
    ClassificationHead,
    Encoder,
    FeedForward,
    Learned,
    MaskedLanguageHead,
    NextSentenceHead,
    Norm,
    Pooler,
    Transform,
)
from modelcenter.weights.rules import RulesLike, WeightMap, each_block, qkv_separate, src, within


def layer_norm(hf: Configuration, eps: float = 1e-12) -> Norm:
    """The layer norm of `layer_norm_eps`."""
    return Norm(kind="layer", eps=hf.number("layer_norm_eps", default=eps), bias=True)


def attention(hf: Configuration, **options: Any) -> Attention:
    """Attention that sees both ways; q, k and v stored apart, each with a bias.

    options: whatever else `Attention` takes.
    """
    hidden_size, num_heads = hf.integer("hidden_size"), hf.integer("num_attention_heads")
    given: dict[str, Any] = {
        "head_dim": hf.head_dim(hidden_size, num_heads),
        "layout": "separate",
        "bias": "all",
        **options,
    }
    return Attention(num_heads=num_heads, num_kv_heads=num_heads, causal=False, **given)


def block(hf: Configuration, *, eps: float = 1e-12, attention: Attention, **options: Any) -> Block:
    """BERT's layer: normalised after each sum, not gated. options: whatever else `Block` takes."""
    given: dict[str, Any] = {
        "feedforward": FeedForward(
            intermediate_size=hf.integer("intermediate_size"),
            activation=hf.activation("hidden_act", default="gelu"),
            gated=False,
            bias=True,
        ),
        "norm": layer_norm(hf, eps),
        "norm_placement": "after_residual",
        **options,
    }
    return Block(attention=attention, **given)


def only_encoder(hf: Configuration) -> None:
    """Raise for settings that make a decoder of it, or give it positions that the family does not have."""
    hf.refuse(is_decoder=(False,), add_cross_attention=(False,), position_embedding_type=("absolute",))


def after_padding(hf: Configuration, pad_token_id: int, default: int | None = None) -> Learned:
    """fairseq's positions: they count what is not padding, from the row after that of the padding token."""
    rows, offset = hf.integer("max_position_embeddings", default=default), pad_token_id + 1
    if rows <= offset:
        raise ConfigurationInvalid(
            f"has {rows} max_position_embeddings, {offset} of them for padding; expected more"
        )
    return Learned(num_positions=rows - offset, offset=offset, counts="not_padding")


def narrower(hf: Configuration) -> int | None:
    """`embedding_size`, None where it is the hidden size."""
    hidden_size = hf.integer("hidden_size")
    size = hf.integer("embedding_size", default=hidden_size)
    return None if size == hidden_size else size


# --- heads


def task(hf: Configuration) -> str:
    """What the class it was saved from is for: `MaskedLM`, `SequenceClassification`; empty: not said."""
    name = hf.architecture
    return "MaskedLM" if name.endswith("LMHeadModel") else name.rpartition("For")[2] if "For" in name else ""


def classification(
    hf: Configuration,
    *,
    of: str = "pooled",
    transform: Transform | None = None,
    tokens: Transform | None = None,
    choice: str = "pooled",
    choice_transform: Transform | None = None,
) -> ClassificationHead | None:
    """The head of the class it was saved from, where that tells classes apart.

    of, transform: from what a text's class is told, and through what; choice, choice_transform: the same of
    one of several choices, a text each. tokens: through what those of tokens and of answers are told.
    """
    kind = task(hf)
    given: dict[str, Any]
    if kind == "SequenceClassification":
        given = {"name": "sequence-classification", "num_labels": hf.num_labels, "of": of}
        return ClassificationHead(**given, transform=transform)
    if kind == "MultipleChoice":
        given = {"name": "multiple-choice", "num_labels": 1, "of": choice}
        return ClassificationHead(**given, transform=choice_transform)
    if kind == "TokenClassification":
        return ClassificationHead(
            name="token-classification", num_labels=hf.num_labels, of="tokens", transform=tokens
        )
    if kind == "QuestionAnswering":
        if hf.num_labels != 2:
            raise ConfigurationInvalid(
                f"has {hf.num_labels} labels for an answer's place; expected 2, its start and its end"
            )
        return ClassificationHead(
            name="question-answering", num_labels=2, of="tokens", transform=tokens, answer="span"
        )
    return None


def summary(hf: Configuration, *, kind: str, activation: str | None) -> tuple[str, Transform | None]:
    """Which token's vector stands for the text, and through what it goes: transformers' SequenceSummary.

    kind, activation: the family's defaults of `summary_type` and of `summary_activation`; None: the vector is
    taken as it is.
    """
    # Nothing tells transformers' classes a cls_index, and then the last token counts.
    hf.refuse(
        summary_type=("last", "first", "cls_index"),
        summary_use_proj=(activation is not None,),
        summary_proj_to_labels=(False,),
    )
    of = "first" if hf.values.get("summary_type", kind) == "first" else "end"
    if activation is None:
        hf.refuse(summary_activation=())
        return of, None
    is_null = "summary_activation" in hf.values and hf.values["summary_activation"] is None
    named = "linear" if is_null else hf.activation("summary_activation", default=activation)
    return of, Transform(activation=named)


def encoder(
    hf: Configuration,
    header: Header,
    blocks: Sequence[Block],
    *,
    classes: ClassificationHead | None,
    masked: MaskedLanguageHead | None,
    predictions: tuple[str, ...] = ("cls.predictions.",),
    pair: NextSentenceHead | None = None,
    pair_names: tuple[str, ...] = ("cls.seq_relationship.",),
    pooler: str = "pooler.dense.",
    pad_token_id: int | None = None,
    **options: Any,
) -> Encoder:
    """The encoder of `blocks`, with the heads that its class and its tensors tell of.

    masked, pair: what it has where the checkpoint carries a head for masked tokens, or for pairs of
    sentences, whose tensors begin with one of `predictions`, or of `pair_names`. pooler: how its begin.
    pad_token_id: where the family has a default. options: whatever else `Encoder` takes.
    """
    # The class says what must be there, the header what is: released files carry more heads than they name.
    kind = task(hf)
    has_pair = kind in ("PreTraining", "NextSentencePrediction") or carries(header, *pair_names)
    has_masked = kind in ("MaskedLM", "PreTraining") or carries(header, *predictions)
    pools = (pair is not None and has_pair) or (classes is not None and classes.of == "pooled")
    given: dict[str, Any] = {
        "hidden_size": hf.integer("hidden_size", "dim", "n_embd"),
        "max_position_embeddings": hf.integer("max_position_embeddings", default=512),
        "embedding_norm": blocks[0].norm,
        **options,
    }
    return Encoder(
        vocab_size=hf.integer("vocab_size"),
        blocks=tuple(blocks),
        pad_token_id=hf.pad_token_id if pad_token_id is None else pad_token_id,
        pooler=Pooler() if pools or carries(header, pooler) else None,
        head=classes or (masked if has_masked else None),
        next_sentence=pair if has_pair else None,
        **given,
    )


def roberta_encoder(
    hf: Configuration, header: Header, blocks: Sequence[Block], pad_token_id: int, **options: Any
) -> Encoder:
    """RoBERTa of `blocks`, and those after it: fairseq's positions, classes told from the first token.

    options: whatever else `encoder` takes.
    """
    positions = after_padding(hf, pad_token_id, 512)
    return encoder(
        hf,
        header,
        blocks,
        classes=classification(hf, of="first", transform=Transform(activation="tanh")),
        masked=MaskedLanguageHead(
            activation="gelu", norm=blocks[0].norm, tied=hf.flag("tie_word_embeddings", default=True)
        ),
        predictions=("lm_head.",),
        pad_token_id=pad_token_id,
        max_position_embeddings=positions.num_positions,
        positions=positions,
        **options,
    )


# --- names


def norm(ours: str, theirs: str) -> RulesLike:
    """A norm's rules; files from TensorFlow's days say gamma and beta."""
    return {
        f"{ours}.weight": src(f"{theirs}.weight", f"{theirs}.gamma"),
        f"{ours}.bias": src(f"{theirs}.bias", f"{theirs}.beta"),
    }


def bert_layer(block: Block) -> RulesLike:
    """The names that BERT's files use in a layer, and most after it."""
    return {
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
    }


def bert_predictions(name: str = "cls.predictions") -> RulesLike:
    """The names of BERT's head for masked tokens."""
    return {
        "head.dense.*": f"{name}.transform.dense.*",
        **norm("head.norm", f"{name}.transform.LayerNorm"),
        "head.decoder.*": f"{name}.decoder.*",
        "head.bias": f"{name}.bias",
    }


def roberta_predictions() -> RulesLike:
    """The names of RoBERTa's head for masked tokens."""
    return {
        "head.dense.*": "lm_head.dense.*",
        **norm("head.norm", "lm_head.layer_norm"),
        "head.decoder.*": "lm_head.decoder.*",
        "head.bias": "lm_head.bias",
    }


def classes(head: object, dense: str = "classifier.dense", out: str = "classifier.out_proj") -> RulesLike:
    """The names of a head of classes; dense, out: of one that transforms, RoBERTa's by default."""
    if not isinstance(head, ClassificationHead):
        return {}
    if head.name == "multiple-choice" and head.of != "pooled" and dense == "classifier.dense":
        return {"head.dense.*": "sequence_summary.summary.*", "head.out.*": "classifier.*"}
    if head.transform is not None:
        return {"head.dense.*": f"{dense}.*", "head.out.*": f"{out}.*"}
    return {"head.out.*": "qa_outputs.*" if head.name == "question-answering" else "classifier.*"}


def encoder_map(
    c: Encoder,
    prefix: str,
    head: RulesLike,
    layer: Callable[[Block], RulesLike] = bert_layer,
    *,
    layers: str = "encoder.layer.{i}.",
    pooler: str = "pooler.dense",
    copies: Mapping[str, str] | None = None,
    derived: tuple[str, ...] = (),
    more: RulesLike | None = None,
    shared: tuple[str, ...] = (),
    unused: tuple[str, ...] = (),
    prefixes: tuple[str, ...] = (),
) -> WeightMap:
    """The map of an encoder onto files that name their parts as BERT's do.

    prefix: of the model's own tensors in a file with a head; base models' lack it. head: the rules of the
    heads. layers: of a layer, after the prefix; layer: the rules within. copies: redundant tensors of heads
    -> the tensors they repeat, empty for the embedding. more: further rules of the model's own parts.
    shared, unused, prefixes: see WeightMap.
    """
    embeddings = f"{prefix}embeddings."
    rules: RulesLike = {
        "embedding.weight": f"{embeddings}word_embeddings.weight",
        "position_embedding.weight": f"{embeddings}position_embeddings.weight",
        "type_embedding.weight": f"{embeddings}token_type_embeddings.weight",
        "task_embedding.weight": f"{embeddings}task_type_embeddings.weight",
        **norm("embedding_norm", f"{embeddings}LayerNorm"),
        "project_in.*": f"{prefix}embeddings_project.*",
        **each_block(c.blocks, "blocks.{i}.", f"{prefix}{layers}", layer),
        "pooler.*": f"{prefix}{pooler}.*",
        **head,
        **(more or {}),
    }
    return WeightMap.of(
        c.parameters(),
        rules,
        copies={name: of or f"{embeddings}word_embeddings.weight" for name, of in (copies or {}).items()},
        derived=(f"{embeddings}position_ids", *derived),
        optional_prefix=prefix,
        shared=shared,
        unused=unused,
        prefixes=prefixes,
    )


BERT_COPIES = {"cls.predictions.decoder.weight": "", "cls.predictions.decoder.bias": "cls.predictions.bias"}
ROBERTA_COPIES = {"lm_head.decoder.weight": "", "lm_head.decoder.bias": "lm_head.bias"}


def class_names(name: str, *tasks: str) -> tuple[str, ...]:
    """The classes of transformers: the model, and one for each of `tasks`."""
    return (f"{name}Model", *(f"{name}For{task}" for task in tasks))


CLASSIFYING = ("SequenceClassification", "TokenClassification", "QuestionAnswering", "MultipleChoice")
