"""Discussions of a repository: what people say of it. Pull requests share their numbers; see `pulls`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from modelcenter.errors import AccessDenied, DiscussionNotFound, Invalid, RepositoryNotFound
from modelcenter.registry import activity, lifecycle
from modelcenter.registry.access import Actor, may, require
from modelcenter.registry.tables import (
    Discussion,
    DiscussionEvent,
    DiscussionStatus,
    EventKind,
    Repository,
    now,
)
from modelcenter.registry.texts import storable

MAX_TITLE, MAX_COMMENT = 500, 65_536  # characters
MAX_EDITS = 100  # of one comment, all of which are kept
PAGE = 50

Kind = Literal["all", "discussion", "pull_request"]
Filter = Literal["all", "open", "closed"]
# A draft is open and what is merged is closed to those who look for either.
STATUSES: dict[Filter, tuple[DiscussionStatus, ...]] = {
    "all": ("draft", "open", "closed", "merged"),
    "open": ("draft", "open"),
    "closed": ("closed", "merged"),
}


@dataclass(frozen=True, slots=True)
class Page:
    """Some discussions of a repository, newest first, of `total` that fit; comments: how many, by number."""

    rows: Sequence[Discussion]
    comments: dict[int, int]
    start: int
    total: int


def listed(
    session: Session,
    repository: Repository,
    *,
    kind: Kind = "all",
    status: Filter = "all",
    author: str | None = None,
    page: int = 0,
    per_page: int = PAGE,
) -> Page:
    """A page of the discussions of `repository`, counted from 0. author: whose, by name."""
    wanted = [Discussion.repository_id == repository.id, Discussion.status.in_(STATUSES[status])]
    if kind != "all":
        wanted.append(Discussion.is_pull_request.is_(kind == "pull_request"))
    if author is not None:
        wanted.append(func.lower(Discussion.author) == author.lower())
    rows = session.scalars(
        select(Discussion)
        .where(*wanted)
        .order_by(Discussion.num.desc())
        .offset(page * per_page)
        .limit(per_page)
    ).all()
    total = session.scalar(select(func.count()).select_from(Discussion).where(*wanted)) or 0
    counts = session.execute(
        select(DiscussionEvent.num, func.count())
        .where(
            DiscussionEvent.repository_id == repository.id,
            DiscussionEvent.num.in_([row.num for row in rows]),
            DiscussionEvent.kind == "comment",
        )
        .group_by(DiscussionEvent.num)
    )
    return Page(rows, dict(counts.all()), page * per_page, total)


def find(session: Session, repository: Repository, num: int) -> Discussion:
    """The discussion or pull request of that number. Raises DiscussionNotFound."""
    found = session.get(Discussion, (repository.id, num)) if 0 < num < 2**31 else None
    if found is None:
        raise DiscussionNotFound(repository.repo_id, num)
    return found


def events(session: Session, discussion: Discussion) -> list[DiscussionEvent]:
    """What was said and done in it, in order."""
    mine = (DiscussionEvent.repository_id == discussion.repository_id) & (
        DiscussionEvent.num == discussion.num
    )
    return list(session.scalars(select(DiscussionEvent).where(mine).order_by(DiscussionEvent.id)))


def create(session: Session, actor: Actor, repo_id: str, title: str, description: str) -> Discussion:
    """Opens a discussion whose first comment is `description`.

    Raises RepositoryNotFound, NotAuthenticated, AccessDenied, Invalid.
    """
    repository = lifecycle.get(session, actor, repo_id)
    require(actor, "propose", repository)
    discussion = begin(session, actor, repository, title, description)
    activity.record(
        session,
        actor,
        "discussion.create",
        repository.repo_id,
        repository,
        num=discussion.num,
        title=discussion.title,
    )
    return discussion


def comment(session: Session, actor: Actor, repo_id: str, num: int, content: str) -> DiscussionEvent:
    """Says something in a discussion, open or not. Raises as `create`, and DiscussionNotFound."""
    repository, discussion = take_part(session, actor, repo_id, num)
    said = say(session, actor, discussion, content)
    _record(session, actor, "comment", repository, discussion)
    return said


def edit(
    session: Session, actor: Actor, repo_id: str, num: int, event_id: int, content: str
) -> DiscussionEvent:
    """Replaces what one said; what it was before is kept. Raises as `comment`."""
    repository, discussion = take_part(session, actor, repo_id, num)
    event = _comment(session, repository, discussion, event_id)
    if event.author_id != actor.account_id:
        raise AccessDenied(f"This comment is {event.author}'s: only they may edit it.")
    if event.data["hidden"]:
        raise Invalid("This comment is hidden and cannot be edited any more.")
    edits = event.data["edits"]
    if len(edits) >= MAX_EDITS:
        raise Invalid(f"This comment was edited {MAX_EDITS} times. Write another.")
    before = {"at": _stamp(event), "content": event.data["content"]}
    # A new value, not a changed one: only that is written.
    event.data = {
        **event.data,
        "content": _content(content),
        "edits": [*edits, before],
        "edited_at": now().isoformat(),
    }
    _record(session, actor, "edit", repository, discussion)
    return event


def hide(session: Session, actor: Actor, repo_id: str, num: int, event_id: int) -> DiscussionEvent:
    """Takes back a comment for good: its author, or who may write. Nothing of its text is kept."""
    repository, discussion = take_part(session, actor, repo_id, num)
    event = _comment(session, repository, discussion, event_id)
    if event.author_id != actor.account_id and not may(actor, "write", repository):
        raise AccessDenied(f"This comment is {event.author}'s: they and those who may write hide it.")
    event.data = {"content": "", "hidden": True, "edits": []}
    _record(session, actor, "hide", repository, discussion)
    return event


def rename(session: Session, actor: Actor, repo_id: str, num: int, title: str) -> DiscussionEvent:
    """Gives it another title: its author, or who may write."""
    repository, discussion = take_part(session, actor, repo_id, num)
    _require_steering(actor, repository, discussion)
    before, discussion.title = discussion.title, _title(title)
    event = add(session, actor, discussion, "title-change", {"from": before, "to": discussion.title})
    _record(session, actor, "title", repository, discussion)
    return event


def set_status(
    session: Session,
    actor: Actor,
    repo_id: str,
    num: int,
    status: Literal["open", "closed"],
    words: str = "",
) -> DiscussionEvent:
    """Closes or opens it, with a comment where there are `words`: its author, or who may write.

    A draft is opened so for review; what is merged stays merged. Raises Invalid where nothing would change.
    """
    repository, discussion = take_part(session, actor, repo_id, num)
    _require_steering(actor, repository, discussion)
    if discussion.status in (status, "merged"):
        raise Invalid(f"#{num} is {discussion.status} already.")
    event = turn(session, actor, discussion, status, words)
    _record(session, actor, "status", repository, discussion)
    return event


def begin(
    session: Session,
    actor: Actor,
    repository: Repository,
    title: str,
    description: str,
    *,
    base: str | None = None,
    is_draft: bool = False,
) -> Discussion:
    """The row of a new discussion and its first comment; a pull request where there is a `base`.

    Its number is one more than the last, whoever opens another at the same time. Asks no rights.
    """
    if lifecycle.lock(session, repository.id) is None:
        raise RepositoryNotFound(repository.repo_id)
    last = session.scalar(select(func.max(Discussion.num)).where(Discussion.repository_id == repository.id))
    discussion = Discussion(
        repository_id=repository.id,
        num=(last or 0) + 1,
        title=_title(title),
        status="draft" if is_draft else "open",
        is_pull_request=base is not None,
        author_id=actor.account_id,
        author=actor.name,
        base=base,
    )
    session.add(discussion)
    session.flush()
    say(session, actor, discussion, description or discussion.title)
    return discussion


def take_part(session: Session, actor: Actor, repo_id: str, num: int) -> tuple[Repository, Discussion]:
    """A repository and its discussion, this transaction's alone to change until it ends."""
    repository = lifecycle.get(session, actor, repo_id)
    require(actor, "propose", repository)
    if not lifecycle.hold(session, repository.id):
        raise RepositoryNotFound(repo_id)
    return repository, lock(session, repository, num)


