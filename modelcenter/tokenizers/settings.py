"""What the small JSON files beside a vocabulary say: special and added tokens, limits, flags.

Source: transformers tokenization_utils_base.py `_from_pretrained`, whose order of precedence this follows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelcenter.errors import TokenizerDamaged
from modelcenter.families.match import tokenizer_kind
from modelcenter.tokenizers.rules import (
    CLASS_KINDS,
    GENERIC_CLASSES,
    OTHER_MODELS,
    RULES,
    Added,
    Rules,
)  # fmt: skip

NAMED_TOKENS = (
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
)  # fmt: skip


@dataclass(frozen=True)
class TokenizerSettings:
    """The files' content, settled.

    kind: which family's rules apply where the vocabulary's file does not carry its own: a key of RULES.
    class_name: the tokeniser's class that a file names, without `Tokenizer`; "" where it is the model's type.
    tokens: special tokens by name (`bos_token`, …); added: further tokens by id; extra: without one.
    """

    kind: str
    class_name: str
    tokens: Mapping[str, Added]
    added: Mapping[int, Added] = field(default_factory=dict)
    extra: tuple[Added, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    model_config: Mapping[str, Any] = field(default_factory=dict)
    model_max_length: int | None = None

    def flag(self, name: str, default: bool) -> bool:
        """A flag of tokenizer_config.json; null counts as absent."""
        value = self.config.get(name)
        return default if value is None else bool(value)

    @property
    def is_stated(self) -> bool:
        """Whether a file names the tokeniser's class."""
        return bool(self.class_name)

    @property
    def called(self) -> str:
        """Whose tokeniser it is, for a sentence."""
        stated = f"{self.class_name}Tokenizer" if self.class_name else self.model_config.get("model_type")
        return str(stated or "no known family")

    @property
    def rules(self) -> Rules:
        """The family's rules."""
        return RULES[self.kind]

    @property
    def begins(self) -> bool:
        """Whether texts begin with `<s>` where no file says so.

        A class that is stated says so itself; a model alone is Llama's, which does.
        """
        return self.rules.begins or (self.kind == "llama" and not self.is_stated)

    @property
    def uses_token_types(self) -> bool:
        """Whether the model takes token_type_ids: as stated, else as many types as its config has."""
        if "model_input_names" in self.config:
            return "token_type_ids" in self.config["model_input_names"]
        if self.model_config and not self.rules.always_typed:
            return int(self.model_config.get("type_vocab_size") or 0) > 1
        return self.rules.has_types or self.rules.always_typed


