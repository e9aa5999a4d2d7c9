"""A commit's page: `/OWNER/NAME/commit/OID`. Who changed which files, when and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import make_response, redirect, render_template, url_for

from hub_web import context
from hub_web.i18n import gettext, ngettext
from hub_web.pages import files, formats, frame, holding
from hub_web.pages.formats import Moment
from hub_web.pages.presenters import Head, head
from modelcenter.registry import history, repositories
from modelcenter.registry.differences import Difference, differences
from modelcenter.registry.tables import Model, Repository

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

SHOWN = 500  # changed files on the page
TONES = {"added": "good", "changed": "quiet", "removed": "bad"}


@dataclass(frozen=True, slots=True)
class Change:
    """A file that the commit changed; a removed one leads to what it was."""

    path: str
    href: str | None
    tone: str
    label: str
    size: str


@dataclass(frozen=True, slots=True)
class Parent:
    """A commit that this one builds on."""

    label: str
    oid: str
    href: str


@dataclass(frozen=True, slots=True)
class CommitView:
    """A commit as its page shows it."""

    head: Head
    oid: str
    title: str
    message: str
    author: str
    at: Moment
    parents: tuple[Parent, ...]
    tree_href: str
    summary: str
    changes: tuple[Change, ...]
    notices: tuple[holding.Notice, ...]


def show(owner: str, name: str, revision: str) -> Response:
    """The page of a commit; a branch, a tag or the beginning of an id leads to it."""
    session = context.session()
    repository = repositories.get(session, context.actor(), f"{owner}/{name}")
    commit = repositories.resolve(session, repository, revision)
    if (repository.repo_id, commit.oid) != (f"{owner}/{name}", revision):
        return redirect(address(repository, commit.oid))
    parents = history.parents(session, commit)
    changed = differences(session, commit, limit=SHOWN + 1)
    shown, more = changed[:SHOWN], len(changed) > SHOWN
    total = formats.number(len(shown)) + ("+" if more else "")
    view = CommitView(
        head=head(repository, session.get(Model, repository.id), commit.oid),
        oid=commit.oid,
        title=commit.title,
        message=commit.message.strip(),
        author=commit.author,
        at=formats.moment(commit.created_at),
        parents=tuple(Parent(files.revision_label(oid), oid, address(repository, oid)) for oid in parents),
        tree_href=url_for("pages.tree", **place(repository, commit.oid)),
        summary=ngettext("%(number)s file", "%(number)s files", len(shown), number=total),
        notices=holding.notices(repository, revision, commit),
        changes=tuple(
            change(repository, commit.oid, parents[0] if parents else None, item) for item in shown
        ),
    )
    return make_response(render_template("commit.html", view=view, page=frame.make(indexed=False)))


def change(repository: Repository, oid: str, parent: str | None, item: Difference) -> Change:
    """A changed file, at the revision that has it."""
    labels = {"added": gettext("added"), "changed": gettext("changed"), "removed": gettext("removed")}
    revision = parent if item.kind == "removed" else oid
    return Change(
        path=item.path,
        href=url_for("pages.blob", **place(repository, revision), path=item.path) if revision else None,
        tone=TONES[item.kind],
        label=labels[item.kind],
        size=formats.size(item.size),
    )


def address(repository: Repository, oid: str) -> str:
    """The page of a commit."""
    return url_for("pages.commit", **place(repository, oid))


def place(repository: Repository, revision: str) -> dict[str, Any]:
    """A revision as addresses name it."""
    return {"owner": repository.namespace, "name": repository.name, "revision": revision}
