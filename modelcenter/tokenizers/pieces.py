"""Pipelines of SentencePiece models.

The library itself cuts texts into pieces, so that scores, normalization and bytes are the model's own; the
pipeline numbers them as their family does.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelcenter.errors import TokenizerDamaged, TokenizerUnsupported
from modelcenter.tokenizers.pipeline import (
    SPACE,
    added_token,
    joined,
    literals,
    numbered,
    surround,
    token,
)
from modelcenter.tokenizers.rules import NUMBERED_APART, Added
from modelcenter.tokenizers.sentencepiece_model import SentencePieceModel, read_model
from modelcenter.tokenizers.settings import TokenizerSettings
from modelcenter.tokenizers.words import cut

if TYPE_CHECKING:
    from tokenizers import NormalizedString, PreTokenizedString
    from tokenizers import Tokenizer as Backend

Prepare = Callable[[str, TokenizerSettings], str]
T5_EXTRA_IDS = 100


def from_sentencepiece(path: Path, settings: TokenizerSettings) -> Backend:
    """The pipeline of the model in `path`. Raises TokenizerDamaged, TokenizerUnsupported."""
    if settings.kind == "other" and settings.class_name in NUMBERED_APART:
        raise TokenizerUnsupported(
            path.name,
            f"a tokeniser of {settings.called}",
            "its tokenizer.json would say how pieces are numbered",
        )
    return _own(path, read_model(path), settings)


# --- the library's own pieces


@dataclass(frozen=True)
class _Pieces:
    """A step that cuts what lies between added tokens into the model's pieces, under their names here."""

    first: Any  # the processor of the text's beginning
    later: Any  # and of what comes after an added token
    settings: TokenizerSettings
    prepare: Prepare
    refine: Callable[[list[str], Any], list[str]]
    names: Mapping[str, str]

    def pre_tokenize(self, text: PreTokenizedString) -> None:
        text.split(self._split)

    def _split(self, index: int, part: NormalizedString) -> list[NormalizedString]:
        from tokenizers import NormalizedString

        processor = self.later if index else self.first
        pieces = processor.encode(self.prepare(part.normalized, self.settings), out_type=str)
        refined = self.refine(pieces, processor)
        return [NormalizedString(self.names.get(piece, piece)) for piece in refined]


def _own(path: Path, model: SentencePieceModel, settings: TokenizerSettings) -> Backend:
    """The model's own pieces, numbered and surrounded as the family has it."""
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, pre_tokenizers

    rules = settings.rules
    before, after = _around(settings)
    pieces = model.pieces
    names = [*before, *pieces[rules.dropped :], *after]
    more = {index: token.content for index, token in settings.added.items() if index >= len(names)}
    # The library adds those that follow the pieces: they are no part of the file's vocabulary.
    is_next = [*more] == [*range(len(names), len(names) + len(more))] and set(more.values()).isdisjoint(names)
    vocab = numbered(names, {i: token for i, token in settings.added.items() if not is_next or i not in more})
    if path.name == "vocab.model":
        vocab |= GLM_SPECIALS
    unknown = token(settings, "unk_token", pieces[model.unknown])
    if unknown not in vocab:
        unknown = pieces[model.unknown]
    if unknown not in vocab:
        raise TokenizerDamaged(path.name, f"it lacks the unknown token {unknown}")
    backend = Backend(models.WordLevel(vocab, unk_token=unknown))
    renamed = {names[index]: token.content for index, token in settings.added.items() if index < len(names)}
    backend.pre_tokenizer = pre_tokenizers.PreTokenizer.custom(_step(model, settings, renamed))
    has_prefix = model.adds_dummy_prefix and (
        settings.kind != "llama" or settings.flag("add_prefix_space", True)
    )
    restored = [decoders.Replace(found, put) for found, put in AFTERWARDS.get(settings.kind, ())]
    backend.decoder = decoders.Sequence([joined(has_prefix), *restored])
    named = {token.content for token in settings.tokens.values()}  # they have flags of their own
    special = [name for name in (*after, *literals(settings)) if name in vocab and name not in named]
    if settings.kind in ("llama", "other"):
        special += [pieces[i] for i in model.control]
    backend.add_special_tokens([added_token(Added(name)) for name in special])
    backend.encode_special_tokens = not rules.matches_appended and not settings.added
    surround(backend, path, settings)
    return backend


