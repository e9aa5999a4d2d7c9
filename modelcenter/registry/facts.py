"""What is known of a model, from its card, its configuration and its files' headers: one row and its words.

Reads values, not repositories: describing.py brings them. A fact that the files prove comes before one that a
card claims; what neither says stays unknown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import delete
from sqlalchemy.orm import Session

from modelcenter.registry import search
from modelcenter.registry.cards import Card, language_code
from modelcenter.registry.tables import Facet, Model, Repository
from modelcenter.registry.verify import storable
from modelcenter.registry.vocabulary import LANGUAGE_WORDS, LANGUAGES, SYNONYMS, TASKS
from modelcenter.verification import Verdict

MAX_WORD = 200
MAX_INTEGER = 2**31 - 1
MAX_BIG = 2**63 - 1
MAX_TEXT = 20_000  # characters of a card's text that are searched

# What the class in config.json is for, where the card does not say. Source: transformers' auto classes.
_TASK_OF_HEAD = (
    ("ForMaskedLM", "fill-mask"),
    ("ForCausalLM", "text-generation"),
    ("LMHeadModel", "text-generation"),
    ("ForConditionalGeneration", "text2text-generation"),
    ("ForSequenceClassification", "text-classification"),
    ("ForTokenClassification", "token-classification"),
    ("ForQuestionAnswering", "question-answering"),
    ("ForImageClassification", "image-classification"),
)
# The names of files that hold weights in a format. Many a .bin holds none: training_args.bin, vocab.bin.
_FORMATS = (
    ("safetensors", re.compile(r".*\.safetensors")),
    ("pytorch", re.compile(r"(.*/)?((diffusion_)?pytorch_model|adapter_model)[^/]*\.(bin|pt)")),
    ("gguf", re.compile(r".*\.gguf")),
    ("onnx", re.compile(r".*\.onnx")),
)
_CONFIG_KEYS = ("architectures", "model_type", "torch_dtype", "dtype", "quantization_config", "auto_map")


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a revision holds: its card, its configuration, the names and sizes of its files, its verdict."""

    card: Card = field(default_factory=Card)
    config: Mapping[str, Any] = field(default_factory=dict)
    files: Collection[str] = ()
    size_bytes: int | None = None
    commit: str | None = None
    verdict: Verdict | None = None


def describe(repository: Repository, model: Model, found: Evidence, seeded: Card | None = None) -> None:
    """Writes into `model` what `found` says of the repository.

    seeded: the card of the entry that it was before its upload; says what the upload leaves unsaid.
    """
    facts = found.card.facts
    known = seeded or Card()
    shape = found.verdict.facts if found.verdict else None
    config = found.config

    def count(name: str, *proved: Any, limit: int = MAX_INTEGER) -> int | None:
        for value in (*proved, getattr(facts, name), getattr(known.facts, name)):
            if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= limit:
                return value
        return None

    verdict = found.verdict
    architectures = config.get("architectures")
    stated = architectures[0] if isinstance(architectures, list) and architectures else None
    model.commit_oid = found.commit
    model.verdict = verdict.status if verdict else None
    model.architecture = _word(
        verdict.architecture if verdict else None, stated, facts.architecture, known.facts.architecture
    )
    model.model_type = _word(config.get("model_type"), facts.model_type, known.facts.model_type)
    model.family = _word(
        known.facts.family, verdict.family if verdict else None, facts.family, model.model_type
    )
    model.parameters_by_dtype = storable(dict(verdict.parameters_by_dtype)) if verdict else {}
    # A complete checkpoint has its model's parameters; of any other only what it stores is known.
    proved = verdict.facts.parameters if verdict and verdict.is_complete and verdict.facts else None
    stored = verdict.parameters if verdict else None
    model.parameters = count("parameters", proved, stored, limit=MAX_BIG)
    model.size_bytes = found.size_bytes
    model.context_length = count(
        "context_length",
        shape.max_position_embeddings if shape else None,
        *(
            config.get(key)
            for key in ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length")
        ),
        limit=MAX_BIG,
    )
    shapes: dict[str, tuple[str, ...]] = {
        "num_layers": ("num_hidden_layers", "n_layer", "num_layers"),
        "num_heads": ("num_attention_heads", "n_head", "num_heads"),
        "num_kv_heads": ("num_key_value_heads",),
        "head_dim": ("head_dim", "d_kv"),
        "hidden_size": ("hidden_size", "n_embd", "d_model"),
        "vocab_size": ("vocab_size",),
    }
    for name, keys in shapes.items():
        setattr(model, name, count(name, getattr(shape, name, None), *(config.get(key) for key in keys)))
    model.config = {key: config[key] for key in _CONFIG_KEYS if key in config}
    describe_card(repository, model, found, seeded)


