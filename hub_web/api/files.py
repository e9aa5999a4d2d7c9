"""Files: listed, looked up, and their content."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify, request

from hub_web import context
from hub_web.api import paging, shapes
from hub_web.api.body import flag, number
from hub_web.api.errors import api_blueprint
from hub_web.api.streaming import content_response
from hub_web.ledger import ledger
from modelcenter.errors import EntryNotFound, Invalid
from modelcenter.registry import access, repositories
from modelcenter.registry.tables import Repository

PAGE, PAGE_EXPANDED, MOST = 1000, 50, 10_000  # entries of a tree
PATHS = 2000  # in one lookup; clients send up to a thousand

blueprint: Blueprint = api_blueprint("files")


@blueprint.get("/api/models/<owner>/<name>/tree/<revision:revision>")
@blueprint.get("/api/models/<owner>/<name>/tree/<revision:revision>/<path:path>")
def tree(owner: str, name: str, revision: str, path: str = "") -> Response:
    """The entries of a folder, a page at a time."""
    expand = flag("expand")
    limit = number("limit", PAGE_EXPANDED if expand else PAGE, MOST)
    after = paging.cursor()
    if after is not None and not isinstance(after, str):
        raise Invalid("The cursor is none of this hub's. Start from the first page.")
    session = context.session()
    repository = readable(owner, name)
    commit = repositories.resolve(session, repository, revision)
    entries = repositories.tree(
        session,
        repository,
        commit,
        path,
        recursive=flag("recursive"),
        expand=expand,
        after=after,
        limit=limit + 1,
    )
    page = entries[:limit]
    return paging.page(
        [shapes.entry(entry) for entry in page], page[-1].path if len(entries) > limit else None
    )


@blueprint.post("/api/models/<owner>/<name>/paths-info/<revision:revision>")
def paths_info(owner: str, name: str, revision: str) -> Response:
    """The entries at these paths; what does not exist is left out."""
    if request.is_json:
        body = request.get_json()
        wanted = body.get("paths", []) if isinstance(body, dict) else None
        expand = bool(body.get("expand")) if isinstance(body, dict) else False
    else:
        wanted, expand = request.form.getlist("paths"), flag("expand", of=request.form)
    wanted = [wanted] if isinstance(wanted, str) else wanted
    if not isinstance(wanted, list) or not all(isinstance(path, str) for path in wanted):
        raise Invalid("paths is no list of paths.")
    if len(wanted) > PATHS:
        raise Invalid(f"paths has {len(wanted)} paths; expected at most {PATHS}.")
    session = context.session()
    repository = readable(owner, name)
    commit = repositories.resolve(session, repository, revision)
    entries = repositories.paths(session, repository, commit, wanted, expand=expand)
    return jsonify([shapes.entry(entry) for entry in entries])


def readable(owner: str, name: str) -> Repository:
    """The repository, if the caller may read its files."""
    repository = repositories.get(context.session(), context.actor(), f"{owner}/{name}")
    access.require_files(context.actor(), repository)
    return repository


@blueprint.get("/<owner>/<name>/resolve/<revision:revision>/<path:path>")
def resolve(owner: str, name: str, revision: str, path: str) -> Response:
    """The content of a file, whole or in ranges. HEAD: what is known of it."""
    hub, session = context.hub(), context.session()
    repository = readable(owner, name)
    commit = repositories.resolve(session, repository, revision)
    entry = repositories.entry(session, repository, commit, path)
    sha256 = entry.sha256
    if sha256 is None:
        raise EntryNotFound(repository.repo_id, revision, path, commit.oid)
    context.release()
    head: dict[str, Any] = {"X-Repo-Commit": commit.oid}
    if entry.is_lfs:
        head |= {"X-Linked-Etag": f'"{entry.etag}"', "X-Linked-Size": str(entry.size)}
    response = content_response(
        lambda: hub.blobs.open(sha256), size=entry.size, etag=entry.etag, name=path, head=head
    )
    # A download is counted where it begins; what continues one is part of it.
    if request.method == "GET" and (
        response.status_code == 200 or response.headers.get("Content-Range", "").startswith("bytes 0-")
    ):
        ledger().downloaded(repository.id, path)
    return response
