"""What people are told when a page cannot be made: what happened, and where to go from here."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import make_response, render_template, request, url_for
from werkzeug.exceptions import HTTPException, InternalServerError

from hub_web import context
from hub_web.api import errors as api_errors
from hub_web.i18n import gettext
from hub_web.pages import frame, pull
from hub_web.pages.presenters import HUGGING_FACE
from modelcenter import errors

if TYPE_CHECKING:
    from flask import Flask
    from werkzeug.wrappers import Response


logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Link:
    """A way on from here."""

    label: str
    href: str


@dataclass(frozen=True, slots=True)
class ErrorView:
    """An error as its page shows it."""

    status: int
    title: str
    sentence: str
    links: tuple[Link, ...]
    request_id: str | None = None
    form: frame.Form | None = None


def register(app: Flask) -> None:
    """Let `app` answer errors outside the API with pages."""
    app.register_error_handler(errors.ModelCenterError, answer)
    app.register_error_handler(HTTPException, answer_http)


def answer(error: errors.ModelCenterError) -> Response:
    """The page for an error of ours."""
    if is_for_programs():
        return api_errors.answer(error)
    if isinstance(error, errors.RepositoryMoved) and (response := api_errors.moved(error)):
        return response
    status = api_errors.status_of(error)
    if status is None:
        logger.error("The page failed.", exc_info=error)
        return known(HTTPStatus.INTERNAL_SERVER_ERROR)
    if isinstance(error, errors.NotFound):
        status = HTTPStatus.NOT_FOUND  # people are not asked for a token
    if isinstance(error, errors.RepositoryNotFound):
        return page(
            status,
            gettext("There is no such model"),
            gettext(
                "%(name)s does not exist here, or is private and not yours to read.", name=error.repository
            ),
            Link(gettext("Search for it"), url_for("pages.models", q=error.repository.rpartition("/")[2])),
            # Who has just asked the upstream for it knows now.
            form=None if request.method == "POST" else pull.form(error.repository),
        )
    if isinstance(error, errors.HubError):
        return page(
            status,
            gettext("The model could not be fetched"),
            gettext("The hub that models are fetched from does not answer as it should. Try again later."),
        )
    if isinstance(error, errors.NotHosted):
        return page(
            status,
            gettext("No weights are hosted here"),
            gettext(
                "%(name)s is a catalogue entry: its files are with their publisher.", name=error.repository
            ),
            Link(error.repository, model_address(error.repository)),
            Link(f"{HUGGING_FACE}/{error.upstream}", f"{HUGGING_FACE}/{error.upstream}"),
        )
    if isinstance(error, errors.AllWithdrawn):
        place = f"{model_address(error.repository)}/tree/{error.commit}"
        return page(
            status,
            gettext("Withdrawn by its owners"),
            gettext(
                "All of %(revision)s of %(name)s was withdrawn: %(reason)s",
                revision=error.revision,
                name=error.repository,
                reason=error.reason,
            ),
            Link(gettext("Files"), place),
        )
    if isinstance(error, errors.RevisionNotFound):
        return page(
            status,
            gettext("There is no such revision"),
            gettext(
                "%(name)s has no branch, tag or commit %(revision)s.",
                name=error.repository,
                revision=error.revision,
            ),
            Link(error.repository, model_address(error.repository)),
        )
    if isinstance(error, errors.DiscussionNotFound):
        return page(
            status,
            gettext("There is no such discussion"),
            gettext("%(name)s has no discussion or pull request of that number.", name=error.repository),
            Link(error.repository, model_address(error.repository)),
        )
    if isinstance(error, errors.EntryNotFound):
        return page(
            status,
            gettext("There is no such file"),
            gettext(
                "%(path)s does not exist in %(name)s at %(revision)s.",
                path=error.path,
                name=error.repository,
                revision=error.revision,
            ),
            Link(error.repository, model_address(error.repository)),
        )
    if isinstance(error, errors.Gated):
        return page(
            status,
            gettext("Access to the files is limited"),
            gettext("The page of the model says how it stands with yours, and how to ask for it."),
            Link(error.repository, model_address(error.repository)),
        )
    if isinstance(error, errors.Frozen):
        return page(
            status,
            gettext("This branch or tag is frozen"),
            gettext("%(ref)s is frozen: nobody may move or delete it.", ref=error.ref),
        )
    return known(status)


def answer_http(error: HTTPException) -> Response:
    """The page for what the framework refuses, and for our own faults."""
    if error.code is None or error.code < 400:
        return error.get_response()
    if is_for_programs():
        return api_errors.answer_http(error)
    response = known(HTTPStatus(error.code))
    if not isinstance(error, InternalServerError):
        for name, value in error.get_headers():
            if name.lower() not in ("content-type", "content-length"):
                response.headers[name] = value
    return response


def known(status: HTTPStatus) -> Response:
    """The page for a status alone."""
    if status == HTTPStatus.NOT_FOUND:
        return page(
            status,
            gettext("There is nothing here"),
            gettext("The address leads nowhere: it may be mistyped, or the page has moved."),
        )
    if status in (HTTPStatus.FORBIDDEN, HTTPStatus.UNAUTHORIZED):
        return page(
            status,
            gettext("This is not yours to see"),
            gettext("You may not see this page with the access that you have. Ask its owner to let you in."),
        )
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return page(
            status,
            gettext("The hub failed to make this page"),
            gettext("The fault is ours and has been written to the log. Try again in a moment."),
        )
    return page(
        status,
        gettext("The hub cannot answer this request"),
        gettext("Something in the address or the request does not fit."),
    )


def page(
    status: HTTPStatus, title: str, sentence: str, *links: Link, form: frame.Form | None = None
) -> Response:
    """An error page."""
    view = ErrorView(
        status=status,
        title=title,
        sentence=sentence,
        links=(*links, Link(gettext("All models"), url_for("pages.models"))),
        request_id=context.request_id() if status >= 500 else None,
        form=form,
    )
    response = make_response(render_template("error.html", view=view, page=frame.make(indexed=False)), status)
    response.headers["Cache-Control"] = "no-store"
    return response


def model_address(repository: str) -> str:
    """The page of a model by its id."""
    owner, _, name = repository.partition("/")
    return url_for("pages.model", owner=owner, name=name)


def is_for_programs() -> bool:
    """Whether this address is answered in JSON."""
    return request.path.startswith(("/api/", "/v1/", "/v2/")) or ".git/" in request.path
