"""Addresses that people try and that lead to the list: `/models/`, and `/OWNER` for what it publishes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import redirect, request, url_for
from werkzeug.exceptions import NotFound

from hub_web import context
from hub_web.pages.state import State
from modelcenter.errors import AccountNotFound
from modelcenter.registry import accounts, search

if TYPE_CHECKING:
    from werkzeug.wrappers import Response


def without_slash() -> Response:
    """The list's one address."""
    query = request.query_string.decode("latin-1")
    return redirect(url_for("pages.models") + (f"?{query}" if query else ""))


def of_owner(owner: str) -> Response:
    """The list of what somebody publishes, by name. Raises NotFound where nobody has it."""
    session = context.session()
    try:
        owner = accounts.find(session, owner).name
    except AccountNotFound:  # of linked entries there may be models without an account
        query = search.Query(organization=(owner,), per_page=1, counts=False)
        if not search.find(session, query, context.actor()).total:
            raise NotFound from None
    return redirect(State().toggled("organization", owner).href())
