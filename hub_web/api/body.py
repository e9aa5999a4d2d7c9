"""Requests read at the border: JSON bodies and query values, as typed values or an Invalid that says why."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from flask import request
from werkzeug.datastructures import MultiDict

from modelcenter.errors import Invalid
from modelcenter.registry.texts import is_storable

TRUE, FALSE = frozenset({"true", "1", "yes", "on"}), frozenset({"false", "0", "no", "off", ""})


def json_body() -> dict[str, Any]:
    """The JSON object that was sent, whatever type it was announced as; its texts can all be kept."""
    try:
        body = json.loads(request.get_data(cache=False) or b"{}")
        require_storable(body)
    except (ValueError, RecursionError) as error:
        raise Invalid("The body is no JSON.") from error
    if not isinstance(body, dict):
        raise Invalid(f"The body is a {type(body).__name__}; expected a JSON object.")
    return body


def require_storable(value: Any) -> None:
    """Raises Invalid where a text in this JSON, on whatever level, is none that databases can hold."""
    if isinstance(value, str) and not is_storable(value):
        raise Invalid("The body has a text with a NUL or with half of a surrogate pair. Leave them out.")
    if isinstance(value, dict):
        for key in value:
            require_storable(key)
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        require_storable(part)


def string(body: dict[str, Any], name: str, default: str | None = None) -> str:
    """A string of the body. Raises Invalid where it is missing (and has no default) or something else."""
    value = body.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise Invalid(f"{name} is {value!r:.100}; expected a string.")
    return value


def flag(name: str, default: bool = False, *, of: MultiDict[str, str] | None = None) -> bool:
    """A true or false of the query string, or `of` a form."""
    # Not request.values: that reads the body, which some views stream.
    value = (request.args if of is None else of).get(name)
    if value is None:
        return default
    lowered = value.lower()
    if lowered not in TRUE | FALSE:
        raise Invalid(f"{name} is {value!r:.100}; expected true or false.")
    return lowered in TRUE


def number(name: str, default: int, most: int, *, least: int = 1) -> int:
    """A number from `least` to `most` of the query string."""
    value = request.args.get(name)
    if value is None:
        return default
    if not value.isdecimal() or len(value) > 18 or not least <= int(value) <= most:
        raise Invalid(f"{name} is {value!r:.100}; expected a number from {least} to {most}.")
    return int(value)


def values(*names: str) -> list[str]:
    """A list of the query string: repeated (`expand=a&expand=b`, also `expand[]=a`) or comma separated."""
    found: list[str] = []
    for name in names:
        for value in (*request.args.getlist(name), *request.args.getlist(f"{name}[]")):
            found.extend(part for part in value.split(",") if part)
    return found


def one_of(name: str, value: str, choices: Sequence[str]) -> str:
    """`value`, if it is one of `choices`."""
    if value not in choices:
        raise Invalid(f"{name} is {value!r:.100}; expected one of {', '.join(choices)}.")
    return value
