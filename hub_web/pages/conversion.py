"""Conversion to safetensors on a model's page: how it stands, and the button by which it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import redirect, url_for

from hub_web import context
from hub_web.i18n import gettext, ngettext
from hub_web.pages import formats, forms
from hub_web.pages.frame import Form
from hub_web.pages.presenters import address
from modelcenter.registry import access, conversions
from modelcenter.registry.contents import Entry
from modelcenter.registry.tables import Conversion, Repository

if TYPE_CHECKING:
    from werkzeug.wrappers import Response


@dataclass(frozen=True, slots=True)
class ConversionView:
    """A conversion as its page tells it; tone is good, bad or quiet. problem: in English."""

    tone: str
    icon: str
    sentence: str
    note: str = ""
    problem: str = ""
    pending: bool = False
    form: Form | None = None


def start(owner: str, name: str) -> Response:
    """Take the button's form, queue the conversion, and show the page again."""
    forms.check(url_for("pages.convert", owner=owner, name=name))
    with context.hub().database.transaction() as session:
        conversions.request(session, context.actor(), f"{owner}/{name}")
    return redirect(address(owner, name), HTTPStatus.SEE_OTHER)


def view(repository: Repository, head: str, entries: Sequence[Entry]) -> ConversionView | None:
    """What the page of `head` says of conversion; nothing where there is nothing to say or to offer."""
    session = context.session()
    row = conversions.shown(session, repository, head, entries)
    status = conversions.status_of(session, row) if row else None
    if row is not None and status == "done":
        return done(row)
    if row is not None and status == "queued":
        return ConversionView(
            "quiet",
            "clock",
            gettext("Conversion to safetensors is under way"),
            gettext(
                "The pickles are read without running them and every tensor is compared. "
                "Large models take minutes."
            ),
            pending=True,
        )
    offered = form(repository, entries)
    if row is not None and status == "failed":
        return ConversionView(
            "bad",
            "warn",
            gettext("Conversion to safetensors failed"),
            gettext("Nothing was changed."),
            problem=row.problem or "",
            form=offered,
        )
    if offered is None:
        return None
    return ConversionView(
        "quiet",
        "file",
        gettext("The weights are pickles"),
        gettext("As safetensors they load without a risk and faster. The pickles stay where they are."),
        form=offered,
    )


def done(row: Conversion) -> ConversionView:
    """The proof, in one line."""
    report = row.report
    return ConversionView(
        "good",
        "check",
        ngettext(
            "safetensors: converted, %(identical)s of %(number)s tensor identical",
            "safetensors: converted, %(identical)s of %(number)s tensors identical",
            report["tensors"],
            identical=formats.number(report["identical"]),
            number=formats.number(report["tensors"]),
        ),
        gettext("Made from the pickles without running them; each tensor was compared bit for bit."),
    )


def form(repository: Repository, entries: Sequence[Entry]) -> Form | None:
    """The button, for those who may write, where there are pickles alone."""
    if not access.may(context.actor(), "write", repository):
        return None
    if not conversions.is_convertible([entry.path for entry in entries]):
        return None
    action = url_for("pages.convert", owner=repository.namespace, name=repository.name)
    return Form(action, forms.token(action), gettext("Convert to safetensors"))
