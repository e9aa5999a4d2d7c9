"""`/OWNER/NAME/access-requests`: who asked to read a gated model's files, for those who answer."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from flask import make_response, redirect, render_template, request, url_for
from flask_babel import lazy_gettext

from hub_web import context
from hub_web.pages import formats, forms, frame, signin
from hub_web.pages.discussions import Choice
from hub_web.pages.formats import Moment
from hub_web.pages.presenters import Head, head
from modelcenter.errors import AccessRequestNotFound, AccountNotFound, Invalid
from modelcenter.registry import gating, repositories
from modelcenter.registry.tables import AccessRequest, AccessStatus, Model

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

SHOWN = 50  # requests on a page
LAST_PAGE = 1_000_000
LISTS: dict[AccessStatus, object] = {  # of lazy texts
    "pending": lazy_gettext("Waiting"),
    "accepted": lazy_gettext("Accepted"),
    "rejected": lazy_gettext("Rejected"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """Somebody's request."""

    user: str
    fullname: str
    asked: Moment
    answered: Moment | None
    reason: str


@dataclass(frozen=True, slots=True)
class RequestsView:
    """A page of the requests of one status; they can be accepted, rejected, or both."""

    head: Head
    lists: tuple[Choice, ...]
    rows: tuple[Row, ...]
    accepts: bool
    rejects: bool
    most_reason: int
    status: str
    earlier: str | None
    later: str | None
    action: str
    form_token: str
    user: str
    problem: str


def show(owner: str, name: str) -> Response:
    """The requests that wait, unless others are asked for."""
    return signin.required() or page(owner, name)


def page(owner: str, name: str, user: str = "", problem: str = "") -> Response:
    """The page; with a problem the form, which let `user` in, was not taken."""
    session, actor = context.session(), context.actor()
    repository = repositories.get(session, actor, f"{owner}/{name}")
    status, number = chosen(), page_number()
    found = gating.listed(session, actor, repository.repo_id, status, offset=number * SHOWN, limit=SHOWN + 1)
    action = url_for("pages.answer_access", owner=owner, name=name)
    view = RequestsView(
        head=head(repository, session.get(Model, repository.id), repository.default_branch),
        lists=tuple(
            Choice(str(label), listing(owner, name, known), known == status) for known, label in LISTS.items()
        ),
        rows=tuple(row(each) for each in found[:SHOWN]),
        accepts=status != "accepted",
        rejects=status != "rejected",
        most_reason=gating.MAX_REASON,
        status=status,
        earlier=listing(owner, name, status, number - 1) if number else None,
        later=listing(owner, name, status, number + 1) if len(found) > SHOWN else None,
        action=action,
        form_token=forms.token(action),
        user=user,
        problem=problem,
    )
    response = make_response(
        render_template("access_requests.html", view=view, page=frame.make(indexed=False))
    )
    response.status_code = HTTPStatus.BAD_REQUEST if problem else HTTPStatus.OK
    return response


def answer(owner: str, name: str) -> Response:
    """Take a form: accept or reject a request, or let somebody in who has not asked."""
    forms.check(url_for("pages.answer_access", owner=owner, name=name))
    repo_id, actor = f"{owner}/{name}", context.actor()
    user, decision = request.form.get("user", "").strip(), request.form.get("answer")
    reason = " ".join(request.form.get("reason", "").split()) or None
    try:
        with context.hub().database.transaction() as session:
            if decision is None:
                gating.grant(session, actor, repo_id, user)
            elif decision in ("accepted", "rejected"):
                status = cast("AccessStatus", decision)
                gating.handle(session, actor, repo_id, status, user=user, reason=reason)
            else:
                raise Invalid(f"{decision!r:.100} is no answer to a request.")
    except (AccessRequestNotFound, AccountNotFound, Invalid) as error:
        return page(owner, name, user, str(error))
    return redirect(listing(owner, name, chosen() if decision else "accepted"), HTTPStatus.SEE_OTHER)


def chosen() -> AccessStatus:
    """The list that is asked for, or that the form was on."""
    asked = request.form.get("list", request.args.get("status"))
    return next((known for known in LISTS if known == asked), "pending")


def page_number() -> int:
    """The page of the list, from 0."""
    given = request.args.get("p", "")
    return min(int(given[:7]), LAST_PAGE) if given.isascii() and given.isdecimal() else 0


def listing(owner: str, name: str, status: AccessStatus, number: int = 0) -> str:
    """The address of a list of a model's requests."""
    return url_for("pages.access_requests", owner=owner, name=name, status=status, p=number or None)


def row(found: AccessRequest) -> Row:
    """A request as the list shows it."""
    return Row(
        user=found.account.name,
        fullname=found.account.fullname or "",
        asked=formats.moment(found.created_at),
        answered=formats.moment(found.handled_at) if found.handled_at else None,
        reason=found.reason or "",
    )
