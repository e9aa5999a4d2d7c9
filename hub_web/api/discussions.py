"""Discussions and pull requests: said, listed, steered, merged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from flask import Blueprint, request

from hub_web import context
from hub_web.api import shapes
from hub_web.api.body import flag, json_body, number, one_of, string
from hub_web.api.errors import api_blueprint
from modelcenter.errors import DiscussionNotFound, Gated, Invalid
from modelcenter.registry import access, discussions, merging, patches, pulls, repositories
from modelcenter.registry.access import Actor
from modelcenter.registry.differences import Difference
from modelcenter.registry.rendering import Links, rendered
from modelcenter.registry.tables import DiscussionEvent, Repository

KINDS = ("all", "discussion", "pull_request")
PAGES = 1_000_000
COMMENT_ID = 16  # hexadecimal digits at most that are read

blueprint: Blueprint = api_blueprint("discussions")


@blueprint.get("/api/models/<owner>/<name>/discussions")
def listed(owner: str, name: str) -> dict[str, Any]:
    """A page of a model's discussions, newest first."""
    session = context.session()
    repository = repositories.get(session, context.actor(), f"{owner}/{name}")
    kind = one_of("type", request.args.get("type", "all"), KINDS)
    status = one_of("status", request.args.get("status", "all"), tuple(discussions.STATUSES))
    page = discussions.listed(
        session,
        repository,
        kind=cast("discussions.Kind", kind),
        status=cast("discussions.Filter", status),
        author=request.args.get("author") or None,
        page=number("p", 0, PAGES, least=0),
    )
    items = [
        {**shapes.discussion(repository, row), "numComments": page.comments.get(row.num, 0), "pinned": False}
        for row in page.rows
    ]
    return {"discussions": items, "count": page.total, "start": page.start}


@blueprint.post("/api/models/<owner>/<name>/discussions")
def create(owner: str, name: str) -> dict[str, Any]:
    """Open a discussion; with `pullRequest` a draft to commit to, at `refs/pr/NUM`."""
    body = json_body()
    title, description = string(body, "title"), string(body, "description", default="")
    opens = pulls.request if read_flag(body, "pullRequest") else discussions.create
    with context.hub().database.transaction() as session:
        row = opens(session, context.actor(), f"{owner}/{name}", title, description)
        repository = repositories.get(session, context.actor(), f"{owner}/{name}")
        shape = shapes.discussion(repository, row)
    return {**shape, "url": f"{context.address()}/{repository.repo_id}/discussions/{row.num}"}


@blueprint.get("/api/models/<owner>/<name>/discussions/<int:num>")
def details(owner: str, name: str, num: int) -> dict[str, Any]:
    """A discussion with its events; of a pull request what stands against it, and its `diff` if asked."""
    session, actor = context.session(), context.actor()
    repository = repositories.get(session, actor, f"{owner}/{name}")
    found = discussions.find(session, repository, num)
    events = discussions.events(session, found)
    shape = shapes.discussion(repository, found)
    changed: Sequence[Difference] = ()
    at = merging.standing(session, repository, found)
    if found.is_pull_request:
        branch = (found.base or "").removeprefix("refs/heads/")
        shape["changes"] = {"base": branch, "mergeCommitId": found.merge_oid}
        is_open = found.status in discussions.STATUSES["open"]
        shape["filesWithConflicts"] = (
            list(merging.conflicts(context.hub(), session, repository, at)) if at and is_open else []
        )
    if at and flag("diff") and reads_files(actor, repository):
        changed = merging.changes(session, repository, at, limit=patches.MAX_FILES + 1)
    context.release()
    shape["events"] = [event_of(repository, event) for event in events]
    if found.is_pull_request and flag("diff"):
        shape["diff"] = patches.patch(context.hub().blobs, changed)
    return shape


def reads_files(actor: Actor, repository: Repository) -> bool:
    """Whether the caller may see what is in the files."""
    try:
        access.require_files(actor, repository)
    except Gated:
        return False
    return True


@blueprint.post("/api/models/<owner>/<name>/discussions/<int:num>/comment")
def comment(owner: str, name: str, num: int) -> dict[str, Any]:
    """Say something."""
    content = string(json_body(), "comment")
    return acted("newMessage", owner, name, num, discussions.comment, content)


@blueprint.post("/api/models/<owner>/<name>/discussions/<int:num>/comment/<comment_id>/edit")
def edit(owner: str, name: str, num: int, comment_id: str) -> dict[str, Any]:
    """Replace a comment of one's own."""
    content, event_id = string(json_body(), "content"), read_id(owner, name, num, comment_id)
    return acted("updatedComment", owner, name, num, discussions.edit, event_id, content)


@blueprint.post("/api/models/<owner>/<name>/discussions/<int:num>/comment/<comment_id>/hide")
def hide(owner: str, name: str, num: int, comment_id: str) -> dict[str, Any]:
    """Take a comment back for good."""
    event_id = read_id(owner, name, num, comment_id)
    return acted("updatedComment", owner, name, num, discussions.hide, event_id)


@blueprint.post("/api/models/<owner>/<name>/discussions/<int:num>/title")
def rename(owner: str, name: str, num: int) -> dict[str, Any]:
    """Give it another title."""
    return acted("newTitle", owner, name, num, discussions.rename, string(json_body(), "title"))


@blueprint.post("/api/models/<owner>/<name>/discussions/<int:num>/status")
def set_status(owner: str, name: str, num: int) -> dict[str, Any]:
    """Close or open it."""
    body = json_body()
    status = one_of("status", string(body, "status"), ("open", "closed"))
    words = string(body, "comment", default="")
    return acted("newStatus", owner, name, num, discussions.set_status, status, words)


@blueprint.post("/api/models/<owner>/<name>/discussions/<int:num>/merge")
def merge(owner: str, name: str, num: int) -> dict[str, Any]:
    """Make a pull request's changes its branch's."""
    words = string(json_body(), "comment", default="")
    with context.hub().database.transaction() as session:
        row = merging.merge(context.hub(), session, context.actor(), f"{owner}/{name}", num, words)
        return {"status": row.status, "mergeCommitId": row.merge_oid}


def acted(
    answer: str, owner: str, name: str, num: int, verb: Callable[..., DiscussionEvent], *arguments: object
) -> dict[str, Any]:
    """The answer to an act: the event that it left."""
    with context.hub().database.transaction() as session:
        event = verb(session, context.actor(), f"{owner}/{name}", num, *arguments)
        repository = repositories.get(session, context.actor(), f"{owner}/{name}")
    return {answer: event_of(repository, event)}


def event_of(repository: Repository, event: DiscussionEvent) -> dict[str, Any]:
    """An event; the text of a comment also as safe HTML, its links leading into the default branch."""
    html = ""
    if event.kind == "comment":
        html = rendered(event.data["content"], Links(repository.repo_id, repository.default_branch)).html
    return shapes.discussion_event(event, html)


def read_flag(body: dict[str, Any], name: str) -> bool:
    """A true or false of a body."""
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise Invalid(f"{name} is {value!r:.100}; expected true or false.")
    return value


def read_id(owner: str, name: str, num: int, comment_id: str) -> int:
    """The number behind a comment's id. Raises DiscussionNotFound for what never is one."""
    try:
        return int(comment_id.lstrip("0")[:COMMENT_ID] or "0", 16)
    except ValueError:
        raise DiscussionNotFound(f"{owner}/{name}", num, comment_id[:COMMENT_ID]) from None
