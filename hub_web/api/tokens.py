"""One's access tokens: listed, made, taken back."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, cast

from flask import Blueprint, Response, jsonify

from hub_web import context
from hub_web.api import shapes
from hub_web.api.body import json_body, one_of, string
from hub_web.api.errors import api_blueprint
from modelcenter.errors import Invalid, NotFound
from modelcenter.registry import access, accounts
from modelcenter.registry.tables import Scope, Token, now

ROOT = "/api/modelcenter/tokens"

blueprint: Blueprint = api_blueprint("tokens")


@blueprint.get(ROOT)
def listed() -> Response:
    """The caller's tokens, without what makes them work."""
    return jsonify([shaped(token) for token in accounts.tokens(context.session(), context.actor())])


@blueprint.post(ROOT)
def create() -> Response:
    """A new token, told this once."""
    body = json_body()
    scope = cast("Scope", one_of("scope", string(body, "scope", default="read"), accounts.SCOPES))
    with context.hub().database.transaction() as session:
        access.require_self(context.actor())
        token = accounts.create_token(
            session,
            accounts.find(session, context.actor().name),
            scope=scope,
            name=string(body, "name"),
            expires_at=moment(string(body, "expiresAt", default="")),
            resources=resources(body.get("resources")),
        )
    response = jsonify(token=token)
    response.status_code = HTTPStatus.CREATED
    return response


@blueprint.delete(f"{ROOT}/<number>")
def revoke(number: str) -> dict[str, Any]:
    """Take a token back; who presents it from now on is unknown."""
    with context.hub().database.transaction() as session:
        token_id = int(number) if number.isdecimal() and len(number) < 19 else 0
        if not accounts.revoke_token(session, context.actor(), token_id):
            raise NotFound(f"You have no token {number[:100]}.")
    return {}


def shaped(token: Token) -> dict[str, Any]:
    """A token as its owner sees it."""
    return {
        "id": token.id,
        "name": token.name,
        "hint": token.hint,
        "scope": token.scope,
        "resources": token.reach,
        "createdAt": shapes.moment(token.created_at),
        "expiresAt": shapes.moment(token.expires_at) if token.expires_at else None,
        "lastUsedAt": shapes.moment(token.last_used_at) if token.last_used_at else None,
    }


def moment(text: str) -> datetime | None:
    """When a token is to expire; None: never. Raises Invalid for what is no moment to come."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
        # As databases keep it: there are moments of a zone that UTC has no year for.
        found = (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Invalid(
            f"expiresAt is {text!r:.100}; expected a moment such as 2030-12-31T00:00:00Z."
        ) from None
    if found <= now():
        raise Invalid(f"expiresAt is {text!r:.100}, which is past.")
    return found


def resources(value: object) -> list[str] | None:
    """The accounts and repositories that a token is to be good for; None: all. Raises Invalid."""
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise Invalid("resources is no list of accounts (org) and repositories (org/name).")
    return value
