"""Who is signed in to the pages: a cookie, signed with the hub's secret, that scripts cannot read.

It names an account and the moment of signing in; whether that still counts the registry says at each request.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from flask import request
from flask import session as cookie
from flask.sessions import SecureCookieSessionInterface

from modelcenter.registry import signin

if TYPE_CHECKING:
    from flask import Flask
    from sqlalchemy.orm import Session

    from modelcenter.registry.access import Actor
    from modelcenter.settings import Settings

NAME = "modelcenter"
LASTS = timedelta(days=14)


class Cookies(SecureCookieSessionInterface):
    """Flask's, sent over https alone wherever that is how the hub is reached."""

    def get_cookie_secure(self, app: Flask) -> bool:
        return request.is_secure or bool(app.config["SESSION_COOKIE_SECURE"])


def install(app: Flask, settings: Settings) -> None:
    """Give `app` its cookie."""
    app.session_interface = Cookies()
    app.config.update(
        SESSION_COOKIE_NAME=NAME,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=(settings.external_url or "").startswith("https://"),
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=LASTS,
    )


def signed_in(session: Session) -> Actor | None:
    """Whose cookie the request carries, as long as their sign-in counts."""
    if NAME not in request.cookies:
        return None
    account_id, at = cookie.get("account"), cookie.get("at")
    if not isinstance(account_id, int) or not isinstance(at, float):
        return None
    since = datetime.fromtimestamp(at, UTC)
    if since + LASTS < datetime.now(UTC):
        return None
    return signin.again(session, account_id, since)


def sign_in(account_id: int) -> None:
    """From now on requests of this browser are `account_id`'s. Nothing of who was there before is kept."""
    cookie.clear()
    cookie.permanent = True
    cookie["account"], cookie["at"] = account_id, datetime.now(UTC).timestamp()
    begin()


def sign_out() -> None:
    """Forget who is signed in."""
    cookie.clear()


def begin() -> None:
    """Give the browser a name of its own, by which the forms that it was sent are known."""
    if "browser" not in cookie:
        cookie["browser"] = secrets.token_hex(16)


def browser() -> str | None:
    """The browser's name, if it has one."""
    name = cookie.get("browser") if NAME in request.cookies or cookie.modified else None
    return name if isinstance(name, str) else None
