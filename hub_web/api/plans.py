"""Loading plans: which bytes a rank needs and where they go, and those bytes in one stream."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from itertools import chain, islice
from typing import cast

from flask import Blueprint, Response, current_app, request
from flask.blueprints import BlueprintSetupState
from werkzeug.http import parse_etags

from hub_web import context
from hub_web.api.body import flag, number
from hub_web.api.errors import api_blueprint
from hub_web.api.files import readable, resolved
from hub_web.api.streaming import Unsatisfiable, range_header, requested_span
from modelcenter.errors import Invalid
from modelcenter.registry import plans, revisions
from modelcenter.registry.plans import Asked, Plan, Plans

ROOT = "/api/modelcenter/<owner>/<name>/plan/<revision:revision>"
MOST_RANKS = 1024
MOST_LETTERS = 100  # of the name of a dtype or a head
FOREVER = 365 * 24 * 3600  # seconds: what a commit holds does not change

blueprint: Blueprint = api_blueprint("plans")


@blueprint.record_once
def remember(state: BlueprintSetupState) -> None:
    """One memory of plans for each application."""
    state.app.extensions["modelcenter-plans"] = Plans()


@blueprint.get(ROOT)
def plan(owner: str, name: str, revision: str) -> Response:
    """What loading reads of a revision and where each element goes, for one rank."""
    made = asked_for(owner, name, revision)
    # A branch moves on; what is kept of a commit may serve nobody else, who might not be allowed to read it.
    is_fixed = revisions.is_full_id(revision)
    headers = {
        "ETag": f'"{made.address}"',
        "Cache-Control": f"private, max-age={FOREVER}, immutable" if is_fixed else "private, no-cache",
        "Vary": "Authorization",
    }
    if parse_etags(request.headers.get("If-None-Match")).contains_weak(made.address):
        return Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(made.document, headers=headers, content_type="application/json")


@blueprint.get(f"{ROOT}/bytes")
def stream(owner: str, name: str, revision: str) -> Response:
    """The bytes that a plan reads in one stream, each MiB followed by its SHA-256; whole or a range of it."""
    hub, made = context.hub(), asked_for(owner, name, revision)
    context.release()
    size = made.gathered.stream_bytes
    headers = {
        "ETag": f'"{made.content}"',
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Vary": "Authorization",
        "Content-Type": "application/octet-stream",
    }
    if parse_etags(request.headers.get("If-None-Match")).contains_weak(made.content):
        return Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    try:
        span = requested_span(range_header(made.content), size)
    except Unsatisfiable:
        headers["Content-Range"] = f"bytes */{size}"
        return Response(status=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers=headers)
    start, stop = (span.start, span.stop) if span else (0, size)
    if span:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    headers["Content-Length"] = str(stop - start)
    body = plans.stream(hub, made, start, stop) if request.method != "HEAD" else iter(())
    return Response(
        Begun(body),
        status=HTTPStatus.PARTIAL_CONTENT if span else HTTPStatus.OK,
        headers=headers,
        direct_passthrough=True,
    )


class Begun:
    """A body whose first part is made at once: what is wrong with that can still be told."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self.parts = parts
        self.first = list(islice(parts, 1))

    def __iter__(self) -> Iterator[bytes]:
        return chain(self.first, self.parts)

    def close(self) -> None:
        """Lets go of the files; servers call it after the last part, or when the client has gone."""
        if close := getattr(self.parts, "close", None):
            close()


def asked_for(owner: str, name: str, revision: str) -> Plan:
    """The plan that the request's query asks for."""
    repository = readable(owner, name, revision)
    commit = resolved(repository, revision)
    asked = query()
    context.release()
    known = cast("Plans", current_app.extensions["modelcenter-plans"])
    return known.get(context.hub(), repository, commit, asked)


def query() -> Asked:
    """The query's values. Raises Invalid."""
    for name in ("dtype", "head"):
        if len(request.args.get(name, "")) > MOST_LETTERS:
            raise Invalid(f"{name} has more than {MOST_LETTERS} letters.")
    tp = number("tp", 1, MOST_RANKS)
    return Asked(
        dtype=request.args.get("dtype") or None,
        tp=tp,
        rank=number("rank", 0, tp - 1, least=0),
        fuse=flag("fuse", True),
        head=request.args.get("head") or None,
    )
