"""The tokeniser of a checkpoint's folder: texts to ids, padded and cut as asked, and back."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from modelcenter.errors import Invalid
from modelcenter.tokenizers.backends import build, is_byte_pairs, vocabulary
from modelcenter.tokenizers.chat import Message, read_templates, render
from modelcenter.tokenizers.settings import NAMED_TOKENS, TokenizerSettings, read_settings
from modelcenter.tokenizers.words import check_bee

if TYPE_CHECKING:
    from tokenizers import Encoding
    from tokenizers import Tokenizer as Backend

Padding = bool | Literal["longest", "max_length", "do_not_pad"]
Tensors = Literal["pt", "np"]


def load_tokenizer(folder: Path, family: str = "", num_types: int = 0) -> Tokenizer | None:
    """The tokeniser of the folder, None where it has no vocabulary.

    family, num_types: the model's, and its number of token types, where config.json is in a form that does
    not say them as transformers' does. `Tokenizer(folder)` says what it looked for. The vocabulary is read
    when it is first used.
    """
    return Tokenizer(folder, family, num_types) if vocabulary(Path(folder)) is not None else None


class _Token:
    """A special token by its text; settable, as tokenisers without one need before they pad."""

    def __set_name__(self, owner: type[Tokenizer], name: str) -> None:
        self.name = name

    @overload
    def __get__(self, tokenizer: None, owner: type[Tokenizer]) -> _Token: ...
    @overload
    def __get__(self, tokenizer: Tokenizer, owner: type[Tokenizer]) -> str | None: ...
    def __get__(self, tokenizer: Tokenizer | None, owner: type[Tokenizer]) -> _Token | str | None:
        return self if tokenizer is None else tokenizer.special_tokens.get(self.name)

    def __set__(self, tokenizer: Tokenizer, token: str) -> None:
        if tokenizer.backend.token_to_id(token) is None:
            raise Invalid(
                f"{token!r} is not in the vocabulary of {tokenizer.folder}; expected one of its tokens."
            )
        tokenizer.special_tokens[self.name] = token


class _TokenId:
    """A special token by its id, None where there is no such token."""

    def __set_name__(self, owner: type[Tokenizer], name: str) -> None:
        self.name = name.removesuffix("_id")

    def __get__(self, tokenizer: Tokenizer, owner: type[Tokenizer]) -> int | None:
        token = tokenizer.special_tokens.get(self.name)
        return None if token is None else tokenizer.backend.token_to_id(token)


class Tokenizer:
    """Texts to ids and back.

    padding_side, truncation_side: "right" or "left". model_max_length: tokens the model was made for, None
    where no file says. special_tokens: by name, `{"eos_token": "</s>"}`.
    """

    bos_token, eos_token, unk_token = _Token(), _Token(), _Token()
    sep_token, pad_token, cls_token, mask_token = _Token(), _Token(), _Token(), _Token()
    bos_token_id, eos_token_id, unk_token_id = _TokenId(), _TokenId(), _TokenId()
    sep_token_id, pad_token_id, cls_token_id, mask_token_id = _TokenId(), _TokenId(), _TokenId(), _TokenId()

    def __init__(self, folder: Path, family: str = "", num_types: int = 0) -> None:
        """Reads the settings, the vocabulary at its first use. Raises TokenizerNotFound, TokenizerDamaged."""
        self.folder = Path(folder)
        self.settings: TokenizerSettings = read_settings(self.folder, family, num_types)
        if vocabulary(self.folder) is None:
            build(self.folder, self.settings)  # raises, with what was looked for
        self.special_tokens = {
            name: self.settings.tokens[name].content for name in NAMED_TOKENS if name in self.settings.tokens
        }
        self.truncation_side: str = self.settings.config.get("truncation_side") or "right"
        self.model_max_length = self.settings.model_max_length
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Tokenizer({str(self.folder)!r})"

    def __len__(self) -> int:
        """How many tokens there are, added ones included."""
        return self.backend.get_vocab_size(with_added_tokens=True)

    @cached_property
    def backend(self) -> Backend:
        """The `tokenizers` library's pipeline."""
        return build(self.folder, self.settings)

    @cached_property
    def padding_side(self) -> str:
        """Where padding goes: as the files say, else left of Llama's texts, to be continued, else right."""
        stated = self.settings.config.get("padding_side")
        if stated in ("left", "right"):
            return str(stated)
        if self.settings.rules.pads_left:
            return "left"
        is_llama = self.settings.kind == "llama" and self.settings.is_stated
        return "left" if is_llama and "ByteLevel" not in str(self.backend.decoder) else "right"

    @property
    def vocab_size(self) -> int:
        """How many tokens the vocabulary's file has, without those added to it."""
        return self.backend.get_vocab_size(with_added_tokens=False)

    def __call__(
        self,
        text: str | Sequence[str],
        text_pair: str | Sequence[str] | None = None,
        *,
        padding: Padding = False,
        truncation: bool = False,
        max_length: int | None = None,
        add_special_tokens: bool = True,
        return_tensors: Tensors | None = None,
    ) -> dict[str, Any]:
        """The texts as `input_ids`, `attention_mask` and, where the model uses them, `token_type_ids`.

        One text gives lists of numbers, several lists of lists; return_tensors "pt" or "np" gives arrays
        (texts, length) of either. text_pair: a second text for each, joined as the model was trained.
        padding: True pads to the longest, "max_length" to `max_length`. truncation: to `max_length`, else
        `model_max_length`, the longer text of a pair first. Raises Invalid for what cannot be done.
        """
        inputs = self._inputs(text, text_pair)
        limit = max_length if max_length is not None else self.model_max_length
        with self._lock:  # lengths are the library's state, not its arguments
            if truncation and limit is not None:
                self._check_room(limit, inputs, add_special_tokens)
                self.backend.enable_truncation(limit, direction=self.truncation_side)
            encodings = self.backend.encode_batch(inputs, add_special_tokens=add_special_tokens)
            self.backend.no_truncation()
        self._pad(encodings, padding, limit)
        columns = {"input_ids": "ids", "token_type_ids": "type_ids", "attention_mask": "attention_mask"}
        if not self.settings.uses_token_types:
            del columns["token_type_ids"]
        found = {
            name: [getattr(encoding, column) for encoding in encodings] for name, column in columns.items()
        }
        if return_tensors is not None:
            return {name: _array(rows, return_tensors) for name, rows in found.items()}
        return {name: rows[0] for name, rows in found.items()} if isinstance(text, str) else found

    def encode(
        self,
        text: str,
        text_pair: str | None = None,
        *,
        truncation: bool = False,
        max_length: int | None = None,
        add_special_tokens: bool = True,
    ) -> list[int]:
        """The ids of one text, or of a pair."""
        encoded = self(
            text,
            text_pair,
            truncation=truncation,
            max_length=max_length,
            add_special_tokens=add_special_tokens,
        )
        ids: list[int] = encoded["input_ids"]
        return ids

    def decode(self, ids: Any, skip_special_tokens: bool = False) -> str:
        """The text of one row of ids: a list, an array, a tensor, or one id."""
        ids = ids.tolist() if hasattr(ids, "tolist") else ids
        text = self.backend.decode([ids] if isinstance(ids, int) else list(ids), skip_special_tokens)
        # Byte pairs carry their own spaces: to clean them up would change the text.
        if self.settings.flag("clean_up_tokenization_spaces", False) and not is_byte_pairs(self.backend):
            for spaced, clean in CLEANED:
                text = text.replace(spaced, clean)
        return text

    def batch_decode(self, rows: Iterable[Any], skip_special_tokens: bool = False) -> list[str]:
        """The texts of several rows of ids."""
        return [self.decode(row, skip_special_tokens) for row in rows]

    @cached_property
    def chat_templates(self) -> dict[str, str]:
        """The model's templates for conversations, by name; empty where it has none."""
        return read_templates(self.folder, self.settings.config)

    @overload
    def apply_chat_template(
        self, messages: Sequence[Message], *, tokenize: Literal[False], **options: Any
    ) -> str: ...
    @overload
    def apply_chat_template(
        self, messages: Sequence[Message], *, tokenize: Literal[True] = True, **options: Any
    ) -> list[int]: ...
    def apply_chat_template(
        self, messages: Sequence[Message], *, tokenize: bool = True, **options: Any
    ) -> str | list[int]:
        """The conversation as the model was trained on it: ids, or with tokenize=False the text.

        messages: `{"role": "user", "content": "…"}` each. options: `add_generation_prompt`, `tools`,
        `template` and the template's own variables, see `chat.render`. Raises Invalid.
        """
        text = render(self.chat_templates, messages, **{**self.special_tokens, **options})
        return self.encode(text, add_special_tokens=False) if tokenize else text

    def convert_tokens_to_ids(self, tokens: Sequence[str]) -> list[int | None]:
        """The tokens' ids, the unknown token's for those that do not exist."""
        return [self.unk_token_id if (i := self.backend.token_to_id(t)) is None else i for t in tokens]

    def convert_ids_to_tokens(self, ids: Iterable[int]) -> list[str | None]:
        """The ids' tokens, None for those that do not exist."""
        return [self.backend.id_to_token(int(i)) for i in ids]

    def get_vocab(self) -> dict[str, int]:
        """Every token and its id."""
        return self.backend.get_vocab(with_added_tokens=True)

    # --- steps of a call

    def _inputs(
        self, text: str | Sequence[str], text_pair: str | Sequence[str] | None
    ) -> list[str | tuple[str, str]]:
        """The texts as the library takes them: a text or a pair each."""
        texts = [text] if isinstance(text, str) else list(text)
        if text_pair is None:
            inputs: list[Any] = texts
        else:
            seconds = [text_pair] if isinstance(text_pair, str) else list(text_pair)
            if isinstance(text, str) != isinstance(text_pair, str) or len(texts) != len(seconds):
                raise Invalid(
                    f"There are {len(texts)} texts and {len(seconds)} second texts; "
                    "expected one text with one, or two lists of the same length."
                )
            inputs = list(zip(texts, seconds, strict=True))
        for given in inputs:
            parts = given if isinstance(given, tuple) else (given,)
            if len(parts) > 2 or not all(isinstance(part, str) for part in parts):
                raise Invalid(
                    f"A text is {repr(given)[:60]} ({type(given).__name__}); expected a text or a pair."
                )
            if self.settings.rules.words == "cpmbee":
                for part in parts:
                    check_bee(part)  # here: the library would wrap what its steps raise
        return inputs

    def _check_room(self, limit: int, inputs: Sequence[object], add_special_tokens: bool) -> None:
        if add_special_tokens:
            needed = self.backend.num_special_tokens_to_add(any(isinstance(given, tuple) for given in inputs))
            if limit < needed:
                raise Invalid(
                    f"max_length is {limit}, and the special tokens alone are {needed}: allow more."
                )

    def _pad(self, encodings: Sequence[Encoding], padding: Padding, limit: int | None) -> None:
        if padding in (False, "do_not_pad") or not encodings:
            return
        if padding not in (True, "longest", "max_length"):
            raise Invalid(f"padding is {padding!r}; expected True, False, 'longest' or 'max_length'.")
        token, index = self.pad_token, self.pad_token_id
        if token is None or index is None:
            raise Invalid(
                f"The tokeniser of {self.folder} has no padding token: set one, for instance "
                "`tokenizer.pad_token = tokenizer.eos_token`."
            )
        length = limit if padding == "max_length" else max(len(encoding) for encoding in encodings)
        if length is None:
            raise Invalid(
                "padding='max_length' needs max_length: no file says how long the model's texts are."
            )
        for encoding in encodings:
            encoding.pad(
                length,
                direction=self.padding_side,
                pad_id=index,
                pad_type_id=self.settings.rules.padding_type,
                pad_token=token,
            )


CLEANED = (
    (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
    (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
)  # fmt: skip
"""Spaces that pieces put before punctuation and English endings, in transformers' order."""


def _array(rows: Sequence[Sequence[int]], kind: Tensors) -> Any:
    if len({len(row) for row in rows}) > 1:
        raise Invalid("The texts have different lengths: pass padding=True to have them as one array.")
    if kind == "pt":
        import torch

        return torch.tensor(rows, dtype=torch.int64)
    if kind == "np":
        import numpy as np

        return np.array(rows, dtype=np.int64)
    raise Invalid(f"return_tensors is {kind!r}; expected 'pt' or 'np'.")
