"""What the small JSON files beside a vocabulary say: special and added tokens, limits, flags.

Source: transformers tokenization_utils_base.py `_from_pretrained`, whose order of precedence this follows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from modelcenter.errors import TokenizerDamaged

Kind = Literal["bert", "gpt2", "roberta", "t5", "llama", "other"]

NAMED_TOKENS = (
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
)  # fmt: skip

DEFAULT_TOKENS: Mapping[Kind, Mapping[str, str]] = {
    "bert": {
        "unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]",
        "mask_token": "[MASK]",
    },
    "gpt2": {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"},
    "roberta": {
        "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "sep_token": "</s>",
        "pad_token": "<pad>", "cls_token": "<s>", "mask_token": "<mask>",
    },
    "t5": {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"},
    "llama": {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
    "other": {},
}  # fmt: skip
"""What a family's tokeniser calls its special tokens where no file says otherwise."""

KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(("bert", "distilbert", "electra", "mobilebert", "ernie", "megatron-bert"), "bert"),
    **dict.fromkeys(("gpt2", "gptj", "gpt_neo", "opt", "codegen"), "gpt2"),
    **dict.fromkeys(("roberta", "longformer", "bart", "led", "xlm-roberta-xl"), "roberta"),
    **dict.fromkeys(("t5", "mt5", "umt5", "longt5", "switch_transformers"), "t5"),
    **dict.fromkeys(("llama", "mistral", "mixtral", "code_llama", "internlm", "baichuan"), "llama"),
}  # fmt: skip
"""model_type, or the class's name without `Tokenizer`, to the kind of tokeniser."""

CLASS_KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(("Bert", "DistilBert", "Electra", "MobileBert", "Ernie", "RetriBert"), "bert"),
    **dict.fromkeys(("GPT2", "CodeGen"), "gpt2"),
    **dict.fromkeys(("Roberta", "Longformer", "Bart", "LED"), "roberta"),
    **dict.fromkeys(("T5", "MT5"), "t5"),
    **dict.fromkeys(("Llama", "LLaMA", "CodeLlama", "Baichuan", "InternLM"), "llama"),
}  # fmt: skip
GENERIC_CLASSES = (
    "PreTrained",
    "TokenizersBackend",
    "",
)  # PreTrainedTokenizerFast and what has no class say nothing


@dataclass(frozen=True)
class Added:
    """A token that is matched in texts before anything else; flags as the `tokenizers` library has them."""

    content: str
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False
    normalized: bool | None = None  # None: not where special
    special: bool = True


@dataclass(frozen=True)
class TokenizerSettings:
    """The files' content, settled.

    kind: which family's rules apply where the vocabulary's file does not carry its own.
    is_stated: whether a file names the tokeniser's class, rather than config.json its model's type.
    tokens: special tokens by name (`bos_token`, …); added: further tokens by id; extra: without one.
    """

    kind: Kind
    is_stated: bool
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
    def uses_token_types(self) -> bool:
        """Whether the model takes token_type_ids: as stated, else as many types as its config has."""
        if "model_input_names" in self.config:
            return "token_type_ids" in self.config["model_input_names"]
        if self.model_config:
            return int(self.model_config.get("type_vocab_size") or 0) > 1
        return self.kind == "bert"


def read_settings(folder: Path) -> TokenizerSettings:
    """What the folder's files say. Raises TokenizerDamaged for one that is not a JSON object."""
    config = read_json(folder / "tokenizer_config.json")
    model_config = read_json(folder / "config.json")
    kind, is_stated = _kind(config, model_config)
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
    for name, token in {**DEFAULT_TOKENS[kind], **named}.items():
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
        is_stated=is_stated,
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


def _kind(config: Mapping[str, Any], model_config: Mapping[str, Any]) -> tuple[Kind, bool]:
    stated = config.get("tokenizer_class") or model_config.get("tokenizer_class") or ""
    name = str(stated).removesuffix("Fast").removesuffix("Tokenizer")
    if name not in GENERIC_CLASSES:
        return CLASS_KINDS.get(name, "other"), True
    return KINDS.get(str(model_config.get("model_type", "")), "other"), False


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
