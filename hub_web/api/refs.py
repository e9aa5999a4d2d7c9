"""Branches, tags and the commits behind them."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from hub_web import context
from hub_web.api import paging, shapes
from hub_web.api.body import flag, json_body, number, string, values
from hub_web.api.errors import api_blueprint
from modelcenter.errors import Invalid
from modelcenter.registry import pulling, repositories, revisions

COMMITS = 50  # on a page, unless more are asked for
MOST_COMMITS = 1000

blueprint: Blueprint = api_blueprint("refs")


@blueprint.get("/api/models/<owner>/<name>/refs")
def refs(owner: str, name: str) -> dict[str, Any]:
    """All refs, by kind."""
    session = context.session()
    pulling.look(context.hub(), f"{owner}/{name}")
    repository = repositories.get(session, context.actor(), f"{owner}/{name}")
    found: dict[str, Any] = {"branches": [], "converts": [], "tags": []}
    if flag("include_prs"):
        found["pullRequests"] = []
    kinds = {
        revisions.HEADS: "branches",
        revisions.TAGS: "tags",
        revisions.REQUESTS: "pullRequests",
        "refs/convert/": "converts",
    }
    for ref in repositories.refs(session, repository):
        for prefix, kind in kinds.items():
            if ref.name.startswith(prefix) and kind in found:
                short = ref.name.removeprefix("refs/" if kind == "pullRequests" else prefix)
                found[kind].append({"name": short, "ref": ref.name, "targetCommit": ref.target})
    return found


@blueprint.get("/api/models/<owner>/<name>/commits/<revision:revision>")
def commits(owner: str, name: str, revision: str) -> Response:
    """The history of a revision, newest first."""
    session = context.session()
    pulling.look(context.hub(), f"{owner}/{name}", revision)
    repository = repositories.get(session, context.actor(), f"{owner}/{name}")
    head = repositories.resolve(session, repository, revision)
    offset, limit = paging.cursor() or 0, number("limit", COMMITS, MOST_COMMITS)
    if not isinstance(offset, int) or offset < 0:
        raise Invalid("The cursor is none of this hub's. Start from the first page.")
    page, total = repositories.log(session, head, offset=offset, limit=limit)
    formatted = "formatted" in values("expand")
    items = [shapes.commit(commit, formatted=formatted) for commit in page]
    response = paging.page(items, offset + limit if offset + limit < total else None)
    response.headers["X-Total-Count"] = str(total)
    return response


@blueprint.post("/api/models/<owner>/<name>/super-squash/<revision:revision>")
def squash(owner: str, name: str, revision: str) -> dict[str, Any]:
    """One commit in place of a history."""
    title = string(json_body(), "message", default="") or f"Super-squash branch '{revision}'"
    with context.hub().database.transaction() as session:
        commit = repositories.squash(session, context.actor(), f"{owner}/{name}", revision, title)
        return {"commitOid": commit.oid}


@blueprint.post("/api/models/<owner>/<name>/branch/<revision:branch>")
def create_branch(owner: str, name: str, branch: str) -> dict[str, Any]:
    """A new branch, from `startingPoint` or the head of the default branch."""
    start = string(json_body(), "startingPoint", default="") or None
    with context.hub().database.transaction() as session:
        repositories.create_branch(session, context.actor(), f"{owner}/{name}", branch, start)
    return {}


@blueprint.delete("/api/models/<owner>/<name>/branch/<revision:branch>")
def delete_branch(owner: str, name: str, branch: str) -> dict[str, Any]:
    """Remove a branch; its commits stay."""
    with context.hub().database.transaction() as session:
        repositories.delete_branch(session, context.actor(), f"{owner}/{name}", branch)
    return {}


@blueprint.post("/api/models/<owner>/<name>/tag/<revision:revision>")
def create_tag(owner: str, name: str, revision: str) -> dict[str, Any]:
    """A new tag of a revision."""
    body = json_body()
    tag, message = string(body, "tag"), string(body, "message", default="") or None
    with context.hub().database.transaction() as session:
        repositories.create_tag(session, context.actor(), f"{owner}/{name}", tag, revision, message)
    return {}


@blueprint.delete("/api/models/<owner>/<name>/tag/<revision:tag>")
def delete_tag(owner: str, name: str, tag: str) -> dict[str, Any]:
    """Remove a tag."""
    with context.hub().database.transaction() as session:
        repositories.delete_tag(session, context.actor(), f"{owner}/{name}", tag)
    return {}
