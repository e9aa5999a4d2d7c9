"""Model cards: what a README.md says of a model, as typed values. Never raises: a card is written by anybody.

`read_card` gives the metadata that others may rely on (types checked, sizes bounded) and, for the author, the
errors and warnings that `validate-yaml` answers with. How cards look is rendering.py's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from modelcenter.registry import frontmatter
from modelcenter.registry.rendering import Links, Rendered, rendered
from modelcenter.registry.texts import storable
from modelcenter.registry.vocabulary import LANGUAGE_SPELLINGS, LICENSES, TASKS

__all__ = ["Card", "Facts", "Links", "Rendered", "read_card", "rendered"]

MAX_TEXT = 2 << 20  # bytes of a card that are looked at
MAX_METADATA = 512 << 10  # bytes of checked metadata, as JSON
MAX_WORD = 200  # characters of a tag, an id, a licence
MAX_WORDS = 200  # tags, languages, datasets … each
DESCRIPTION = 300  # characters shown in a list

_RESERVED = ("self", "ignore_metadata_errors")  # keyword arguments of huggingface_hub's ModelCardData
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*")
_HEADING = re.compile(r"^(#{1,3})[ \t]+(\S.*)$", re.MULTILINE)
_FENCE = re.compile(
    r"^(?P<fence>`{3,}+|~{3,}+)[^\n]*+\n.*?(?:^(?P=fence)[`~]*[ \t]*$|\Z)", re.MULTILINE | re.DOTALL
)
_CJK = re.compile(r"[\u3400-\u9fff]")
_NO_PROSE = "#|>-*=`~:[!"  # begin headings, tables, quotes, lists, badges …
_PROSE = re.compile(r"\*\*?\w|\[[^\]]{0,200}\]\([^)]{0,500}\) ?\w")  # … unless it is a bold or linked word
_HEADINGS = re.compile(r"(?:#{1,6}[ \t][^\n]*(?:\n|$))+")  # above a paragraph, with no empty line
_SECTIONS = {
    "zh": re.compile(r"(?:简体)?中文(?:版|说明|介绍)?|chinese|简介", re.IGNORECASE),
    "en": re.compile(r"english(?: version)?|英文(?:版|说明|介绍)?", re.IGNORECASE),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The block `modelcenter:` of a card: what its author says of the model's size and shape."""

    upstream: str | None = None
    organization: str | None = None
    family: str | None = None
    series: str | None = None
    model_type: str | None = None
    architecture: str | None = None
    parameters: int | None = None
    context_length: int | None = None
    hidden_size: int | None = None
    num_layers: int | None = None
    num_heads: int | None = None
    num_kv_heads: int | None = None
    head_dim: int | None = None
    vocab_size: int | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A card: its metadata as typed values, its text, and what is wrong with it."""

    metadata: dict[str, Any] = field(default_factory=dict)  # JSON, checked: what the API gives as cardData
    languages: tuple[str, ...] = ()  # as written
    license: str | None = None
    license_name: str | None = None
    license_link: str | None = None
    library: str | None = None
    pipeline_tag: str | None = None
    tags: tuple[str, ...] = ()
    base_models: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    facts: Facts = Facts()
    titles: dict[str, str] = field(default_factory=dict)  # by language, zh or en
    descriptions: dict[str, str] = field(default_factory=dict)  # one sentence or paragraph, plain text
    sections: dict[str, str] = field(default_factory=dict)  # Markdown by language, of cards that have both
    body: str = ""  # Markdown below the metadata
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def read_card(content: str | bytes) -> Card:
    """The card in `content`, the whole of a README.md. Never raises."""
    text = content[:MAX_TEXT].decode("utf-8", "replace") if isinstance(content, bytes) else content[:MAX_TEXT]
    text = storable(text)
    head, body = frontmatter.split(text)
    raw, errors, warnings = frontmatter.parse(head) if head is not None else ({}, [], [])
    if head is None:
        warnings.append("The card has no metadata: add language, license, tags and pipeline_tag.")
    check = _Check(errors, warnings)
    metadata = check.metadata(raw)
    sections = _sections(body)
    return Card(
        metadata=metadata,
        languages=tuple(metadata.get("language", ())),
        license=_first(metadata.get("license")),
        license_name=metadata.get("license_name"),
        license_link=metadata.get("license_link"),
        library=metadata.get("library_name"),
        pipeline_tag=metadata.get("pipeline_tag"),
        tags=tuple(metadata.get("tags", ())),
        base_models=tuple(metadata.get("base_model", ())),
        datasets=tuple(metadata.get("datasets", ())),
        facts=check.facts(metadata.get("modelcenter")),
        titles=_titles(metadata.get("modelcenter"), body),
        descriptions=_descriptions(sections, body),
        sections=sections,
        body=body,
        errors=tuple(check.errors),
        warnings=tuple(check.warnings),
    )


def language_code(spelling: str) -> str:
    """A language as one code, whichever way cards spell it: `zh-CN`, `zho` and `Chinese` are `zh`."""
    lower = spelling.strip().lower()
    found = LANGUAGE_SPELLINGS.get(lower)
    return found or LANGUAGE_SPELLINGS.get(head := re.split("[-_]", lower)[0], head)


@dataclass
class _Check:
    """Gives back what may be relied on, and notes the rest."""

    errors: list[str]
    warnings: list[str]

    def metadata(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """`raw` with the keys that clients know in the types that they expect."""
        known = dict(raw)
        for key in [k for k in known if k in _RESERVED or len(k) > MAX_WORD or not k]:
            self.warnings.append(f"The key {key[:40]!r} cannot be used and is left out.")
            del known[key]
        for key in ("language", "tags", "datasets", "base_model"):
            if key in known:
                known[key] = self.words(key, known[key])
        if "license" in known:
            licences = self.words("license", known["license"])
            known["license"] = licences[0] if len(licences) == 1 else licences
        for key in (
            "license_name",
            "license_link",
            "library_name",
            "pipeline_tag",
            "model_name",
            "thumbnail",
        ):
            if key in known:
                known[key] = self.word(key, known[key])
        if "model-index" in known and not _is_model_index(known["model-index"]):
            self.errors.append(
                "model-index is not a list of results with tasks, datasets and metrics: it is left out."
            )
            del known["model-index"]
        known.pop("eval_results", None)  # the client computes it from model-index
        known = {key: value for key, value in known.items() if value not in (None, [], "")}
        self._advise(known)
        if len(json.dumps(known)) > MAX_METADATA:
            self.warnings.append(
                f"The metadata is larger than {MAX_METADATA} bytes: model-index and widgets are left out."
            )
            known = {
                key: value
                for key, value in known.items()
                if not isinstance(value, (dict, list)) or key in _SMALL
            }
        return known

    def words(self, key: str, value: Any) -> list[str]:
        """`value` as a list of short texts without repetition; what is none is noted and left out."""
        items = value if isinstance(value, list) else [value]
        found: dict[str, None] = {}
        for item in items[: 5 * MAX_WORDS]:
            if (text := _text(item)) is not None:
                found.setdefault(text)
            elif item is not None:
                self.errors.append(f"{key} holds a {_kind(item)}; expected texts.")
        if len(found) > MAX_WORDS:
            self.warnings.append(f"{key} has more than {MAX_WORDS} values: the first ones count.")
        return list(found)[:MAX_WORDS]

    def word(self, key: str, value: Any) -> str | None:
        """`value` as one short text, else None and a note."""
        if (text := _text(value)) is None and value is not None:
            self.errors.append(f"{key} is a {_kind(value)}; expected a text.")
        return text

    def facts(self, block: Any) -> Facts:
        """The block of our own, its values checked one by one."""
        if block is None:
            return Facts()
        if not isinstance(block, dict):
            self.errors.append(f"modelcenter is a {_kind(block)}; expected keys and values.")
            return Facts()
        values: dict[str, Any] = {}
        for name in ("upstream", "organization", "family", "series", "model_type", "architecture"):
            if (word := self.word(f"modelcenter.{name}", block.get(name))) is not None:
                values[name] = word
        for name in _COUNTS:
            number = block.get(name)
            if number is None:
                continue
            if isinstance(number, int) and not isinstance(number, bool) and 0 < number < 2**63:
                values[name] = number
            else:
                self.errors.append(
                    f"modelcenter.{name} is {str(number)[:40]}; expected a positive whole number."
                )
        values["aliases"] = tuple(self.words("modelcenter.aliases", block.get("aliases", [])))
        return Facts(**values)

    def _advise(self, known: Mapping[str, Any]) -> None:
        for licence in _listed(known.get("license")):
            if licence.lower() not in LICENSES:
                known_ones = ", ".join(list(LICENSES)[:5])
                self.errors.append(
                    f'"license" must be one of the known ones ({known_ones} …), not {licence!r}: '
                    "for another say `license: other` and its name as license_name."
                )
        if known.get("license") == "other" and "license_name" not in known:
            self.warnings.append("license is `other`: say which by license_name and license_link.")
        for language in known.get("language", ()):
            if not _LANGUAGE.fullmatch(language) and language not in ("multilingual", "code"):
                self.warnings.append(f"language {language[:40]!r} is no ISO 639 code such as zh or en.")
        task = known.get("pipeline_tag")
        if task is not None and task not in TASKS:
            self.warnings.append(f"pipeline_tag {task!r} is no known task.")


_COUNTS = (
    "parameters", "context_length", "hidden_size", "num_layers",
    "num_heads", "num_kv_heads", "head_dim", "vocab_size",
)  # fmt: skip
_SMALL = ("language", "license", "tags", "datasets", "base_model", "modelcenter")


def _text(value: Any) -> str | None:
    """A scalar as a trimmed text; None for what is none or is too long to be meant."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    text = " ".join(str(value).split())
    return text if 0 < len(text) <= MAX_WORD else None


