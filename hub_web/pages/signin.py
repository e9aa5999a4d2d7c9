"""Signing in and out: `/login`, `/logout`."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import make_response, redirect, render_template, request, url_for

from hub_web import context, sessions
from hub_web.i18n import gettext
from hub_web.pages import forms, frame
from modelcenter.errors import NotAuthenticated, TooManyAttempts
from modelcenter.registry import signin

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

NEXT = "next"


@dataclass(frozen=True, slots=True)
class SignInView:
    """The form: where it goes, what was wrong. provider: where one signs in elsewhere."""

    action: str
    token: str
    following: str
    name: str = ""
    problem: str = ""
    provider: str | None = None


def form() -> Response:
    """The page that asks for name and password."""
    if not context.actor().is_anonymous:
        return redirect(following(), HTTPStatus.SEE_OTHER)
    return show()


def provider_link() -> str | None:
    """Where signing in by a provider begins, if the hub has one."""
    if context.hub().settings.oidc is None:
        return None
    return url_for("pages.provider", next=following())


def show(problem: str = "", status: HTTPStatus = HTTPStatus.OK) -> Response:
    """The form, after a problem too."""
    sessions.begin()
    action = url_for("pages.sign_in")
    view = SignInView(
        action=action,
        token=forms.token(action),
        following=following(),
        name=request.form.get("name", "")[:100],
        problem=problem,
        provider=provider_link(),
    )
    response = make_response(render_template("login.html", view=view, page=frame.make(indexed=False)))
    response.status_code = status
    return response


def sign_in() -> Response:
    """Take the form; on to where one came from."""
    forms.check(url_for("pages.sign_in"))
    name, password = request.form.get("name", ""), request.form.get("password", "")
    try:
        actor = signin.by_password(context.hub(), name, password, request.remote_addr or "")
    except TooManyAttempts as error:
        minutes = -(-error.seconds // 60)
        return show(
            gettext("Too many wrong passwords. Try again in %(minutes)s minutes.", minutes=minutes),
            HTTPStatus.TOO_MANY_REQUESTS,
        )
    except NotAuthenticated:
        return show(gettext("The name or the password is wrong."), HTTPStatus.UNAUTHORIZED)
    assert actor.account_id is not None
    sessions.sign_in(actor.account_id)
    return redirect(following(), HTTPStatus.SEE_OTHER)


def sign_out() -> Response:
    """Sign out, and go to the catalogue."""
    forms.check(url_for("pages.sign_out"))
    sessions.sign_out()
    return redirect(url_for("pages.home"), HTTPStatus.SEE_OTHER)


def following() -> str:
    """Where to go after signing in: a path of this hub, whatever was asked."""
    wanted = request.values.get(NEXT, "")
    # `//host` and `/\\host` are other hosts to browsers.
    is_path = wanted.startswith("/") and wanted[1:2] not in ("/", "\\") and wanted.isprintable()
    return wanted if is_path and len(wanted) < 2000 else url_for("pages.home")


def required() -> Response | None:
    """The way to sign in and back here, for somebody who has not; None for those who have."""
    if not context.actor().is_anonymous:
        return None
    return redirect(frame.account_menu().href or "/", HTTPStatus.SEE_OTHER)
