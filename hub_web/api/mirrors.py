"""Mirrors: asked for, and how it stands with them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, jsonify

from hub_web import context
from hub_web.api import shapes
from hub_web.api.body import json_body, string
from hub_web.api.errors import api_blueprint
from modelcenter.errors import AccessDenied
from modelcenter.registry import mirror
from modelcenter.registry.names import split_id
from modelcenter.registry.upstream import HUGGING_FACE

blueprint: Blueprint = api_blueprint("mirrors")


@blueprint.post("/api/modelcenter/mirror")
def ask() -> Response:
    """Ask for a copy of another hub's model; answered at once, done by a job."""
    body = json_body()
    upstream_id = string(body, "upstream_id")
    repo_id = string(body, "as", upstream_id)
    split_id(repo_id)
    default = context.hub().settings.upstream or HUGGING_FACE
    upstream = string(body, "upstream", default).rstrip("/")
    actor = context.actor()
    if upstream != default and not actor.is_admin:
        # What this hub can reach and they cannot is not theirs to ask through it.
        raise AccessDenied(f"Models are mirrored from {default} here; only site admins may name another hub.")
    context.release()
    with context.hub().database.transaction() as session:
        mirror.request(
            session, actor, upstream, upstream_id, revision=string(body, "revision", "main"), repo_id=repo_id
        )
    response = jsonify(repository=repo_id, state="queued")
    response.status_code = HTTPStatus.ACCEPTED
    return response


@blueprint.get("/api/modelcenter/mirror/<owner>/<name>")
def state(owner: str, name: str) -> dict[str, Any]:
    """How it stands with a mirror: queued, running, done or failed; and what was wrong with the last try."""
    found = mirror.state(context.session(), context.actor(), f"{owner}/{name}")
    row = found.mirror
    return {
        "repository": found.repo_id,
        "state": found.state,
        "problem": found.problem,
        "upstream": row.endpoint if row else None,
        "upstream_id": row.upstream_id if row else None,
        "checked_at": shapes.moment(row.checked_at) if row and row.checked_at else None,
    }
