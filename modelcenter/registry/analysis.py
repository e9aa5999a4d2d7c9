"""The one analyser of the catalogue: what words a text is found by, and what words a query asks for.

Width, case and script are folded first (full-width, capitals, traditional characters). Chinese is cut into
characters and pairs of characters, because no dictionary knows the names of models; other writing is kept
whole and also cut at punctuation and between letters and digits:

    通义千问           通 通义 义 义千 千 千问 问
    Qwen/Qwen2.5-7B   qwen/qwen2.5-7b qwen 2.5 7b 7, and side by side +qwen2.5-7b +qwen257b +qwen25 +qwen2 …
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import opencc

from modelcenter.registry.vocabulary import (
    LANGUAGE_SPELLINGS,
    LANGUAGE_WORDS,
    LANGUAGES,
    SYNONYMS,
    TASKS,
)

TOGETHER = "+"  # before parts of a name written together: a word never begins with it
MAX_TERM = 100  # characters; PostgreSQL refuses lexemes of more than 2046 bytes
MAX_SPAN = 8  # parts of a name that are looked for together
MAX_WORDS = 12  # of a query
MAX_TERMS = 20_000  # of one text; a tsvector holds 1 MB

# Han with its extensions, kana, hangul: written without spaces, or found by parts of words all the same.
_CJK = "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003134f"
_RUN = re.compile(
    rf"(?P<cjk>[{_CJK}]+)|(?P<word>(?:(?![{_CJK}])\w)+(?:[-._/+#]+(?:(?![{_CJK}])\w)+)*(?:\+\+|#)?)"
)
_PIECES = re.compile(r"[-_/+#]+")
_FRAGMENT = re.compile(r"\d+(?:\.\d+)*|[^\W\d_]+")
# A name and its number are often written apart: llama 3 is llama-3. In a question only a bare number is one.
_BEFORE_NUMBER = re.compile(r"(?<=[a-z])[ \u00a0](?=\d)")
_BEFORE_VERSION = re.compile(rf"(?<=[a-z])\s+(?=\d+(?:\.\d+)*(?:[\s{_CJK}]|$))")
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
            "开源",
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
        for match in _RUN.finditer(_BEFORE_NUMBER.sub("-", fold(text or ""))):
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
    """A word whole, its parts, and its neighbouring parts written together."""
    yield run[:MAX_TERM]
    for name in run.split("/"):
        if name:
            yield name[:MAX_TERM]
            yield from (f"{TOGETHER}{span}"[:MAX_TERM] for span in _spans(_FRAGMENT.findall(name)))
    for piece in _PIECES.split(run):
        if piece := piece.strip("."):
            yield piece[:MAX_TERM]
            # Single letters stand for nothing alone.
            yield from (
                part[:MAX_TERM] for part in _FRAGMENT.findall(piece) if len(part) > 1 or part.isdigit()
            )


def _spans(parts: list[str]) -> Iterator[str]:
    """Neighbouring parts as one: qwen2.5-7b as qwen, qwen2, qwen2.5, qwen25, qwen2.5-7, qwen257 and so on."""
    for start in range(len(parts)):
        for end in range(start + 1, min(len(parts), start + MAX_SPAN) + 1):
            spans = [together(parts[start:end])]
            if "." in parts[end - 1]:  # llama-3.1 is found as llama3
                spans.append(together([*parts[start : end - 1], parts[end - 1].partition(".")[0]]))
            for span in spans:
                yield span
                if not span[0].isdigit():  # 1.8b is not 18b
                    yield re.sub(r"[-.]", "", span)
    if len(parts) > MAX_SPAN:
        yield together(parts)


def together(parts: Iterable[str]) -> str:
    """Parts of a name as one, only numbers apart: gpt-2 is gpt2, qwen2-57b is not qwen2.5-7b."""
    return re.sub(r"(?<=\d) (?=\d)", "-", " ".join(parts)).replace(" ", "")


@dataclass(frozen=True, slots=True)
class Atom:
    """A term that a model must have, or the beginning of one."""

    term: str
    is_prefix: bool = False


Alternative = tuple[Atom, ...]  # all of these


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a query: one of its alternatives must hold.

    is_property: says what a model is (a language, a task), which its name and tags tell; that its text
    mentions the word says little. loose: what may hold instead where nothing is found.
    """

    text: str
    alternatives: tuple[Alternative, ...]
    loose: tuple[Alternative, ...] = ()
    is_property: bool = False

    def widened(self) -> Word:
        """The word as it is looked for where nothing has it as it stands: anywhere."""
        return Word(self.text, (*self.alternatives, *self.loose))


def words(text: str) -> tuple[Word, ...]:
    """The words that a query asks for: all of them must be found. Words that every query has are left out."""
    found: dict[str, Word] = {}
    for match in _RUN.finditer(_BEFORE_VERSION.sub("-", fold(text))):
        for part in _segments(match[0]) if match["cjk"] else [match[0]]:
            found.setdefault(part, _chinese(part) if match["cjk"] else _latin(part[:MAX_TERM]))
    telling = {part: word for part, word in found.items() if part not in _STOP}
    return tuple((telling or found).values())[:MAX_WORDS]


def _chinese(run: str) -> Word:
    pairs = dict.fromkeys(Atom(run[index : index + 2]) for index in range(max(1, len(run) - 1)))
    return Word(run, (tuple(pairs),), is_property=run in _properties())


def _latin(word: str) -> Word:
    """Itself or what it begins, its parts side by side in whatever writing."""
    parts = _FRAGMENT.findall(word)
    telling = tuple(Atom(part) for part in dict.fromkeys(parts) if len(part) > 1 or part.isdigit())
    loose = (telling,) if len(telling) > 1 else ()
    is_property = word in _properties()
    if len(parts) == 1 and (parts[0].isdecimal() or "." in parts[0]):
        return Word(word, ((Atom(parts[0]),),))
    if len("".join(parts)) < 2 or (word in LANGUAGES and len(word) < 4):
        return Word(word, ((Atom(word),),), is_property=is_property)
    if "/" in word:
        name = together(_FRAGMENT.findall(word.rpartition("/")[2]))
        return Word(
            word, ((Atom(word, is_prefix=True),),), ((Atom(TOGETHER + name, is_prefix=True),), *loose)
        )
    joined = Atom(TOGETHER + together(parts), is_prefix=not word[-1].isdigit())
    if not joined.is_prefix:  # llama3 is not llama30b
        return Word(word, ((joined,),), loose, is_property)
    return Word(word, ((Atom(word, is_prefix=True),), (joined,)), loose, is_property)


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
        *_properties(),
        *_STOP,
        *(
            "汉语",
            "英语",
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


@lru_cache(maxsize=1)
def _properties() -> frozenset[str]:
    """The words for what a model is: tasks, languages, kinds; of several words also each alone."""
    candidates = (
        *(word for name, task in TASKS.items() for word in (name, task.english, task.chinese, *task.words)),
        *(word for name, group in SYNONYMS.items() for word in (name, *group)),
        *(word for code, names in LANGUAGES.items() for word in (code, *names)),
        *(word for group in LANGUAGE_WORDS.values() for word in group),
        *LANGUAGE_SPELLINGS,
    )
    found = {fold(word) for word in candidates}
    return frozenset(found | {part for word in found for part in word.split()})
