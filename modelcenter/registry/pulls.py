"""Pull requests: discussions with commits of their own at `refs/pr/NUM`, which want to become a branch's."""

from __future__ import annotations

import re

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from modelcenter.errors import Invalid, RepositoryNotFound
from modelcenter.registry import activity, discussions, lifecycle, revisions, uploads
from modelcenter.registry.access import Actor, may, require
from modelcenter.registry.revisions import HEADS, REQUESTS
from modelcenter.registry.tables import Commit, Discussion, Ref, Repository

MOST_OPEN = 20  # pull requests of one person, who may not write, in one repository

_REF = re.compile(rf"{REQUESTS}([1-9]\d{{0,8}})")


def ref_name(num: int) -> str:
    """Where the commits of the pull request of that number are."""
    return f"{REQUESTS}{num}"


def behind(session: Session, repository: Repository, ref: str, *, lock: bool = False) -> Discussion | None:
    """The pull request whose commits are at `ref`, if it is one's."""
    match = _REF.fullmatch(ref)
    found = session.get(Discussion, (repository.id, int(match[1]))) if match else None
    if found is None or not found.is_pull_request:
        return None
    return discussions.lock(session, repository, found.num) if lock else found


def require_push(
    session: Session, actor: Actor, repository: Repository, ref: str, *, lock: bool = False
) -> Discussion | None:
    """The pull request at `ref`, None for any other ref, if `actor` may move that: its full name is given.

    Branches are moved by those who may write; a pull request by its author too, until it is merged.
    lock: in a transaction that moves it, before the ref's own row is locked.

    Raises RepositoryNotFound, NotAuthenticated, AccessDenied, Gated, Invalid.
    """
    request = behind(session, repository, ref, lock=lock)
    if request is None or may(actor, "write", repository) or request.author_id != actor.account_id:
        require(actor, "write", repository)
    else:
        uploads.require_sending(actor, repository)
    if request is not None and request.status == "merged":
        raise Invalid(f"Pull request #{request.num} is merged already. Open another.")
    return request


def request(session: Session, actor: Actor, repo_id: str, title: str, description: str) -> Discussion:
    """Opens a pull request against the default branch: a draft, whose commits are still to come.

    Raises RepositoryNotFound, NotHosted, NotAuthenticated, AccessDenied, Gated, Invalid.
    """
    repository = lifecycle.get(session, actor, repo_id)
    uploads.require_sending(actor, repository)
    revisions.require_hosted(repository)
    if not lifecycle.hold(session, repository.id):
        raise RepositoryNotFound(repo_id)
    head = revisions.resolve(session, repository, HEADS + repository.default_branch, as_it_is=True)
    base = HEADS + repository.default_branch
    return begin(session, actor, repository, base, head, title, description, is_draft=True)[0]


def begin(
    session: Session,
    actor: Actor,
    repository: Repository,
    base: str,
    head: Commit,
    title: str,
    description: str,
    *,
    is_draft: bool = False,
) -> tuple[Discussion, Ref]:
    """A pull request that wants `base` (a branch's full name) to have what `head` has, and its ref.

    Asks no rights, but of those who may not write no more than MOST_OPEN are open at once. Raises Invalid.
    """
    if not may(actor, "write", repository):
        _require_few(session, actor, repository)
    discussion = discussions.begin(
        session, actor, repository, title, description, base=base, is_draft=is_draft
    )
    ref = Ref(repository_id=repository.id, name=ref_name(discussion.num), target=head.oid)
    session.add(ref)
    session.flush()
    activity.record(
        session,
        actor,
        "discussion.create",
        repository.repo_id,
        repository,
        num=discussion.num,
        title=discussion.title,
        ref=ref.name,
    )
    return discussion, ref


def _require_few(session: Session, actor: Actor, repository: Repository) -> None:
    own = select(func.count()).where(
        Discussion.repository_id == repository.id,
        Discussion.author_id == actor.account_id,
        Discussion.is_pull_request,
        Discussion.status.in_(discussions.STATUSES["open"]),
    )
    if (session.scalar(own) or 0) >= MOST_OPEN:
        raise Invalid(
            f"{actor.name} has {MOST_OPEN} open pull requests of {repository.repo_id}: that is the most for "
            "somebody who may not write to it. Close one, or wait until one is merged."
        )


def note_commit(session: Session, actor: Actor, discussion: Discussion, commit: Commit) -> None:
    """Writes down in the pull request that `commit` is its head now."""
    discussions.add(session, actor, discussion, "commit", {"oid": commit.oid, "title": commit.title})