def describe_card(repository: Repository, model: Model, found: Evidence, seeded: Card | None = None) -> None:
    """As `describe`, but only what the card says, with the names of the files and the configuration."""
    card, known, config = found.card, seeded or Card(), found.config
    model.license = _word(card.license, known.license)
    model.pipeline_tag = _word(card.pipeline_tag, known.pipeline_tag, _task(model.architecture, found.files))
    model.library = _word(card.library, known.library, _library(found.files, config))
    model.card = _merged(card.metadata, known.metadata)
    titles, descriptions = known.titles | card.titles, known.descriptions | card.descriptions
    model.title_en, model.title_zh = titles.get("en"), titles.get("zh")
    model.description_en, model.description_zh = descriptions.get("en"), descriptions.get("zh")
    model.tags = _tags(repository, model, found, known)


def publish(session: Session, repository: Repository, model: Model, card: Card) -> None:
    """Writes the facets of a described model and its words into the index."""
    session.flush()
    languages = dict.fromkeys(language_code(language) for language in _list(model.card.get("language")))
    facets = {
        "language": list(languages),
        "library": [model.library] if model.library else [],
        "tag": model.tags,
        "base_model": _list(model.card.get("base_model")),
        "dataset": _list(model.card.get("datasets")),
    }
    session.execute(delete(Facet).where(Facet.repository_id == repository.id))
    session.add_all(
        Facet(repository_id=repository.id, facet=facet, value=value)
        for facet, values in facets.items()
        for value in dict.fromkeys(values)
        if 0 < len(value) <= MAX_WORD
    )
    search.index(session, document(repository, model, card, list(languages)))
    session.flush()


def written(card: Card, seeded: Card | None) -> Card:
    """The card whose text is searched: the upload's, else its entry's."""
    return card if card.body.strip() or seeded is None else seeded


def document(repository: Repository, model: Model, card: Card, languages: list[str]) -> search.Document:
    """The words that a model is found by: its names, its properties as people call them, what is written."""
    block = model.card.get("modelcenter")
    facts = block if isinstance(block, dict) else {}
    names = [repository.repo_id, repository.upstream, model.title_en, model.title_zh]
    names += [str(facts[key]) for key in ("organization", "series") if isinstance(facts.get(key), str)]
    names += _list(facts.get("aliases"))
    # What the tag for files of Python says is no property of the model: it does not write code.
    tags: list[str | None] = [tag for tag in model.tags if tag != "custom_code"]
    tags += [model.family, model.model_type, model.architecture, model.library]
    if task := TASKS.get(model.pipeline_tag or ""):
        tags += [task.english, task.chinese, *task.words]
    for language in languages:
        tags += [language, *LANGUAGES.get(language, ()), *LANGUAGE_WORDS.get(language, ())]
    for tag in model.tags:
        tags += SYNONYMS.get(tag.lower(), ())
    text = (*model.tags, model.description_en, model.description_zh, prose(card.body[:MAX_TEXT]))
    return search.Document(repository.id, tuple(names), tuple(tags), text)


def prose(body: str) -> str:
    """What a card's author says of the model: no code, no name of a language over its part, no template."""
    text = _CODE.sub("\n\n", body)
    paragraphs = (part.strip() for part in re.split(r"\n[ \t]*\n", text))
    return "\n\n".join(
        part for part in paragraphs if not _LANGUAGE_HEADING.fullmatch(part) and not _TEMPLATE.match(part)
    )


