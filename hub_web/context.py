"""What a request has in hand: the hub, a session, who asks, and the address it asked at.

The session takes a connection with its first query and gives it back when the view returns, before the answer
streams. Views that read long bodies call `release()` first, so that no transaction waits for a slow client.
"""

from __future__ import annotations

import re
import uuid
from contextlib import ExitStack
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote_to_bytes

from flask import Flask, after_this_request, current_app, g, request
from werkzeug.exceptions import NotFound

from hub_web import sessions
from hub_web.ledger import ledger
from modelcenter.errors import Invalid
from modelcenter.registry import accounts
from modelcenter.registry.access import ANONYMOUS, Actor

if TYPE_CHECKING:
    from sqlalchemy.orm import Session
    from werkzeug.wrappers import Response

    from modelcenter.registry.hub import Hub

OWN_TOKENS = ("api_cas",)  # blueprints whose views read tokens of another kind
UNSAID_IN_HEADERS = re.compile(r"[^\x20-\x7e]")  # servers refuse to send some of these
REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")


def install(app: Flask) -> None:
    """Give every request of `app` its session, actor and id."""
    app.before_request(enter)
    app.teardown_request(leave)
    app.after_request(name_request)


def enter() -> None:
    """Open the request's session and find out who asks. Raises InvalidToken, NotFound, Invalid."""
    g.exit = ExitStack()
    g.session = g.exit.enter_context(hub().database.session())
    g.actor = ANONYMOUS
    refuse_unreadable()
    if request.endpoint is None or request.endpoint.rpartition(".")[2] in ("static", "health"):
        return
    if request.blueprint in OWN_TOKENS:
        return
    plain = presented_token()
    if plain is not None:
        g.actor = accounts.authenticate_token(g.session, plain)
        ledger().saw(g.actor)
    elif takes_cookies():
        g.actor = sessions.signed_in(g.session) or ANONYMOUS
    # The view begins afresh: on SQLite it would else read as of this moment, whatever it writes itself.
    g.session.close()


def takes_cookies() -> bool:
    """Whether a sign-in counts: on pages, whose forms carry tokens, and where nothing is changed."""
    return request.blueprint == "pages" or request.method in ("GET", "HEAD")


def refuse_unreadable() -> None:
    """Raises where the address is no UTF-8, which would be read as other characters, or has a NUL.

    Nothing here has a NUL in its name, and PostgreSQL takes none. Pages leave such values of the query out,
    as all that they do not know.
    """
    if not is_readable(request.environ["PATH_INFO"].encode("latin-1")):
        raise NotFound
    if (request.blueprint or "").startswith("api_") and not is_readable(
        unquote_to_bytes(request.query_string.replace(b"+", b" "))
    ):
        raise Invalid("The query has a NUL character or is no UTF-8: nothing here is called so.")


def is_readable(text: bytes) -> bool:
    """Whether these bytes are UTF-8 without a NUL."""
    try:
        return "\0" not in text.decode()
    except UnicodeDecodeError:
        return False


def leave(error: BaseException | None = None) -> None:
    """Close the request's session."""
    stack = g.pop("exit", None)
    if stack is not None:
        stack.close()


def name_request(response: Response) -> Response:
    """Send back the request's id: the one that the client gave it, else a new one."""
    response.headers["X-Request-Id"] = request_id()
    return response


def request_id() -> str:
    """The request's id: the one that its answer carries."""
    if "request_id" not in g:
        given = request.headers.get("X-Request-Id") or request.headers.get("X-Amzn-Trace-Id") or ""
        g.request_id = given if REQUEST_ID.fullmatch(given) else str(uuid.uuid4())
    return cast("str", g.request_id)


def presented_token() -> str | None:
    """The token sent as `Bearer TOKEN`, or as the password of Basic, which is how git and git-lfs send it."""
    authorization = request.authorization
    if authorization is None:
        return None
    if authorization.type == "basic":
        return authorization.password or ""
    return authorization.token or ""


def warn(topic: str, sentence: str) -> None:
    """Have clients tell people something beside the answer, once a topic."""

    @after_this_request
    def say(response: Response) -> Response:
        line = UNSAID_IN_HEADERS.sub("?", " ".join(f"{topic}; {sentence}".split()))
        response.headers["X-HF-Warning"] = line
        return response


def hub() -> Hub:
    """The registry's rooms."""
    return cast("Hub", current_app.extensions["modelcenter"])


def session() -> Session:
    """The request's session, for reading."""
    return cast("Session", g.session)


def actor() -> Actor:
    """Who asks."""
    return cast("Actor", g.actor)


def release() -> None:
    """End the session's transaction and give its connection back; what was read stays readable."""
    session().close()


def address() -> str:
    """The hub's address as the client knows it, without a trailing slash.

    Answers carry it in every address they give: clients refuse those of another host.
    """
    return hub().settings.external_url or request.host_url.rstrip("/")