def lock(session: Session, repository: Repository, num: int) -> Discussion:
    """The discussion, locked. Who locks refs too takes it first. Raises DiscussionNotFound."""
    find(session, repository, num)
    return session.scalars(
        select(Discussion)
        .where(Discussion.repository_id == repository.id, Discussion.num == num)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).one()


def say(session: Session, actor: Actor, discussion: Discussion, content: str) -> DiscussionEvent:
    """Adds a comment. Asks no rights."""
    data = {"content": _content(content), "hidden": False, "edits": []}
    return add(session, actor, discussion, "comment", data)


def turn(
    session: Session, actor: Actor, discussion: Discussion, status: DiscussionStatus, words: str = ""
) -> DiscussionEvent:
    """Changes the status, after a comment where there are `words`. Asks no rights."""
    if words.strip():
        say(session, actor, discussion, words)
    discussion.status = status
    return add(session, actor, discussion, "status-change", {"status": status})


def add(
    session: Session, actor: Actor, discussion: Discussion, kind: EventKind, data: dict[str, Any]
) -> DiscussionEvent:
    """Writes down what was said or done."""
    moment = now()
    event = DiscussionEvent(
        repository_id=discussion.repository_id,
        num=discussion.num,
        kind=kind,
        author_id=actor.account_id,
        author=actor.name,
        created_at=moment,
        data=data,
    )
    discussion.updated_at = moment
    session.add(event)
    session.flush()
    return event


def _comment(
    session: Session, repository: Repository, discussion: Discussion, event_id: int
) -> DiscussionEvent:
    event = session.get(DiscussionEvent, event_id) if 0 < event_id < 2**63 else None
    if (
        event is None
        or event.kind != "comment"
        or (event.repository_id, event.num) != (discussion.repository_id, discussion.num)
    ):
        raise DiscussionNotFound(repository.repo_id, discussion.num, f"{event_id:x}")
    return event


def _require_steering(actor: Actor, repository: Repository, discussion: Discussion) -> None:
    if discussion.author_id != actor.account_id and not may(actor, "write", repository):
        raise AccessDenied(
            f"#{discussion.num} is {discussion.author}'s: they and those who may write to "
            f"{repository.repo_id} change its title and status."
        )


def _record(session: Session, actor: Actor, act: str, repository: Repository, discussion: Discussion) -> None:
    activity.record(session, actor, f"discussion.{act}", repository.repo_id, repository, num=discussion.num)


def _stamp(event: DiscussionEvent) -> str:
    """When the comment got its present text."""
    return str(event.data.get("edited_at") or event.created_at.isoformat())


def _title(title: str) -> str:
    """A title of one line that is neither empty nor endless."""
    line = " ".join(storable(title).split())
    if not line:
        raise Invalid("A discussion needs a title: say in a line what it is about.")
    if len(line) > MAX_TITLE:
        raise Invalid(f"The title has {len(line)} characters; expected at most {MAX_TITLE}.")
    return line


def _content(content: str) -> str:
    text = storable(content).strip()
    if not text:
        raise Invalid("The comment is empty.")
    if len(text) > MAX_COMMENT:
        raise Invalid(f"The comment has {len(text)} characters; expected at most {MAX_COMMENT}.")
    return text
