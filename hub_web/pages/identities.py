"""`/settings/identities`: the provider's people as whom one signs in, linked and unlinked."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import make_response, redirect, render_template, request, url_for

from hub_web import context
from hub_web.pages import formats, forms, frame, provider, signin
from hub_web.pages.formats import Moment
from modelcenter.errors import Invalid
from modelcenter.registry import accounts
from modelcenter.registry import signin as registry

if TYPE_CHECKING:
    from werkzeug.wrappers import Response


@dataclass(frozen=True, slots=True)
class Row:
    """Somebody of a provider's."""

    issuer: str
    subject: str
    linked: Moment


@dataclass(frozen=True, slots=True)
class IdentitiesView:
    """The page. link: where linking another begins, if the hub has a provider."""

    rows: tuple[Row, ...]
    link: str | None
    action: str
    form_token: str
    problem: str


def show() -> Response:
    """The list, and the way to another."""
    return signin.required() or page()


def page(problem: str = "") -> Response:
    """The page, after what was done."""
    session, link, action = context.session(), None, url_for("pages.unlink_identity")
    account = accounts.find(session, context.actor().name)
    if context.hub().settings.oidc is not None:
        place = url_for("pages.link_identity")
        # By a link: browsers hold back a form whose answer leads to another host.
        link = frame.with_query(place, [(forms.FIELD, forms.token(place))])
    view = IdentitiesView(
        rows=tuple(
            Row(found.issuer, found.subject, formats.moment(found.created_at))
            for found in registry.identities(session, account)
        ),
        link=link,
        action=action,
        form_token=forms.token(action),
        problem=problem,
    )
    response = make_response(render_template("identities.html", view=view, page=frame.make(indexed=False)))
    response.headers["Cache-Control"] = "no-store"  # the link is one person's
    response.status_code = HTTPStatus.BAD_REQUEST if problem else HTTPStatus.OK
    return response


def link() -> Response:
    """On to the provider, to say who one is there."""
    if response := signin.required():
        return response
    forms.check(url_for("pages.link_identity"))
    return provider.begin(linking=True)


def linked(issuer: str, subject: str) -> Response:
    """Link whom the provider vouched for, and show the list."""
    try:
        with context.hub().database.transaction() as session:
            registry.link(session, context.actor(), context.actor().name, issuer, subject)
    except Invalid as error:
        return page(str(error))
    return redirect(url_for("pages.identities"), HTTPStatus.SEE_OTHER)


def unlink() -> Response:
    """Take the form: who was linked no longer signs in so."""
    forms.check(url_for("pages.unlink_identity"))
    issuer, subject = request.form.get("issuer", ""), request.form.get("subject", "")
    try:
        with context.hub().database.transaction() as session:
            registry.unlink(session, context.actor(), context.actor().name, issuer, subject)
    except Invalid as error:
        return page(str(error))
    return redirect(url_for("pages.identities"), HTTPStatus.SEE_OTHER)