def _kind(value: Any) -> str:
    names = {dict: "mapping", list: "list", str: "text that is empty or too long", bool: "true or false"}
    return names.get(type(value), "value")


def _listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _first(value: Any) -> str | None:
    return next(iter(_listed(value)), None)


def _is_model_index(value: Any) -> bool:
    """Whether a client can read the evaluation results: it stops at the first surprise."""
    if not isinstance(value, list) or not value:
        return False
    return all(
        isinstance(model, dict)
        and isinstance(model.get("name"), str)
        and isinstance(model.get("results"), list)
        and all(_is_result(result) for result in model["results"])
        for model in value
    )


def _is_result(result: Any) -> bool:
    if not isinstance(result, dict):
        return False
    task, dataset, metrics = result.get("task"), result.get("dataset"), result.get("metrics")
    source = result.get("source") or {}
    return (
        isinstance(task, dict)
        and "type" in task
        and isinstance(dataset, dict)
        and {"type", "name"} <= dataset.keys()
        and isinstance(metrics, list)
        and all(isinstance(metric, dict) and {"type", "value"} <= metric.keys() for metric in metrics)
        and isinstance(source, dict)
        and ("name" not in source or source.get("url") is not None)
    )


def _headings(body: str) -> Iterable[tuple[int, str, int, int]]:
    """(level, text, start, end) of each heading outside of code."""
    hidden = [match.span() for match in _FENCE.finditer(body)]
    for match in _HEADING.finditer(body):
        if not any(start <= match.start() < end for start, end in hidden):
            yield len(match[1]), match[2].rstrip(" \t\r#"), match.start(), match.end()


