"""Addresses whose segments may contain quoted slashes. Knows paths, not what they name.

Clients write `/api/models/me/bert/revision/refs%2Fpr%2F1`. WSGI hands over the path already unquoted, so the
boundary between the segments is lost. `RawPath` reads it from the raw request line instead and lets a
character that no honest path contains stand for a quoted slash; the converters turn it back.

    request line    /api/models/me/bert/tree/feature%2Fx/data%2Fa.txt
    PATH_INFO       /api/models/me/bert/tree/feature<mark>x/data<mark>a.txt
    view arguments  revision="feature/x", path="data/a.txt"
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_to_bytes, urlsplit

from flask import request
from werkzeug.routing import BaseConverter, Map

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

SLASH = "\ufdd0"  # a Unicode noncharacter: reserved for use inside programs, never interchanged
MARK = SLASH.encode()


class RawPath:
    """WSGI middleware that keeps quoted slashes apart from those that separate segments."""

    def __init__(self, app: WSGIApplication) -> None:
        self.app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        raw = environ.get("RAW_URI") or environ.get("REQUEST_URI")
        if raw:
            environ["PATH_INFO"] = path_info(raw).removeprefix(environ.get("SCRIPT_NAME", ""))
        return self.app(environ, start_response)


def path_info(raw: str) -> str:
    """The WSGI path of a raw request target: `/path?query`, or `http://host/path` as proxies send it."""
    path = raw.partition("?")[0] if raw.startswith("/") else urlsplit(raw).path
    return b"/".join(map(_segment, path.split("/"))).decode("latin-1")


def _segment(raw: str) -> bytes:
    """A segment unquoted, with the mark for each slash; a mark that was sent becomes a byte of no UTF-8."""
    return unquote_to_bytes(raw).replace(MARK, b"\xff").replace(b"/", MARK)


def raw_path() -> str:
    """The path of the current request as it can be asked for again: quoted, quoted slashes kept."""
    return quote(request.path, safe="/").replace(quote(SLASH), "%2F")


class Segment(BaseConverter):
    """One segment of the path; a quoted slash is part of it."""

    def to_python(self, value: str) -> str:
        return value.replace(SLASH, "/")

    def to_url(self, value: object) -> str:
        return quote(str(value), safe="")


class Revision(Segment):
    """A revision: one segment, or a full ref name with its slashes written out (`refs/pr/1`)."""

    regex = "refs/(?:heads|tags|pr|convert)/[^/]+|[^/]+"
    part_isolating = False


class FilePath(Segment):
    """The rest of the path: a file's place in its repository, slashes written out or quoted."""

    regex = "[^/].*?"
    part_isolating = False
    weight = 200

    def to_url(self, value: object) -> str:
        return quote(str(value), safe="/")


def install(url_map: Map) -> None:
    """Teach `url_map` the converters; `string` and `path` are replaced, so every view sees true slashes."""
    url_map.converters.update(
        default=Segment, string=Segment, segment=Segment, revision=Revision, path=FilePath
    )
    # A double slash in a file's path is a wrong path, not another spelling of the right one.
    url_map.merge_slashes = False
