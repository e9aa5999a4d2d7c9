"""Revisions that their owners take back, and refs that they freeze."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from hub_web import context
from hub_web.api import shapes
from hub_web.api.body import json_body, string
from hub_web.api.errors import api_blueprint
from modelcenter.registry import repositories, revisions, withdrawals

ROOT = "/api/modelcenter/<owner>/<name>"

blueprint: Blueprint = api_blueprint("holding")


@blueprint.post(f"{ROOT}/withdraw/<revision:revision>")
def withdraw(owner: str, name: str, revision: str) -> dict[str, Any]:
    """Take back the commit that the revision is at."""
    reason = string(json_body(), "reason")
    with context.hub().database.transaction() as session:
        row = withdrawals.withdraw(session, context.actor(), f"{owner}/{name}", revision, reason)
        return {"commit": row.commit_oid, "reason": row.reason, "withdrawnAt": shapes.moment(row.created_at)}


@blueprint.get(f"{ROOT}/withdraw/<revision:revision>")
def withdrawn(owner: str, name: str, revision: str) -> dict[str, Any]:
    """Why and since when the commit that the revision means is withdrawn, if it is."""
    session = context.session()
    repository = repositories.get(session, context.actor(), f"{owner}/{name}")
    commit = repositories.resolve(session, repository, revision)
    row = withdrawals.of(session, commit)
    return {
        "commit": commit.oid,
        "reason": row.reason if row else None,
        "withdrawnAt": shapes.moment(row.created_at) if row else None,
    }


@blueprint.delete(f"{ROOT}/withdraw/<revision:revision>")
def restore(owner: str, name: str, revision: str) -> dict[str, Any]:
    """Let it stand again."""
    with context.hub().database.transaction() as session:
        withdrawals.restore(session, context.actor(), f"{owner}/{name}", revision)
    return {}


@blueprint.post(f"{ROOT}/freeze/<revision:ref>")
@blueprint.delete(f"{ROOT}/freeze/<revision:ref>", defaults={"frozen": False})
def freeze(owner: str, name: str, ref: str, frozen: bool = True) -> dict[str, Any]:
    """Let nobody move or delete a branch or tag; or again."""
    with context.hub().database.transaction() as session:
        row = revisions.freeze(session, context.actor(), f"{owner}/{name}", ref, frozen=frozen)
        return {"ref": row.name, "commit": row.target, "frozen": row.frozen_at is not None}
