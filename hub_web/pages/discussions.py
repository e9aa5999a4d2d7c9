"""A model's discussions and pull requests: `/OWNER/NAME/discussions` and `…/NUM`. To be read; tokens act."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import make_response, redirect, render_template, request, url_for
from flask_babel import lazy_gettext
from markupsafe import Markup

from hub_web import context
from hub_web.i18n import gettext, ngettext
from hub_web.pages import card, commits, formats, frame
from hub_web.pages.files import revision_label
from hub_web.pages.formats import Moment
from hub_web.pages.presenters import Badge, Head, head
from modelcenter.registry import discussions, merging, pulls, repositories
from modelcenter.registry.rendering import Links
from modelcenter.registry.tables import Discussion, DiscussionEvent, Model, Repository

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

SHOWN = 200  # changed files on the page
SHOWN_EVENTS = 500
LAST_PAGE = 1_000_000
# status: (tone, icon, label)
STATUSES = {
    "open": ("good", "branch", lazy_gettext("Open")),
    "draft": ("quiet", "branch", lazy_gettext("Draft")),
    "merged": ("good", "check", lazy_gettext("Merged")),
    "closed": ("quiet", "cross", lazy_gettext("Closed")),
}
FILTERS: dict[discussions.Filter, object] = {  # of lazy texts
    "open": lazy_gettext("Open"),
    "closed": lazy_gettext("Closed"),
    "all": lazy_gettext("All"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """A discussion in the list."""

    num: int
    title: str
    href: str
    badge: Badge
    kind: str
    author: str
    at: Moment
    comments: str


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the lists there are, or of its pages."""

    label: str
    href: str
    current: bool = False


@dataclass(frozen=True, slots=True)
class ListView:
    """A page of the list."""

    head: Head
    filters: tuple[Choice, ...]
    rows: tuple[Row, ...]
    total: str
    newer: str | None
    older: str | None


@dataclass(frozen=True, slots=True)
class Event:
    """Something said (`html`) or done (`sentence`, of a commit with its address)."""

    author: str
    at: Moment
    html: Markup | None
    edited: bool
    sentence: str
    href: str | None
    anchor: str


@dataclass(frozen=True, slots=True)
class DiscussionView:
    """A discussion as its page shows it; `ref` and what follows are of pull requests alone."""

    head: Head
    num: int
    title: str
    badge: Badge
    author: str
    at: Moment
    events: tuple[Event, ...]
    more_events: int
    ref: str | None
    branch: str
    merge_href: str | None
    merge_label: str
    conflicts: tuple[str, ...]
    changes: tuple[commits.Change, ...]
    summary: str
    list_href: str


def index(owner: str, name: str) -> Response:
    """The discussions of a model, the open ones unless others are asked for."""
    session = context.session()
    repository = repositories.get(session, context.actor(), f"{owner}/{name}")
    asked = request.args.get("status", "open")
    status: discussions.Filter = next((known for known in FILTERS if known == asked), "open")
    given = request.args.get("p", "")
    number = min(int(given[:7]), LAST_PAGE) if given.isascii() and given.isdecimal() else 0
    page = discussions.listed(session, repository, status=status, page=number)
    more = page.start + len(page.rows) < page.total
    view = ListView(
        head=head(repository, session.get(Model, repository.id), repository.default_branch),
        filters=tuple(
            Choice(str(label), listing(repository, known), known == status)
            for known, label in FILTERS.items()
        ),
        rows=tuple(row(repository, found, page.comments.get(found.num, 0)) for found in page.rows),
        total=formats.number(page.total),
        newer=listing(repository, status, number - 1) if number else None,
        older=listing(repository, status, number + 1) if more else None,
    )
    parameters = [(key, value) for key in ("status", "p") if (value := request.args.get(key))]
    shown = frame.make(indexed=not repository.private and not parameters, parameters=parameters)
    return make_response(render_template("discussions.html", view=view, page=shown))


