"""The large files of a repository: listed, taken out for good, lent to another repository."""

from __future__ import annotations

from typing import Any, TypeGuard

from flask import Blueprint, Response

from hub_web import context
from hub_web.api import paging, shapes
from hub_web.api.body import json_body, number
from hub_web.api.errors import api_blueprint
from modelcenter.errors import Invalid
from modelcenter.registry import rewriting, uploads

PAGE, MOST = 1000, 10_000

blueprint: Blueprint = api_blueprint("large_files")


@blueprint.get("/api/models/<owner>/<name>/lfs-files")
def listed(owner: str, name: str) -> Response:
    """The large files that any commit names, newest first, a page at a time."""
    offset, limit = paging.cursor() or 0, number("limit", PAGE, MOST)
    if not isinstance(offset, int) or offset < 0:
        raise Invalid("The cursor is none of this hub's. Start from the first page.")
    found = rewriting.large_files(context.session(), context.actor(), f"{owner}/{name}")
    items = [
        {
            "fileOid": use.sha256,
            "filename": use.path,
            "oid": use.oid,
            "pushedAt": shapes.moment(use.created_at),
            "ref": use.ref and use.ref.removeprefix("refs/heads/"),
            "size": use.size,
        }
        for use in found[offset : offset + limit]
    ]
    return paging.page(items, offset + limit if offset + limit < len(found) else None)


@blueprint.post("/api/models/<owner>/<name>/lfs-files/batch")
def delete(owner: str, name: str) -> dict[str, Any]:
    """Take large files out of every commit, or only their bytes where history is to stay."""
    deletions = json_body().get("deletions")
    asked = deletions if isinstance(deletions, dict) else {}
    sha256s, rewrite = asked.get("sha"), asked.get("rewriteHistory", True)
    if not _are_texts(sha256s) or not isinstance(rewrite, bool):
        raise Invalid("deletions is no object with a list `sha` of SHA-256 and a boolean `rewriteHistory`.")
    rewriting.forget_large_files(
        context.hub(), context.actor(), f"{owner}/{name}", sha256s, rewrite_history=rewrite
    )
    return {"success": True}


@blueprint.post("/api/models/<owner>/<name>/lfs-files/duplicate")
def duplicate(owner: str, name: str) -> dict[str, Any]:
    """Let another repository refer to large files of this one, without sending them again."""
    body = json_body()
    target, files = body.get("target"), body.get("files")
    to = target.get("name") if isinstance(target, dict) and target.get("type", "model") == "model" else None
    wanted = (
        [file.get("sha256") for file in files if isinstance(file, dict)] if isinstance(files, list) else None
    )
    if not isinstance(to, str) or not _are_texts(wanted):
        raise Invalid(
            "Expected a target with type `model` and a name, and a list of files with their sha256."
        )
    with context.hub().database.transaction() as session:
        missing = uploads.lend(session, context.actor(), f"{owner}/{name}", to, wanted)
    return {
        "failed": [{"sha256": sha256, "error": "No large file of this repository."} for sha256 in missing]
    }


def _are_texts(values: object) -> TypeGuard[list[str]]:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)
