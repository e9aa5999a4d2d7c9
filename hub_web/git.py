"""Git over HTTP: what `git clone`, `fetch` and `push` say. Knows HTTP; `registry.git` knows Git.

Source: git's Documentation/gitprotocol-http.txt.
"""

from __future__ import annotations

import gzip
import io
import zlib
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from hub_web import context
from hub_web.api import errors
from hub_web.api.files import readable
from hub_web.ledger import ledger
from modelcenter.errors import AccessDenied, Invalid, ModelCenterError
from modelcenter.registry import revisions
from modelcenter.registry.git import fetching, lines, pushing
from modelcenter.registry.git.lines import Mark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from modelcenter.registry.blobs.interface import Readable
    from modelcenter.registry.tables import Repository

UPLOAD, RECEIVE = "git-upload-pack", "git-receive-pack"
BUFFER_BYTES = 1 << 20
INFLATED_BYTES = 64 << 20  # of a push that was deflated, as small ones are by some clients

blueprint = Blueprint("git", __name__)


@blueprint.get("/<owner>/<name>/info/refs")
def refs(owner: str, name: str) -> Response:
    """All refs, for a fetch or a push; in version 2 of the protocol first what the hub can do."""
    service = request.args.get("service")
    if service not in (UPLOAD, RECEIVE):
        raise AccessDenied("Git's old protocol over plain files is not spoken here. Use a newer git.")
    repository = opened(owner, name)
    session, actor = context.session(), context.actor()
    if service == RECEIVE:
        pushing.may_push(session, actor, repository)
        found = fetching.advertise(session, repository, pushing.CAPABILITIES)
    elif speaks_2():
        return answer(fetching.capabilities(), f"application/x-{service}-advertisement")
    else:
        found = fetching.advertise(session, repository)
    body = b"".join([lines.line(f"# service={service}"), lines.FLUSH, *found])
    return answer((body,), f"application/x-{service}-advertisement")


@blueprint.post(f"/<owner>/<name>/{UPLOAD}")
def fetch(owner: str, name: str) -> Response:
    """What a fetch lacks, streamed; why it cannot be is told in Git's way, with the status 200."""
    repository = opened(owner, name)
    with reading() as body:
        try:
            wanted, found = fetched(repository, lines.Limited(body, lines.REQUEST_BYTES))
        except Invalid as problem:
            wanted, found = fetching.Request(), iter((fetching.refusal(problem),))
    context.release()
    if wanted.clones:
        ledger().downloaded(repository.id)
    return answer(found, f"application/x-{UPLOAD}-result")


def fetched(repository: Repository, stream: Readable) -> tuple[fetching.Request, Iterator[bytes]]:
    """What is wanted of the repository, and the answer. Raises Invalid, TooLarge."""
    hub, session, wanted = context.hub(), context.session(), fetching.Request()
    if not speaks_2():
        wanted = fetching.read_request(stream)
        return wanted, fetching.fetch(hub, session, repository, wanted)
    head = list(lines.read_until(stream, Mark.DELIMITER, Mark.FLUSH))
    asked = list(lines.read_until(stream, Mark.FLUSH))
    if "command=ls-refs" in head:
        return wanted, iter(list(fetching.list_refs(session, repository, asked)))
    if "command=fetch" in head:
        wanted = fetching.request_2(asked)
        return wanted, fetching.fetch_2(hub, session, repository, wanted)
    if head:
        raise Invalid(f"{head[0][:100]!r} was not offered.")
    return wanted, iter(())


@blueprint.post(f"/<owner>/<name>/{RECEIVE}")
def push(owner: str, name: str) -> Response:
    """Take a push; what became of it is told in Git's way, with the status 200."""
    hub, actor = context.hub(), context.actor()
    repository = opened(owner, name)
    pushing.may_push(context.session(), actor, repository)
    context.release()
    # A pack is as long as it is: what is too long is told in Git's way, by who reads it.
    request.max_content_length = 1 << 62
    problem: ModelCenterError | None = None
    with reading() as stream:
        asked = pushing.read(stream)
        if not asked.commands:  # git asks first, with an empty push, whether it may
            return answer((), f"application/x-{RECEIVE}-result")
        try:
            pushing.receive(hub, actor, repository.repo_id, asked, stream)
        except ModelCenterError as error:
            if errors.status_of(error) is None:
                raise
            problem = error
    return answer(pushing.report(asked, problem), f"application/x-{RECEIVE}-result")


def opened(owner: str, name: str) -> Repository:
    """The repository, with or without `.git` behind its name, if the caller may read its files."""
    repository = readable(owner, name.removesuffix(".git"))
    revisions.require_hosted(repository)
    return repository


def speaks_2() -> bool:
    """Whether the client speaks version 2 of the protocol."""
    return "version=2" in request.headers.get("Git-Protocol", "").split(":")


@contextmanager
def reading() -> Iterator[Readable]:
    """The body as a file, inflated where git deflated it, as it is read.

    Raises Invalid for a body that is damaged, TooLarge where more than INFLATED_BYTES come of it.
    """
    try:
        if request.headers.get("Content-Encoding") in ("gzip", "x-gzip"):
            yield lines.Limited(gzip.GzipFile(fileobj=request.stream), INFLATED_BYTES)
        else:
            yield io.BufferedReader(cast("io.RawIOBase", request.stream), BUFFER_BYTES)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise Invalid(f"The body is not what gzip made of it: {error}.") from error


def answer(body: Iterable[bytes], content_type: str) -> Response:
    """An answer that no cache keeps."""
    return Response(body, content_type=content_type, headers={"Cache-Control": "no-cache"})


def in_words(told: Callable[..., Response]) -> Callable[..., Response]:
    """Answers errors as `told` does, in plain text, which git shows; asks for a password where one helps."""

    def handler(error: Exception) -> Response:
        response = told(error)
        if response.is_json and isinstance(body := response.get_json(), dict):
            response.set_data(f"{body['error']}\n")
            response.mimetype = "text/plain"
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            response.headers["WWW-Authenticate"] = 'Basic realm="ModelCenter"'
        return response

    return handler


blueprint.register_error_handler(ModelCenterError, in_words(errors.answer))
blueprint.register_error_handler(HTTPException, in_words(errors.answer_http))
blueprint.register_error_handler(Exception, in_words(errors.answer_unexpected))
