"""What every page has around its content: language and its switch, addresses for search engines, assets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from flask import g, request, url_for

from hub_web import context, i18n, sessions
from hub_web.pages import forms
from modelcenter import __version__
from modelcenter.registry.access import ANONYMOUS

if TYPE_CHECKING:
    from flask import Flask
    from werkzeug.wrappers import Response

STATIC = Path(__file__).parents[1] / "static"
YEAR = 365 * 24 * 3600  # seconds


@dataclass(frozen=True, slots=True)
class Language:
    """One position of the language switch."""

    tag: str
    name: str
    href: str
    current: bool


@dataclass(frozen=True, slots=True)
class Form:
    """A button and where it leads."""

    action: str
    token: str
    label: str


@dataclass(frozen=True, slots=True)
class Account:
    """Who is signed in, else where one signs in. Neither: on the page where one does."""

    name: str | None = None
    href: str | None = None
    identities: str | None = None  # where the hub has a provider
    sign_out: Form | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """What the layout shows of a page. Without a canonical address (errors) nothing points to others."""

    language: str
    lang: str
    languages: tuple[Language, ...]
    canonical: str | None
    alternates: tuple[tuple[str, str], ...]
    robots: str | None
    search_text: str = ""  # in the search box
    search_keeps: tuple[tuple[str, str], ...] = ()  # the filters that a new search keeps
    version: str = __version__


def install(app: Flask) -> None:
    """Give the templates of `app` what the layout needs."""
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.add_template_global(asset)
    app.add_template_global(page_lang)
    app.add_template_global(account_menu)
    app.after_request(keep_assets)


def account_menu() -> Account:
    """Who is signed in, for the head of the page; on error pages too, whatever they are about."""
    actor = g.get("actor", ANONYMOUS)
    if actor.is_anonymous:
        login = url_for("pages.login")
        if request.endpoint in ("pages.login", "pages.sign_in"):
            return Account()
        here = place() if request.method == "GET" and request.endpoint else "/"
        return Account(href=with_query(login, [("next", here)]))
    action = url_for("pages.sign_out")
    # Who came with a token has nothing to sign out of.
    form = Form(action, forms.token(action), i18n.gettext("Sign out")) if sessions.browser() else None
    identities = url_for("pages.identities") if context.hub().settings.oidc else None
    return Account(name=actor.name, identities=identities, sign_out=form)


def make(
    *,
    indexed: bool = True,
    parameters: Iterable[tuple[str, str]] = (),
    search_text: str = "",
    search_keeps: Iterable[tuple[str, str]] = (),
) -> Frame:
    """The frame of the page being made; `parameters` of its query make it a page of its own."""
    path = place()
    here = list(parameters)
    address = context.address() + path
    asked = request.args.get(i18n.PARAMETER)
    own = [*here, (i18n.PARAMETER, asked)] if asked in i18n.LANGUAGES else here
    return Frame(
        language=i18n.language(),
        lang=page_lang(),
        languages=tuple(
            Language(i18n.TAGS[code], name, switched(path, code), current=code == i18n.language())
            for code, name in i18n.LANGUAGES.items()
        ),
        canonical=with_query(address, own) if indexed else None,
        alternates=(
            *((code, with_query(address, [*here, (i18n.PARAMETER, code)])) for code in i18n.LANGUAGES),
            ("x-default", with_query(address, here)),
        ),
        robots=None if indexed else "noindex",
        search_text=search_text,
        search_keeps=tuple(search_keeps),
    )


def page_lang() -> str:
    """The `lang` attribute of the page being made."""
    return i18n.TAGS[i18n.language()]


def place() -> str:
    """The path of this request, quoted as links need it."""
    if request.endpoint:
        return url_for(request.endpoint, **(request.view_args or {}))
    # Two leading slashes would make a link to another host.
    return "/" + quote(request.path.lstrip("/"))


def switched(path: str, code: str) -> str:
    """This page in another language: the same address, asked for in it."""
    others = [(name, value) for name, value in request.args.items(multi=True) if name != i18n.PARAMETER]
    return with_query(path, [*others, (i18n.PARAMETER, code)])


def with_query(path: str, parameters: Iterable[tuple[str, str]]) -> str:
    """`path` with its query, if it has any."""
    query = urlencode(list(parameters))
    return f"{path}?{query}" if query else path


def asset(name: str) -> str:
    """The address of a static file, which changes with its content: browsers may keep it for ever."""
    return url_for("static", filename=name, v=fingerprint(name, (STATIC / name).stat().st_mtime_ns))


@lru_cache
def fingerprint(name: str, _: int) -> str:
    """The beginning of the SHA-256 of a static file; the time of its last change makes the cache forget."""
    return hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]


def keep_assets(response: Response) -> Response:
    """Let browsers keep static files that were asked for by their content."""
    if request.endpoint == "static" and "v" in request.args and response.status_code == 200:
        response.cache_control.public = True
        response.cache_control.max_age = YEAR
        response.cache_control.immutable = True
        response.cache_control.no_cache = None
    return response
