"""Signing in by a provider of OpenID Connect: the code flow with PKCE, state and nonce, by Authlib.

Source: OpenID Connect Core 1.0, sections 3.1 and 5.3; RFC 7636.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from flask import current_app, redirect, url_for
from flask import session as cookie
from werkzeug.exceptions import NotFound

from hub_web import context, sessions
from hub_web.i18n import gettext
from hub_web.pages import identities
from hub_web.pages import signin as pages
from modelcenter.errors import ExtraMissing, NotAuthenticated
from modelcenter.registry import signin
from modelcenter.registry.tables import Role
from modelcenter.settings import OidcSettings

if TYPE_CHECKING:
    from flask import Flask
    from werkzeug.wrappers import Response

logger = logging.getLogger(__name__)

EXTENSION = "modelcenter_provider"
SECONDS = 10  # for each answer of the provider
RANK: Mapping[Role, int] = {"read": 0, "contributor": 1, "write": 2, "admin": 3}


def install(app: Flask, settings: OidcSettings | None) -> None:
    """Give `app` its provider, if it has one. The provider is asked nothing before somebody signs in."""
    if settings is None:
        return
    try:
        from authlib.integrations.flask_client import OAuth
    except ModuleNotFoundError as error:
        raise ExtraMissing("authlib", "oidc") from error
    app.extensions[EXTENSION] = OAuth(app).register(
        "provider",
        client_id=settings.client_id,
        client_secret=settings.client_secret,
        server_metadata_url=f"{settings.issuer.rstrip('/')}/.well-known/openid-configuration",
        client_kwargs={
            "scope": "openid profile email",
            "code_challenge_method": "S256",
            "default_timeout": SECONDS,
        },
    )


def begin(*, linking: bool = False) -> Response:
    """On to the provider, which sends the browser back to `finish`.

    linking: not to sign in, but to link whom it vouches for to the account that is signed in.
    """
    provider = registered()
    cookie["following"] = pages.following()
    cookie["linking"] = context.actor().account_id if linking else None
    try:
        return cast("Response", provider.authorize_redirect(callback()))
    except faults() as error:
        return refuse(error)


def finish() -> Response:
    """Take what the provider says of who signs in; their account is made the first time."""
    provider, settings = registered(), context.hub().settings.oidc
    assert settings is not None
    context.release()
    try:
        issuer = provider.load_server_metadata()["issuer"]
        token = provider.authorize_access_token(
            claims_options={
                "iss": {"essential": True, "value": issuer},
                "aud": {"essential": True, "value": settings.client_id},
                "sub": {"essential": True},
            },
            timeout=SECONDS,
        )
        claims = dict(token["userinfo"])
        told = provider.userinfo(token=token, timeout=SECONDS)
        if told["sub"] != claims["sub"]:
            raise NotAuthenticated("The provider spoke of two people.")
    except faults() as error:
        return refuse(error)
    claims = {**told, **claims}
    if (linking := cookie.pop("linking", None)) is not None:
        if linking != context.actor().account_id:  # signed out meanwhile, or as somebody else
            return refuse(NotAuthenticated("Another account than the one to be linked is signed in."))
        return identities.linked(issuer, str(claims["sub"]))
    try:
        with context.hub().database.transaction() as session:
            account = signin.by_identity(
                session, issuer, str(claims["sub"]), name=wanted_name(claims), fullname=full_name(claims)
            )
            signin.set_roles(session, account, roles(claims, settings))
            account_id = account.id
    except NotAuthenticated as error:
        return refuse(error)
    place = cookie.get("following")
    sessions.sign_in(account_id)
    return redirect(place if isinstance(place, str) else url_for("pages.home"), HTTPStatus.SEE_OTHER)


def registered() -> Any:
    """The provider as Authlib knows it. Raises NotFound where there is none."""
    provider = current_app.extensions.get(EXTENSION)
    if provider is None:
        raise NotFound
    return provider


def faults() -> tuple[type[Exception], ...]:
    """What may be wrong with a provider or its answers: a state that expired, a signature, the network."""
    from authlib.common.errors import AuthlibBaseError
    from joserfc.errors import JoseError
    from requests import RequestException

    return (
        AuthlibBaseError,
        JoseError,
        RequestException,
        NotAuthenticated,
        KeyError,
        ValueError,
        RuntimeError,
    )


def callback() -> str:
    """Where the provider sends browsers back to: it has to know the address beforehand."""
    return context.address() + url_for("pages.provider_callback")


def refuse(error: Exception) -> Response:
    """The form again; what went wrong is for the log."""
    logger.warning("A sign-in by the provider failed: %s: %s", type(error).__name__, error)
    return pages.show(gettext("The provider did not vouch for you. Try again."), HTTPStatus.UNAUTHORIZED)


def wanted_name(claims: Mapping[str, Any]) -> str:
    """What the person is called elsewhere; their account gets a free name like it."""
    email = claims.get("email")
    for name in (
        claims.get("preferred_username"),
        email.partition("@")[0] if isinstance(email, str) else None,
        claims.get("name"),
    ):
        if isinstance(name, str) and name.strip():
            return name.partition("@")[0]
    return "user"


def full_name(claims: Mapping[str, Any]) -> str | None:
    """The name as people read it."""
    name = claims.get("name")
    return " ".join(name.split())[:200] or None if isinstance(name, str) else None


def roles(claims: Mapping[str, Any], settings: OidcSettings) -> dict[str, Role | None]:
    """The person's role in each organisation that the settings name: the highest that a value gives."""
    said = claims.get(settings.claim) if settings.claim else None
    held = set(filter(lambda value: isinstance(value, str), said if isinstance(said, list) else [said]))
    found: dict[str, Role | None] = {organization: None for _, organization, _ in settings.organizations}
    for value, organization, role in settings.organizations:
        best = found[organization]
        if value in held and (best is None or RANK[role] > RANK[best]):
            found[organization] = role
    return found
