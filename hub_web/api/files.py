"""Files: listed, looked up, and their content."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify, request

from hub_web import context
from hub_web.api import paging, shapes
from hub_web.api.body import flag, json_body, number, require_storable
from hub_web.api.errors import api_blueprint
from hub_web.api.streaming import content_response
from hub_web.ledger import ledger
from modelcenter.errors import EntryNotFound, Invalid
from modelcenter.registry import access, fsck, pulling, repositories, withdrawals
from modelcenter.registry.tables import Commit, Repository

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
    repository = readable(owner, name, revision)
    commit = resolved(repository, revision)
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
        body = json_body()
        wanted, expand = body.get("paths", []), bool(body.get("expand"))
    else:
        wanted, expand = request.form.getlist("paths"), flag("expand", of=request.form)
        require_storable(wanted)
    wanted = [wanted] if isinstance(wanted, str) else wanted
    if not isinstance(wanted, list) or not all(isinstance(path, str) for path in wanted):
        raise Invalid("paths is no list of paths.")
    if len(wanted) > PATHS:
        raise Invalid(f"paths has {len(wanted)} paths; expected at most {PATHS}.")
    session = context.session()
    repository = readable(owner, name, revision)
    commit = resolved(repository, revision)
    entries = repositories.paths(session, repository, commit, wanted, expand=expand)
    return jsonify([shapes.entry(entry) for entry in entries])


def readable(owner: str, name: str, revision: str | None = None) -> Repository:
    """The repository, if the caller may read its files; brought from the upstream, where there is one."""
    pulling.look(context.hub(), f"{owner}/{name}", revision)
    repository = repositories.get(context.session(), context.actor(), f"{owner}/{name}")
    access.require_files(context.actor(), repository)
    return repository


def resolved(repository: Repository, revision: str) -> Commit:
    """The commit that a revision means; who names a withdrawn one by its id is warned."""
    session = context.session()
    commit = repositories.resolve(session, repository, revision)
    if commit.oid.startswith(revision.lower()) and (withdrawal := withdrawals.of(session, commit)):
        what = f"{commit.oid[:12]} of {repository.repo_id}"
        context.warn("withdrawn", f"{what} was withdrawn by its owners: {withdrawal.reason}")
    return commit


@blueprint.get("/<owner>/<name>/resolve/<revision:revision>/<path:path>")
def resolve(owner: str, name: str, revision: str, path: str) -> Response:
    """The content of a file, whole or in ranges. HEAD: what is known of it."""
    hub, session = context.hub(), context.session()
    repository = readable(owner, name, revision)
    commit = resolved(repository, revision)
    entry = repositories.entry(session, repository, commit, path)
    sha256 = entry.sha256
    if entry.kind == "directory":
        raise EntryNotFound(repository.repo_id, revision, path, commit.oid)
    context.release()
    head: dict[str, Any] = {"X-Repo-Commit": commit.oid}
    if entry.is_lfs:
        head |= {"X-Linked-Etag": f'"{entry.etag}"', "X-Linked-Size": str(entry.size)}
    response = content_response(
        # What has not come from the upstream comes now, and is hashed on its way.
        lambda: fsck.opened(hub, sha256) if sha256 else pulling.opened(hub, repository, entry.oid).file(),
        size=entry.size,
        etag=entry.etag,
        name=path,
        head=head,
        sha256=sha256,
        # A small file comes sooner from here than from another address.
        link=lambda kind, shown: fsck.linked(hub, sha256, kind, shown) if entry.is_lfs and sha256 else None,
        damaged=lambda sha256: fsck.suspect(hub, sha256),
    )
    # A download is counted where it begins; what continues one is part of it.
    begins = request.headers.get("Range", "bytes=0-").startswith("bytes=0-")
    if request.method == "GET" and response.status_code in (200, 206, 302) and begins:
        ledger().sent(repository.id, path)
    return response