def _sections(body: str) -> dict[str, str]:
    """The text in each language, where one heading says Chinese and another of its level English."""
    headings = list(_headings(body))
    found: dict[str, str] = {}
    levels: set[int] = set()
    for index, (level, title, _, end) in enumerate(headings):
        for language, pattern in _SECTIONS.items():
            if pattern.fullmatch(title) and language not in found:
                stops = [start for other, _, start, _ in headings[index + 1 :] if other <= level]
                found[language] = body[end : stops[0] if stops else len(body)].strip()
                levels.add(level)
    return found if len(found) == len(_SECTIONS) and len(levels) == 1 else {}


def _titles(block: Any, body: str) -> dict[str, str]:
    """The titles that the metadata gives, else the first heading as title of its language."""
    given = block.get("title") if isinstance(block, dict) else None
    if isinstance(given, dict):
        titles = {language: text for language in ("zh", "en") if (text := _text(given.get(language)))}
        if titles:
            return titles
    for level, title, _, _ in _headings(body):
        text = plain(title[: 5 * MAX_WORD])[:MAX_WORD]
        if level == 1 and text:
            return {_language_of(text): text}
    return {}


def _descriptions(sections: Mapping[str, str], body: str) -> dict[str, str]:
    """The first paragraph in each language."""
    if sections:
        return {language: text for language, part in sections.items() if (text := _first_paragraph(part))}
    text = _first_paragraph(body)
    return {_language_of(text): text} if text else {}


def _first_paragraph(markdown: str) -> str:
    text = _FENCE.sub("\n\n", markdown[: 64 << 10])
    for paragraph in re.split(r"\n[ \t]*\n", text):
        # A heading may stand right above its text, without an empty line between.
        paragraph = _HEADINGS.sub("", paragraph.strip()).strip()
        if not paragraph or (paragraph[0] in _NO_PROSE and not _PROSE.match(paragraph)):
            continue
        sentence = plain(paragraph[: 10 * DESCRIPTION])
        if len(sentence) > (4 if _CJK.search(sentence) else 20):
            return sentence if len(sentence) <= DESCRIPTION else sentence[: DESCRIPTION - 1].rstrip() + "…"
    return ""


def plain(markdown: str) -> str:
    """`markdown` of a line or paragraph without its marks: what a list or a title shows."""
    text = re.sub(r"<[^<>]{0,2000}>", " ", markdown)
    text = re.sub(r"!\[[^\]]{0,500}\]\([^)]{0,2000}\)", " ", text)
    text = re.sub(r"\[([^\]]{0,500})\]\([^)]{0,2000}\)", r"\1", text)
    text = re.sub(r"\[([^\]]{0,500})\]\[[^\]]{0,200}\]", r"\1", text)
    text = re.sub(r"(\*{1,3}|_{2,3}|~~|`+)(?=\S)([^\n]{0,2000}?\S)\1", r"\2", text)
    return " ".join(text.replace("<", " ").replace(">", " ").split())


def _language_of(text: str) -> str:
    return "zh" if len(_CJK.findall(text)) * 5 >= len(text.replace(" ", "")) else "en"
