"""Models that are with the upstream and not here: who looks for one on the pages may have it fetched."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import redirect, url_for

from hub_web import context
from hub_web.i18n import gettext
from hub_web.pages import forms
from hub_web.pages.frame import Form
from modelcenter.registry import pulling, repositories

if TYPE_CHECKING:
    from werkzeug.wrappers import Response


def form(repo_id: str) -> Form | None:
    """The button that fetches a model; None where the hub would ask nobody for it."""
    owner, _, name = repo_id.partition("/")
    if not name or not pulling.offers(context.hub(), repo_id):
        return None
    action = url_for("pages.pull", owner=owner, name=name)
    host = (context.hub().settings.upstream or "").partition("://")[2]
    return Form(action, forms.token(action), gettext("Fetch it from %(hub)s", hub=host))


def fetch(owner: str, name: str) -> Response:
    """Fetch the model's history, and show it. Large files come when they are downloaded."""
    forms.check(url_for("pages.pull", owner=owner, name=name))
    context.release()
    pulling.look(context.hub(), f"{owner}/{name}")
    repositories.get(context.session(), context.actor(), f"{owner}/{name}")  # says so where there is none
    return redirect(url_for("pages.model", owner=owner, name=name), HTTPStatus.SEE_OTHER)
