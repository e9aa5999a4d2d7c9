"""YAML at the head of a card, read without trust: bounded in size, depth and expansion; JSON values come out.

Reads events, not objects, so nothing is built before it is counted; plain scalars follow YAML 1.2's core
schema as other readers of cards do, so `language: no` is Norwegian and a date is text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from modelcenter.registry.texts import storable

MAX_BYTES = 1 << 20  # the largest honest ones carry evaluation tables of some 400 kB
MAX_DEPTH = 32
MAX_VALUES = 100_000
MAX_DIGITS = 300  # of a number; longer ones stay text

Json = Any  # None, bool, int, float, str, list or dict of these

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_OPEN = re.compile(r"\A\ufeff?\s*---[ \t]*\r?\n")
_CLOSE = re.compile(r"^(?:---|\.\.\.)[ \t]*\r?$", re.MULTILINE)
_CORE: dict[str, Json] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")


def split(text: str) -> tuple[str | None, str]:
    """The front matter (None where there is none) and the body."""
    start = _OPEN.match(text)
    end = _CLOSE.search(text, start.end()) if start else None
    if start is None or end is None:
        return None, text.removeprefix("\ufeff")
    return text[start.end() : end.start()], text[end.end() :].lstrip("\r\n")


class Unreadable(ValueError):
    """The front matter cannot be used; the message says why, for its author."""


@dataclass
class _Frame:
    """A collection being filled; in a mapping, `key` may wait for its value."""

    value: list[Json] | dict[str, Json]
    anchor: str | None
    started: int
    key: str | None = None
    awaits_value: bool = False


@dataclass
class _Reader:
    """Builds JSON from YAML events, counting what it builds, aliases expanded."""

    warnings: list[str]
    count: int = 0
    frames: list[_Frame] = field(default_factory=list)
    anchors: dict[str, tuple[Json, int]] = field(default_factory=dict)
    result: Json = None

    def read(self, text: str) -> Json:
        for event in yaml.parse(text, Loader=_LOADER):
            if isinstance(event, yaml.ScalarEvent):
                self._charge(1)
                self._place(_scalar(event), event.anchor, 1)
            elif isinstance(event, yaml.AliasEvent):
                if event.anchor not in self.anchors:
                    raise Unreadable(f"The alias *{event.anchor} refers to itself or to nothing")
                value, size = self.anchors[event.anchor]
                self._charge(size)
                self._place(value, None, size)
            elif isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent)):
                self._charge(1)
                if len(self.frames) >= MAX_DEPTH:
                    raise Unreadable(f"Values are nested deeper than {MAX_DEPTH} levels")
                empty: list[Json] | dict[str, Json] = [] if isinstance(event, yaml.SequenceStartEvent) else {}
                self.frames.append(_Frame(empty, event.anchor, self.count))
            elif isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
                frame = self.frames.pop()
                self._place(frame.value, frame.anchor, self.count - frame.started + 1)
            elif isinstance(event, yaml.DocumentEndEvent):
                break
        return self.result

    def _charge(self, size: int) -> None:
        self.count += size
        if self.count > MAX_VALUES:
            raise Unreadable(f"It holds more than {MAX_VALUES} values, aliases expanded")

    def _place(self, value: Json, anchor: str | None, size: int) -> None:
        if anchor is not None:
            self.anchors[anchor] = (value, size)
        if not self.frames:
            self.result = value
            return
        frame = self.frames[-1]
        if isinstance(frame.value, list):
            frame.value.append(value)
        elif frame.awaits_value:
            assert frame.key is not None
            if frame.key in frame.value:
                self.warnings.append(f"The key {frame.key[:80]!r} appears twice; the last one counts")
            frame.value[frame.key] = value
            frame.awaits_value = False
        else:
            if isinstance(value, (list, dict)):
                raise Unreadable("A key of a mapping is itself a list or a mapping")
            frame.key = value if isinstance(value, str) else _text(value)
            frame.awaits_value = True


def _scalar(event: yaml.ScalarEvent) -> Json:
    text = storable(event.value)
    if event.tag == "tag:yaml.org,2002:str" or not event.implicit[0]:
        return text
    if text in _CORE:
        return _CORE[text]
    if len(text) > MAX_DIGITS:
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        number = float(text)
        # JSON has no infinity, and a number that overflows was no number to its author.
        return number if abs(number) != float("inf") else text
    return text


def _text(value: Json) -> str:
    """A plain scalar as the text of a key."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def parse(text: str) -> tuple[dict[str, Json], list[str], list[str]]:
    """The front matter `text` as a mapping of JSON values, its errors, and its warnings. Never raises."""
    warnings: list[str] = []
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        return {}, [f"The metadata is larger than {MAX_BYTES} bytes"], warnings
    try:
        value = _Reader(warnings).read(text)
    except Unreadable as error:
        return {}, [f"The metadata cannot be used: {error}."], warnings
    except yaml.MarkedYAMLError as error:
        where = f", line {error.problem_mark.line + 2}" if error.problem_mark else ""
        return {}, [f"The metadata is not valid YAML{where}: {error.problem or error.context}."], warnings
    except (yaml.YAMLError, UnicodeError) as error:
        return {}, [f"The metadata is not valid YAML: {str(error).splitlines()[0]}."], warnings
    if value is None:
        return {}, [], warnings
    if not isinstance(value, dict):
        return {}, [f"The metadata is a {type(value).__name__}; expected keys and values."], warnings
    return value, [], warnings
