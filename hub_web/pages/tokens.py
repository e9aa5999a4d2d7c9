"""`/settings/tokens`: one's access tokens, made and taken back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from flask import make_response, redirect, render_template, request, url_for

from hub_web import context
from hub_web.i18n import gettext
from hub_web.pages import formats, forms, frame, signin
from hub_web.pages.formats import Moment
from modelcenter.errors import Invalid, ModelCenterError
from modelcenter.registry import access, accounts
from modelcenter.registry.tables import Scope, now

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

DAYS = (30, 90, 365)
DEFAULT_DAYS = 90


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token in the list."""

    id: int
    name: str
    hint: str
    scope_label: str
    resources: tuple[str, ...]
    created: Moment
    expires: Moment | None
    used: Moment | None
    expired: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the values that a form offers."""

    value: str
    label: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class TokensView:
    """The page; `made` is a new token, shown this once."""

    rows: tuple[TokenRow, ...]
    action: str
    form_token: str
    revoke: str
    revoke_token: str
    scopes: tuple[Choice, ...]
    days: tuple[Choice, ...]
    name: str
    resources: str
    made: str
    problem: str


def show() -> Response:
    """The list, and the form for another."""
    return signin.required() or page()


def page(made: str = "", problem: str = "") -> Response:
    """The page, after what was done."""
    rows = accounts.tokens(context.session(), context.actor())
    action, revoke = url_for("pages.create_token"), url_for("pages.revoke_token")
    sent = request.form if problem else {}
    scope, lasting = sent.get("scope", "read"), sent.get("days", str(DEFAULT_DAYS))
    scopes = {
        "read": gettext("Read: download what you may read"),
        "write": gettext("Write: upload and change models, too"),
        "admin": gettext("Admin: all that you may do, tokens and organisations included"),
    }
    short = {"read": gettext("Read"), "write": gettext("Write"), "admin": gettext("Admin")}
    labels = {**{str(days): gettext("%(number)s days", number=days) for days in DAYS}, "0": gettext("Never")}
    view = TokensView(
        rows=tuple(
            TokenRow(
                id=row.id,
                name=row.name,
                hint=row.hint,
                scope_label=short[row.scope],
                resources=tuple(row.reach or ()),
                created=formats.moment(row.created_at),
                expires=formats.moment(row.expires_at) if row.expires_at else None,
                used=formats.moment(row.last_used_at) if row.last_used_at else None,
                expired=row.expires_at is not None and row.expires_at <= now(),
            )
            for row in rows
        ),
        action=action,
        form_token=forms.token(action),
        revoke=revoke,
        revoke_token=forms.token(revoke),
        scopes=tuple(Choice(value, label, value == scope) for value, label in scopes.items()),
        days=tuple(Choice(value, label, value == lasting) for value, label in labels.items()),
        name=sent.get("name", ""),
        resources=sent.get("resources", ""),
        made=made,
        problem=problem,
    )
    response = make_response(render_template("tokens.html", view=view, page=frame.make(indexed=False)))
    response.headers["Cache-Control"] = "no-store"  # a new token is shown once, to one person
    response.status_code = HTTPStatus.BAD_REQUEST if problem else HTTPStatus.OK
    return response


def create() -> Response:
    """Make a token and show it."""
    forms.check(url_for("pages.create_token"))
    resources = request.form.get("resources", "").replace(",", " ").split()
    days = request.form.get("days", "")
    try:
        if days != "0" and days not in map(str, DAYS):
            raise Invalid(f"{days!r:.100} is no number of days that a token lasts.")
        with context.hub().database.transaction() as session:
            access.require_self(context.actor())
            made = accounts.create_token(
                session,
                accounts.find(session, context.actor().name),
                scope=cast("Scope", request.form.get("scope", "")),
                name=request.form.get("name", ""),
                expires_at=datetime.now(UTC) + timedelta(days=int(days)) if days != "0" else None,
                resources=resources or None,
            )
    except ModelCenterError as error:
        return page(problem=str(error))
    return page(made=made)


def revoke() -> Response:
    """Take a token back."""
    forms.check(url_for("pages.revoke_token"))
    number = request.form.get("token", "")
    with context.hub().database.transaction() as session:
        token_id = int(number) if number.isdecimal() and len(number) < 19 else 0
        accounts.revoke_token(session, context.actor(), token_id)
    return redirect(url_for("pages.tokens"), HTTPStatus.SEE_OTHER)
