"""The one analyser of the catalogue: what words a text is found by, and what words a query asks for.

Width, case and script are folded first (full-width, capitals, traditional characters). Chinese is cut into
characters and pairs of characters, because no dictionary knows the names of models; other writing is kept
whole and also cut at punctuation and between letters and digits:

    通义千问           通 通义 义 义千 千 千问 问
    Qwen/Qwen2.5-7B   qwen/qwen2.5-7b qwen +qwen qwen2.5-7b +qwen257b qwen2.5 2.5 qwen2 7b 7
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import opencc

from modelcenter.registry.vocabulary import LANGUAGES, SYNONYMS, TASKS

TOGETHER = "+"  # before a name without its punctuation: a word never begins with it
MAX_TERM = 100  # characters; PostgreSQL refuses lexemes of more than 2046 bytes
MAX_WORDS = 12  # of a query
MAX_TERMS = 20_000  # of one text; a tsvector holds 1 MB

# Han with its extensions, kana, hangul: written without spaces, or found by parts of words all the same.
_CJK = "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003134f"
_RUN = re.compile(
    rf"(?P<cjk>[{_CJK}]+)|(?P<word>(?:(?![{_CJK}])\w)+(?:[-._/+#]+(?:(?![{_CJK}])\w)+)*(?:\+\+|#)?)"
)
_PIECES = re.compile(r"[-_/+#]+")
_FRAGMENT = re.compile(r"\d+(?:\.\d+)*|[^\W\d_]+")
_PUNCTUATION = re.compile(r"[-._/+#]")
_STOP = frozenset(
    {
        *(
            "的",
            "了",
            "和",
            "与",
            "及",
            "用于",
            "适合",
            "支持",
            "可以",
            "一个",
            "哪些",
            "什么",
            "推荐",
            "最好的",
        ),
        *("模型", "model", "models", "a", "an", "and", "the", "for", "of", "in", "with", "to"),
    }
)


def fold(text: str) -> str:
    """`text` in one width, case and script."""
    return str(_simplifier().convert(unicodedata.normalize("NFKC", text).lower()))


@lru_cache(maxsize=1)
def _simplifier() -> opencc.OpenCC:
    return opencc.OpenCC("t2s")


def terms(*texts: str | None) -> list[str]:
    """The terms that `texts` are found by, each once, in order of appearance."""
    found: dict[str, None] = {}
    for text in texts:
        for match in _RUN.finditer(fold(text or "")):
            found.update(dict.fromkeys(_grams(match[0]) if match["cjk"] else _forms(match[0])))
            if len(found) >= MAX_TERMS:
                return list(found)[:MAX_TERMS]
    return list(found)


def _grams(run: str) -> Iterator[str]:
    for index, character in enumerate(run):
        yield character
        if index + 1 < len(run):
            yield run[index : index + 2]


def _forms(run: str) -> Iterator[str]:
    """A word whole, its parts, and itself written together."""
    yield run[:MAX_TERM]
    for name in run.split("/"):
        if name:
            yield name[:MAX_TERM]
            yield TOGETHER + squeezed(name)[:MAX_TERM]
    before = ""
    for piece in _PIECES.split(run):
        if piece := piece.strip("."):
            yield piece[:MAX_TERM]
            for part in _fragments(piece):
                yield part[:MAX_TERM]
                if part[0].isdigit() and before.isalpha():  # gpt-2 is found as gpt2, llama-3.1 as llama3
                    yield f"{before}{part}"[:MAX_TERM]
                    yield f"{before}{part.partition('.')[0]}"[:MAX_TERM]
                before = part


def _fragments(piece: str) -> list[str]:
    """`qwen2.5` as qwen and 2.5; single letters stand for nothing alone."""
    return [part for part in _FRAGMENT.findall(piece) if len(part) > 1 or part.isdigit()]


def squeezed(word: str) -> str:
    """`word` without punctuation: gpt-2 and gpt2 are the same."""
    return _PUNCTUATION.sub("", word)


@dataclass(frozen=True, slots=True)
class Atom:
    """A term that a model must have, or the beginning of one."""

    term: str
    is_prefix: bool = False


Alternative = tuple[Atom, ...]  # all of these


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a query: one of its alternatives must hold."""

    text: str
    alternatives: tuple[Alternative, ...]


def words(text: str) -> tuple[Word, ...]:
    """The words that a query asks for: all of them must be found. Words that every query has are left out."""
    found: dict[str, Word] = {}
    for match in _RUN.finditer(fold(text)):
        parts = _segments(match[0]) if match["cjk"] else [match[0]]
        for part in parts:
            word = Word(part, (_chinese(part),) if match["cjk"] else tuple(_latin(part[:MAX_TERM])))
            found.setdefault(part, word)
    telling = {part: word for part, word in found.items() if part not in _STOP}
    return tuple((telling or found).values())[:MAX_WORDS]


def _chinese(run: str) -> Alternative:
    if len(run) == 1:
        return (Atom(run),)
    return tuple(dict.fromkeys(Atom(run[index : index + 2]) for index in range(len(run) - 1)))


def _latin(word: str) -> Iterator[Alternative]:
    """Itself or what it begins; the same written together; its parts side by side."""
    pieces = [piece.strip(".") for piece in _PIECES.split(word) if piece.strip(".")]
    is_number = word.replace(".", "").isdigit()
    if is_number or len(word) < 2:
        yield (Atom(word),)
    elif word[-1].isdigit() and len(pieces) < 2:
        # llama3 begins llama3.1 and llama3-8b, not llama30b.
        yield (Atom(word),)
        yield from ((Atom(word + mark, is_prefix=True),) for mark in ".-_")
    else:
        yield (Atom(word, is_prefix=True),)
        if len(short := squeezed(word.rpartition("/")[2])) > 2:
            yield (Atom(TOGETHER + short, is_prefix=True),)
    if len(pieces) > 1:
        yield tuple(Atom(piece) for piece in dict.fromkeys(pieces))


def _segments(run: str) -> list[str]:
    """中文情感分类 as 中文, 情感, 分类: known words apart, what is between them whole."""
    known, longest = _known_words()
    found, start, index = [], 0, 0
    while index < len(run):
        for length in range(min(longest, len(run) - index), 1, -1):
            if run[index : index + length] in known:
                found += [run[start:index], run[index : index + length]]
                index = start = index + length
                break
        else:
            index += 1
    found.append(run[start:])
    return [part for part in found if part and (part not in _STOP or len(run) == len(part))] or [run]


@lru_cache(maxsize=1)
def _known_words() -> tuple[frozenset[str], int]:
    """Chinese words of the vocabulary: the length of the longest tells how far to look."""
    candidates: Iterable[str] = (
        *(word for task in TASKS.values() for word in (task.chinese, *task.words)),
        *(word for group in SYNONYMS.values() for word in group),
        *(chinese for _, chinese in LANGUAGES.values()),
        *_STOP,
        *(
            "汉语",
            "英语",
            "开源",
            "预训练",
            "大模型",
            "小模型",
            "双语",
            "中英",
            "科学",
            "数学",
            "知识",
            "新闻",
        ),
    )
    known = frozenset(fold(word) for word in candidates if re.fullmatch(f"[{_CJK}]{{2,}}", word))
    return known, max(map(len, known))
