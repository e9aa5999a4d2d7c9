"""The gate of a model on its page: what one may not read, and how to ask for it."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import redirect, url_for

from hub_web import context
from hub_web.i18n import gettext, ngettext
from hub_web.pages import formats, forms, frame
from hub_web.pages.frame import Form
from hub_web.pages.presenters import access_requests_address, address
from modelcenter.errors import Gated
from modelcenter.registry import access, gating
from modelcenter.registry.tables import Repository

if TYPE_CHECKING:
    from werkzeug.wrappers import Response


@dataclass(frozen=True, slots=True)
class GateView:
    """What stands between a reader and the files: a sentence, and a way on where there is one."""

    tone: str
    sentence: str
    note: str = ""
    reason: str = ""
    form: Form | None = None
    link: Link | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A way on."""

    label: str
    href: str


def view(repository: Repository) -> GateView | None:
    """The gate as this reader meets it; nothing where it is open to them and nobody waits for them."""
    try:
        access.require_files(context.actor(), repository)
    except Gated as error:
        missing = error.missing
    else:
        return waiting(repository)
    if missing == "login":
        return GateView(
            "quiet",
            gettext("Access to the files is limited"),
            gettext("Sign in to ask for it."),
            link=Link(gettext("Sign in"), frame.account_menu().href or "/"),
        )
    if missing == "pending":
        return GateView(
            "quiet",
            gettext("You have asked for access"),
            gettext("The owners of the model have not answered yet."),
        )
    if missing == "rejected":
        request = gating.request_of(context.session(), context.actor(), repository)
        return GateView(
            "bad",
            gettext("Your request for access was rejected"),
            reason=(request.reason or "") if request else "",
        )
    if missing == "resource" or not access.may(context.actor(), "propose", repository):
        return GateView(
            "quiet", gettext("Access to the files is limited"), gettext("Your token does not reach them.")
        )
    action = url_for("pages.ask_access", owner=repository.namespace, name=repository.name)
    note = (
        gettext("Whoever asks is let in; the owners learn your name.")
        if repository.gated == "auto"
        else gettext("The owners of the model learn your name and decide.")
    )
    return GateView(
        "quiet",
        gettext("Access to the files is limited"),
        note,
        form=Form(action, forms.token(action), gettext("Ask for access")),
    )


def waiting(repository: Repository) -> GateView | None:
    """That people wait for an answer, for those who may give it."""
    href = access_requests_address(repository)
    count = gating.waiting(context.session(), repository) if href else 0
    if not href or not count:
        return None
    return GateView(
        "quiet",
        ngettext(
            "%(number)s request for access waits for an answer",
            "%(number)s requests for access wait for an answer",
            count,
            number=formats.number(count),
        ),
        link=Link(gettext("Answer"), href),
    )


def ask(owner: str, name: str) -> Response:
    """Take the form, and show the model again."""
    forms.check(url_for("pages.ask_access", owner=owner, name=name))
    with context.hub().database.transaction() as session:
        gating.ask(session, context.actor(), f"{owner}/{name}")
    return redirect(address(owner, name), HTTPStatus.SEE_OTHER)
