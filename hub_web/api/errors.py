"""What clients are told when something cannot be done: status, X-Error-Code, a sentence. The one such table.

huggingface_hub chooses its exception classes by X-Error-Code alone, so the names in `HUB_CODES` are the
protocol's, not ours: do not rename them.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from hub_web import context, routing
from modelcenter.errors import (
    EntryNotFound,
    Gated,
    ModelCenterError,
    RepositoryMoved,
    RepositoryNotFound,
    listed,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger(__name__)

STATUS: Mapping[str, HTTPStatus] = {
    "not-found": HTTPStatus.NOT_FOUND,
    "repository-not-found": HTTPStatus.NOT_FOUND,
    "revision-not-found": HTTPStatus.NOT_FOUND,
    "entry-not-found": HTTPStatus.NOT_FOUND,
    "discussion-not-found": HTTPStatus.NOT_FOUND,
    "blob-not-found": HTTPStatus.NOT_FOUND,
    "blob-damaged": HTTPStatus.GONE,  # not a 5xx: asking again does not help
    "blob-mismatch": HTTPStatus.BAD_REQUEST,
    "access-denied": HTTPStatus.FORBIDDEN,
    "not-authenticated": HTTPStatus.UNAUTHORIZED,
    "invalid-token": HTTPStatus.UNAUTHORIZED,
    "too-many-attempts": HTTPStatus.TOO_MANY_REQUESTS,
    "already-exists": HTTPStatus.CONFLICT,
    "conflict": HTTPStatus.PRECONDITION_FAILED,
    "merge-conflict": HTTPStatus.CONFLICT,
    "nothing-to-convert": HTTPStatus.CONFLICT,
    "invalid": HTTPStatus.BAD_REQUEST,
    "invalid-path": HTTPStatus.UNPROCESSABLE_ENTITY,
    "checkpoint": HTTPStatus.UNPROCESSABLE_ENTITY,
    "cannot-shard": HTTPStatus.UNPROCESSABLE_ENTITY,
    "too-large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "quota-exceeded": HTTPStatus.FORBIDDEN,  # not 507: clients ask again after a 5xx
    "not-supported": HTTPStatus.NOT_IMPLEMENTED,
    "hub": HTTPStatus.BAD_GATEWAY,  # the upstream: for clients a hub that is away, not a model that is not
}
HUB_CODES: Mapping[str, str] = {
    "repository-not-found": "RepoNotFound",
    "repository-moved": "RepoNotFound",
    "revision-not-found": "RevisionNotFound",
    "all-withdrawn": "RevisionNotFound",
    "entry-not-found": "EntryNotFound",
    "gated": "GatedRepo",
    # The entry exists, its files do not: clients then show the sentence that names the upstream.
    "not-hosted": "EntryNotFound",
    "not-fetched": "EntryNotFound",
}


def api_blueprint(name: str) -> Blueprint:
    """A blueprint whose errors are answered as this table says."""
    blueprint = Blueprint(f"api_{name}", __name__)
    blueprint.register_error_handler(ModelCenterError, answer)
    blueprint.register_error_handler(HTTPException, answer_http)
    blueprint.register_error_handler(Exception, answer_unexpected)
    return blueprint


def answer(error: ModelCenterError) -> Response:
    """The answer for an error of ours; one without a row is a fault of this hub, logged and told as 500."""
    if isinstance(error, RepositoryMoved) and (response := moved(error)):
        return response
    status = status_of(error)
    if status is None:
        return answer_unexpected(error)
    response = refusal(status, sentence(error), HUB_CODES.get(error.code))
    if isinstance(error, EntryNotFound) and error.commit:
        # Clients remember by it that the file is absent: transformers probes up to ten optional files a load.
        response.headers["X-Repo-Commit"] = error.commit
    return response


def moved(error: RepositoryMoved) -> Response | None:
    """To the same address of the repository's new id, by any method; None if only the body has an id."""
    arguments = request.view_args or {}
    former = f"/{arguments.get('owner')}/{arguments.get('name')}"
    before, found, after = routing.raw_path().partition(former)
    if not found or (after and after[0] not in "/."):
        return None
    query = f"?{request.query_string.decode()}" if request.query_string else ""
    # Relative, as clients follow it with their token.
    return Response(
        status=HTTPStatus.TEMPORARY_REDIRECT,
        headers={"Location": f"{request.script_root}{before}/{error.target}{after}{query}"},
    )


def sentence(error: ModelCenterError) -> str:
    """What the answer says. Clients tell at length what else may be wrong where a repository is not found."""
    if isinstance(error, RepositoryNotFound):
        actor = context.actor()
        if actor.is_anonymous:
            return NOT_FOUND_ANONYMOUS
        if actor.resources is not None:  # said of all that it is not good for, there or not
            limit = listed(sorted(actor.resources))
            return f"Repository not found, or none that a token limited to {limit} may see."
        return "Repository not found"
    return str(error)


NOT_FOUND_ANONYMOUS = "Repository not found, or it is private: send the token of somebody who may read it."


def status_of(error: ModelCenterError) -> HTTPStatus | None:
    """The status for `error`: by its code, else by the code of the nearest class it derives from."""
    for kind in type(error).__mro__:
        status = STATUS.get(getattr(kind, "code", ""))
        if status is not None:
            # Anonymous callers are told to log in: the repository may be private or gated, and theirs.
            if isinstance(error, (RepositoryNotFound, Gated)) and context.actor().account_id is None:
                return HTTPStatus.UNAUTHORIZED
            return status
    return None


def answer_http(error: HTTPException) -> Response:
    """The answer for what Flask and Werkzeug refuse: unreadable JSON, too large a form."""
    response = refusal(HTTPStatus(error.code or 500), error.description or error.name)
    if error.get_response().headers.get("Allow"):
        response.headers["Allow"] = error.get_response().headers["Allow"]
    return response


def answer_unexpected(error: Exception) -> Response:
    """500 without details, which go to the log."""
    logger.error("The request failed.", exc_info=error)
    return refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "The hub failed to answer. Its log says why.")


def refusal(status: HTTPStatus, message: str, code: str | None = None) -> Response:
    """A JSON error with its headers."""
    response = jsonify(error=message)
    response.status_code = status
    # Headers are ASCII on one line, and clients add the full stop; the body keeps the whole sentence.
    line = context.UNSAID_IN_HEADERS.sub("?", " ".join(message.split()))
    response.headers["X-Error-Message"] = line.rstrip(".")
    if code:
        response.headers["X-Error-Code"] = code
    if status == HTTPStatus.UNAUTHORIZED:
        # git and git-lfs ask their credential helper where they are asked for a password.
        scheme = "Basic" if request.user_agent.string.startswith("git") else "Bearer"
        response.headers["WWW-Authenticate"] = f'{scheme} realm="ModelCenter"'
    return response
