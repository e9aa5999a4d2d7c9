"""Answers in pages: a cursor that clients hand back unread, and the Link header that carries it."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, cast
from urllib.parse import urlencode

from flask import Response, jsonify, request

from hub_web import context, routing
from modelcenter.errors import Invalid
from modelcenter.registry.texts import is_storable

JsonValue = str | int | None
MOST = 2**62  # databases' numbers hold this, and a page more


def cursor() -> JsonValue:
    """Where the page asked for begins, as the page before it said; None: the first page. Raises Invalid."""
    given = request.args.get("cursor")
    if not given:
        return None
    try:
        value = json.loads(base64.urlsafe_b64decode(given.encode()))
    except (ValueError, binascii.Error, RecursionError) as error:
        raise Invalid("The cursor is none of this hub's. Start from the first page.") from error
    if isinstance(value, str):
        is_ours = is_storable(value)
    else:
        is_ours = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MOST
    if not is_ours:
        raise Invalid("The cursor is none of this hub's. Start from the first page.")
    return cast("str | int", value)


def page(items: list[dict[str, Any]], following: JsonValue) -> Response:
    """The items of a page, and the address of the next one where `following` says where that begins."""
    response = jsonify(items)
    if following is not None:
        response.headers["Link"] = f'<{next_address(following)}>; rel="next"'
    return response


def next_address(following: JsonValue) -> str:
    """This request's address with another cursor, absolute: clients do not resolve relative ones."""
    encoded = base64.urlsafe_b64encode(json.dumps(following).encode()).decode()
    query = [(name, value) for name, value in request.args.items(multi=True) if name != "cursor"]
    return f"{context.address()}{routing.raw_path()}?{urlencode([*query, ('cursor', encoded)])}"