def _around(settings: TokenizerSettings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What the family puts before and after a model's pieces."""
    rules = settings.rules
    before, after = rules.before, (*rules.after, *rules.appended)
    if settings.kind == "chatglm1":
        before = tuple(f"<image_{i}>" for i in range(settings.config.get("num_image_tokens", 0)))
    if settings.kind == "t5":
        count = settings.config.get("extra_ids", T5_EXTRA_IDS)
        after = tuple(f"<extra_id_{i}>" for i in reversed(range(count)))
    return before, after


def _step(model: SentencePieceModel, settings: TokenizerSettings, renamed: Mapping[str, str]) -> _Pieces:
    """The step that cuts texts.

    Llama puts a space before a text, its legacy tokenisers, which all are that do not say otherwise, after
    each added token too; others leave that to the model.
    Source: transformers 4 models/llama/tokenization_llama.py.
    """
    is_llama = settings.kind == "llama"
    is_prefixed = not is_llama or settings.flag("add_prefix_space", True)
    is_always = is_prefixed and (not is_llama or settings.flag("legacy", True))
    return _Pieces(
        model.processor if is_prefixed else model.without_prefix(),
        model.processor if is_always else model.without_prefix(),
        settings,
        PREPARE.get(settings.kind, lambda text, settings: text),
        _numbers_apart if settings.kind in ("albert", "xlnet", "cpm") else lambda pieces, processor: pieces,
        renamed,
    )


GLM_SPECIALS = {"[CLS]": 50002, "[S]": 50006, "[E]": 50007, "[MASK]": 50008}
"""Source: model_center/tokenizer/glm_tokenizer.py `Encoder_SP.decode`."""


def _plain(text: str, settings: TokenizerSettings) -> str:
    """Albert, XLNet: single spaces, plain quotes, no accents, lower case, as far as the files ask for it."""
    is_lower = settings.flag("do_lower_case", settings.kind == "albert")
    if settings.flag("remove_space", True):
        text = " ".join(text.strip().split())
    text = text.replace("``", '"').replace("''", '"')
    if not settings.flag("keep_accents", False):
        text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return text.lower() if is_lower else text


def _jieba_words(text: str, settings: TokenizerSettings) -> str:
    """CPM: jieba's words apart, their own spaces and lines under signs, then as XLNet."""
    return _plain(" ".join(word.translate(CPM_SIGNS) for word in cut(text)), settings)


CPM_SIGNS = str.maketrans(" \n", "▂▃")


def _deberta(text: str, settings: TokenizerSettings) -> str:
    """DeBERTa 2 and 3: lower case, and punctuation apart, where the files ask for it."""
    if settings.flag("do_lower_case", False):
        text = text.lower()
    if settings.flag("split_by_punct", False):
        text = " ".join(_punctuation_apart(text))
    return text


def _punctuation_apart(text: str) -> list[str]:
    """The text's runs without punctuation, and each punctuation mark."""
    runs: list[str] = []
    is_new = True
    for char in text:
        is_mark = (char.isascii() and char.isprintable() and not char.isalnum() and char != " ") or (
            unicodedata.category(char).startswith("P")
        )
        if is_mark or is_new:
            runs.append(char)
        else:
            runs[-1] += char
        is_new = is_mark
    return runs


def _blanks(text: str, settings: TokenizerSettings) -> str:
    """ChatGLM-6B: lines, tabs and runs of spaces as signs of their own."""
    text = text.replace("\n", "<n>").replace("\t", "<|tab|>")
    for length in range(CHATGLM_BLANKS, 1, -1):
        text = text.replace(" " * length, f"<|blank_{length}|>")
    return text


CHATGLM_BLANKS = 80
PREPARE: Mapping[str, Prepare] = {
    "albert": _plain,
    "xlnet": _plain,
    "cpm": _jieba_words,
    "deberta-v2": _deberta,
    "chatglm1": _blanks,
}
"""What is done to a text before its model sees it."""

AFTERWARDS: Mapping[str, Sequence[tuple[str, str]]] = {
    "cpm": ((" ", ""), ("▂", " "), ("▃", "\n")),
    "chatglm1": (
        ("<n>", "\n"),
        ("<|tab|>", "\t"),
        *((f"<|blank_{n}|>", " " * n) for n in range(2, CHATGLM_BLANKS + 1)),
    ),
}
"""What is done to the text that pieces give."""


def _numbers_apart(pieces: list[str], processor: Any) -> list[str]:
    """Albert, XLNet: a comma after a digit is a piece of its own, and what is before it is cut anew.

    Source: transformers models/cpm/tokenization_cpm.py `_tokenize`.
    """
    found: list[str] = []
    for piece in pieces:
        if len(piece) > 1 and piece[-1] == "," and piece[-2].isdigit():
            anew = processor.encode(piece[:-1].replace(SPACE, ""), out_type=str)
            if piece[0] != SPACE and anew[0][0] == SPACE:
                anew = anew[1:] if len(anew[0]) == 1 else [anew[0][1:], *anew[1:]]
            found += [*anew, piece[-1]]
        else:
            found.append(piece)
    return found