_CODE = re.compile(r"^(```|~~~).*?(?:^\1|\Z)", re.MULTILINE | re.DOTALL)
_LANGUAGE_HEADING = re.compile(r"#{1,6} *(?:中文|简体中文|English|英文)[ #]*", re.IGNORECASE)
# How the cards of the catalogue speak of every model: its layers, where its weights are, how to load it.
_TEMPLATE = re.compile(
    r"(?:网络)?结构：|It has \d|The network has |权重位于|The weights are at "
    r"|或用 ModelCenter|or with ModelCenter"
)


def read_json(content: bytes) -> dict[str, Any]:
    """A configuration file as a mapping; anything else is an empty one. Never raises."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(value, dict):
        return {}
    return {key: item for key, item in value.items() if key in _READ and _is_storable(item)}


_READ = frozenset(
    {
        *_CONFIG_KEYS,
        *("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length"),
        *("num_hidden_layers", "n_layer", "num_layers", "num_attention_heads", "n_head", "num_heads"),
        *("num_key_value_heads", "head_dim", "d_kv", "hidden_size", "n_embd", "d_model", "vocab_size"),
    }
)


def _is_storable(value: Any) -> bool:
    """Whether `value` is JSON that both databases take, and small."""
    try:
        text = json.dumps(value, allow_nan=False)
        text.encode()
    except (ValueError, RecursionError):
        return False
    return len(text) <= 10_000 and "\\u0000" not in text and not re.search(r"\\ud[89a-f]", text)


def _word(*candidates: Any) -> str | None:
    """The first candidate that is a text worth keeping."""
    for value in candidates:
        if isinstance(value, str) and (text := " ".join(value.replace("\0", "").split())):
            return text[:100].encode("utf-8", "replace").decode()
    return None


def _list(value: Any) -> list[str]:
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, str) and item]


def _merged(card: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """The upload's card over its entry's: key by key, and inside our own block."""
    merged = {**known, **card}
    blocks = [part["modelcenter"] for part in (known, card) if isinstance(part.get("modelcenter"), dict)]
    if blocks:
        merged["modelcenter"] = {key: value for block in blocks for key, value in block.items()}
    return merged


def _task(architecture: str | None, files: Collection[str]) -> str | None:
    if "modules.json" in files and "config_sentence_transformers.json" in files:
        return "sentence-similarity"
    ending = next((task for end, task in _TASK_OF_HEAD if architecture and architecture.endswith(end)), None)
    return ending or ("feature-extraction" if architecture and architecture.endswith("Model") else None)


def _library(files: Collection[str], config: Mapping[str, Any]) -> str | None:
    if "modules.json" in files:
        return "sentence-transformers"
    if "adapter_config.json" in files:
        return "peft"
    if "model_index.json" in files:
        return "diffusers"
    return "transformers" if config.get("model_type") else None


def _tags(repository: Repository, model: Model, found: Evidence, known: Card) -> list[str]:
    """All tags of the index as shown: library, formats, type, task, the card's, then those with a prefix."""
    formats = [name for name, pattern in _FORMATS if any(pattern.fullmatch(file) for file in found.files)]
    # The parts that an index names may be called as they like.
    if found.verdict and found.verdict.format == "pickle" and "pytorch" not in formats:
        formats.append("pytorch")
    tags = [model.library, *formats, model.model_type, model.pipeline_tag]
    tags += found.card.tags or known.tags
    tags += _list(model.card.get("language"))
    tags += [f"base_model:{name}" for name in _list(model.card.get("base_model"))]
    tags += [f"dataset:{name}" for name in _list(model.card.get("datasets"))]
    tags += [f"license:{name}" for name in _list(model.card.get("license"))]
    tags += ["co2_eq_emissions"] if model.card.get("co2_eq_emissions") else []
    tags += ["linked"] if repository.is_linked else []
    return [tag for tag in dict.fromkeys(tags) if tag and len(tag) <= MAX_WORD]
