"""Access requests: asking to read a gated model's files, and answering."""

from __future__ import annotations

from typing import Any, cast

from flask import Blueprint, Response

from hub_web import context
from hub_web.api import paging, shapes
from hub_web.api.body import json_body, one_of, string
from hub_web.api.errors import api_blueprint
from hub_web.api.people import place
from modelcenter.errors import AccessRequestNotFound, Invalid
from modelcenter.registry import gating
from modelcenter.registry.tables import AccessStatus

ROOT = "/api/models/<owner>/<name>/user-access-request"

blueprint: Blueprint = api_blueprint("gates")


@blueprint.post(ROOT)
def ask(owner: str, name: str) -> dict[str, Any]:
    """Ask for oneself."""
    with context.hub().database.transaction() as session:
        return shapes.access_request(gating.ask(session, context.actor(), f"{owner}/{name}"))


@blueprint.get(f"{ROOT}/<status>")
def listed(owner: str, name: str, status: str) -> Response:
    """Who has asked, by what became of it."""
    wanted = cast("AccessStatus", one_of("the list", status, gating.STATUSES))
    offset, limit = place()
    session, actor = context.session(), context.actor()
    found = gating.listed(session, actor, f"{owner}/{name}", wanted, offset=offset, limit=limit + 1)
    items = [shapes.access_request(request) for request in found[:limit]]
    return paging.page(items, offset + limit if len(found) > limit else None)


@blueprint.post(f"{ROOT}/handle")
def handle(owner: str, name: str) -> dict[str, Any]:
    """Accept, reject, or let wait again."""
    body, repo_id = json_body(), f"{owner}/{name}"
    status = cast("AccessStatus", one_of("status", string(body, "status"), gating.STATUSES))
    user, request_id = string(body, "user", default=""), string(body, "requestId", default="")
    if bool(user) == bool(request_id):
        raise Invalid("Whose request is meant? Name the user or the requestId.")
    try:
        account_id = int(request_id, 16) if request_id else None
    except ValueError:
        account_id = -1
    if account_id is not None and not 0 <= account_id < 2**63:
        raise AccessRequestNotFound(repo_id, request_id[:100])
    reason = string(body, "rejectionReason", default="") or None
    with context.hub().database.transaction() as session:
        request = gating.handle(
            session, context.actor(), repo_id, status, user=user or None, account_id=account_id, reason=reason
        )
        return shapes.access_request(request)


@blueprint.post(f"{ROOT}/grant")
def grant(owner: str, name: str) -> dict[str, Any]:
    """Let somebody in who has not asked."""
    user = string(json_body(), "user")
    with context.hub().database.transaction() as session:
        return shapes.access_request(gating.grant(session, context.actor(), f"{owner}/{name}", user))