def read_settings(folder: Path, family: str = "", num_types: int = 0) -> TokenizerSettings:
    """What the folder's files say; family, num_types: see `load_tokenizer`.

    Raises TokenizerDamaged for a file that is not a JSON object.
    """
    config = read_json(folder / "tokenizer_config.json")
    model_config = _model_config(folder, family, num_types)
    class_name = _class_name(config, model_config)
    model_type = str(model_config.get("model_type", ""))
    model_kind = tokenizer_kind(model_type) or OTHER_MODELS.get(model_type, "other")
    kind = CLASS_KINDS.get(class_name, "other") if class_name else model_kind
    kind = _refined(folder, kind, bool(class_name))
    named: dict[str, Any] = {name: config[name] for name in NAMED_TOKENS if name in config}
    extra = config.get("extra_special_tokens") or config.get("additional_special_tokens") or []
    added: dict[int, Added] = {}
    if "added_tokens_decoder" in config:
        for index, token in _table(folder, config["added_tokens_decoder"]).items():
            added[int(index)] = _added(folder, token)
    else:
        special = read_json(folder / "special_tokens_map.json")
        named |= {name: special[name] for name in NAMED_TOKENS if name in special}
        extra = special.get("extra_special_tokens") or special.get("additional_special_tokens") or extra
        specials = {_added(folder, token).content for token in (*named.values(), *_listed(extra)) if token}
        for content, index in read_json(folder / "added_tokens.json").items():
            is_special = content in specials
            added[int(index)] = Added(content, normalized=not is_special, special=is_special)
    by_content = {token.content: token for token in added.values()}
    tokens: dict[str, Added] = {}
    for name, token in {**RULES[kind].tokens, **named}.items():
        if token:  # null and "" mean that there is none
            found = _added(folder, token)
            tokens[name] = by_content.get(found.content, found)
    limits = (
        config.get("model_max_length"),
        read_json(folder / "sentence_bert_config.json").get("max_seq_length"),
    )
    # transformers writes 1e30 for "no limit".
    limit = next((int(length) for length in limits if length and length < 1 << 40), None)
    return TokenizerSettings(
        kind=kind,
        class_name=class_name,
        tokens=tokens,
        added=dict(sorted(added.items())),
        extra=tuple(_added(folder, token) for token in _listed(extra)),
        config=config,
        model_config=model_config,
        model_max_length=limit,
    )


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`, empty where there is no such file. Raises TokenizerDamaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:
        raise TokenizerDamaged(path.name, f"it is not JSON ({error})") from error
    if not isinstance(content, dict):
        raise TokenizerDamaged(path.name, "it is not a JSON object")
    return content


def _model_config(folder: Path, family: str, num_types: int) -> dict[str, Any]:
    """config.json; in forms other than transformers', the one kept of that form, or what the model tells.

    The kept one says more than the family, of which XLM-RoBERTa and RoBERTa are one.
    """
    config = read_json(folder / "config.json")
    if config.get("model_type") not in (None, OWN_FORM):
        return config
    kept = read_json(folder / KEPT_CONFIG)
    if kept.get("model_type"):
        return kept
    family = family or str(config.get("family") or "")
    return {"type_vocab_size": num_types, **config, "model_type": family} if family else config


OWN_FORM = "modelcenter"  # as families/native.py writes it
KEPT_CONFIG = "huggingface_config.json"  # as exporting.py writes it


def _class_name(config: Mapping[str, Any], model_config: Mapping[str, Any]) -> str:
    """The stated class without `Tokenizer` and `Fast`, "" where there is none, or one that says nothing."""
    stated = config.get("tokenizer_class") or model_config.get("tokenizer_class")
    if not stated:  # a class of the repository's own is named, not run: ["file--file.Name", None]
        classes = config.get("auto_map")
        remote = classes.get("AutoTokenizer") if isinstance(classes, dict) else None
        stated = next((name for name in _listed(remote) if name), remote if isinstance(remote, str) else "")
    name = str(stated).rpartition(".")[2].removesuffix("Fast").removesuffix("Tokenizer")
    return "" if name in GENERIC_CLASSES else name


def _refined(folder: Path, kind: str, is_stated: bool) -> str:
    """The kind, where one name stands for several that their files tell apart."""
    if kind in ("other", "chatglm") and (folder / "ice_text.model").is_file():
        return "chatglm1"
    if kind == "other" and any((folder / name).is_file() for name in ("vocab.model", "cog-pretrain.model")):
        return "glm"
    if kind == "other" and (folder / "qwen.tiktoken").is_file():
        return "qwen"
    is_named = kind != "other" and (kind in WORDPIECE or RULES[kind].words is not None)
    if not is_stated and not is_named and (folder / "vocab.txt").is_file():
        return _sniffed(folder / "vocab.txt")
    if kind in RANKED and is_ranks(folder / "tokenizer.model"):
        return RANKED[kind]
    return kind


def _sniffed(path: Path) -> str:
    """Whose a vocab.txt is by the words in it: Chinese GPTs have BERT's, the CPMs' have words for blanks."""
    words = set(path.read_bytes().split(b"\n"))
    if b"[UNK]" in words or b"<unk>" not in words:
        return "bert"
    signs = (b"<ans>", "cpmbee"), (b"</d>", "cpmant"), (b"</_>", "cpm1"), ("▂".encode(), "cpm2")
    return next((kind for word, kind in signs if word in words), "bert")


WORDPIECE = ("bert", "mpnet", "roformer")
RANKED = {"chatglm": "glm4", "llama": "llama3", "glm": "glm4"}


def is_ranks(path: Path) -> bool:
    """Whether the file is tiktoken's: a token in base64 and its rank in each line."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return re.match(rb"[A-Za-z0-9+/]+={0,2} \d+\r?\n", file.read(1024)) is not None


def _listed(tokens: object) -> list[Any]:
    if isinstance(tokens, dict):
        return list(tokens.values())
    return list(tokens) if isinstance(tokens, (list, tuple)) else []


def _table(folder: Path, value: object) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(str(index).isdecimal() for index in value):
        raise TokenizerDamaged("tokenizer_config.json", "its added_tokens_decoder is not a table of ids")
    return value


def _added(folder: Path, token: object) -> Added:
    """A token as files spell it: a text, or a table with its flags."""
    if isinstance(token, Added):
        return token
    if isinstance(token, str):
        return Added(token)
    if isinstance(token, dict) and isinstance(token.get("content"), str):
        flags = {
            name: bool(token[name])
            for name in ("lstrip", "rstrip", "single_word", "special")
            if name in token
        }
        return Added(token["content"], normalized=token.get("normalized"), **flags)
    raise TokenizerDamaged(
        "tokenizer_config.json", f"a token is {str(token)[:60]!r}, expected a text or a table"
    )