def show(owner: str, name: str, num: int) -> Response:
    """The page of a discussion."""
    session = context.session()
    repository = repositories.get(session, context.actor(), f"{owner}/{name}")
    found = discussions.find(session, repository, num)
    if repository.repo_id != f"{owner}/{name}":
        return redirect(address(repository, num))
    events = discussions.events(session, found)
    at = merging.standing(session, repository, found)
    changed = merging.changes(session, repository, at, limit=SHOWN + 1) if at else []
    count = formats.number(len(changed[:SHOWN])) + ("+" if len(changed) > SHOWN else "")
    is_open = found.status in discussions.STATUSES["open"]
    before = at.fork.oid if at and at.fork else None
    view = DiscussionView(
        head=head(repository, session.get(Model, repository.id), repository.default_branch),
        num=num,
        title=found.title,
        badge=badge(found),
        author=found.author,
        at=formats.moment(found.created_at),
        events=tuple(event_view(repository, event) for event in events[:SHOWN_EVENTS]),
        more_events=max(0, len(events) - SHOWN_EVENTS),
        ref=pulls.ref_name(num) if found.is_pull_request else None,
        branch=(found.base or "").removeprefix("refs/heads/"),
        merge_href=commits.address(repository, found.merge_oid) if found.merge_oid else None,
        merge_label=revision_label(found.merge_oid) if found.merge_oid else "",
        conflicts=merging.conflicts(context.hub(), session, repository, at) if at and is_open else (),
        changes=tuple(
            commits.change(repository, at.head.oid, before, item) for item in changed[:SHOWN] if at
        ),
        summary=ngettext("%(number)s file", "%(number)s files", len(changed[:SHOWN]), number=count),
        list_href=listing(repository),
    )
    page = frame.make(indexed=not repository.private)
    return make_response(render_template("discussion.html", view=view, page=page))


def row(repository: Repository, found: Discussion, comments: int) -> Row:
    """The list's row of a discussion."""
    return Row(
        num=found.num,
        title=found.title,
        href=address(repository, found.num),
        badge=badge(found),
        kind=gettext("Pull request") if found.is_pull_request else gettext("Discussion"),
        author=found.author,
        at=formats.moment(found.created_at),
        comments=ngettext(
            "%(number)s comment", "%(number)s comments", comments, number=formats.number(comments)
        ),
    )


def badge(found: Discussion) -> Badge:
    """Whether it is open."""
    tone, icon, label = STATUSES[found.status]
    if not found.is_pull_request and found.status == "open":
        icon = "question"
    return Badge(tone, icon, str(label))


def event_view(repository: Repository, event: DiscussionEvent) -> Event:
    """An event as the page shows it: comments through the card's renderer, which lets nothing act."""
    data = event.data
    html, sentence, href = None, "", None
    if event.kind == "comment" and not data["hidden"]:
        links = Links(repository.repo_id, repository.default_branch)
        html = card.fitted(data["content"], links)
    elif event.kind == "comment":
        sentence = gettext("This comment was hidden.")
    elif event.kind == "commit":
        sentence = gettext("committed “%(title)s”", title=data["title"])
        href = commits.address(repository, data["oid"])
    elif event.kind == "title-change":
        sentence = gettext("changed the title from “%(old)s”", old=data["from"])
    else:
        sentence = {
            "open": gettext("opened this"),
            "closed": gettext("closed this"),
            "merged": gettext("merged this"),
        }[data["status"]]
    return Event(
        author=event.author,
        at=formats.moment(event.created_at),
        html=html,
        edited=bool(data.get("edits")),
        sentence=sentence,
        href=href,
        anchor=f"event-{event.id:x}",
    )


def address(repository: Repository, num: int) -> str:
    """The page of a discussion."""
    return url_for("pages.discussion", owner=repository.namespace, name=repository.name, num=num)


def listing(repository: Repository, status: str = "open", page: int = 0) -> str:
    """The list of a model's discussions."""
    return url_for(
        "pages.discussions",
        owner=repository.namespace,
        name=repository.name,
        status=None if status == "open" else status,
        p=page or None,
    )
