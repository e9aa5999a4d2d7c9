"""Files of a revision: `/OWNER/NAME/tree/REV[/path]` and `/OWNER/NAME/blob/REV/path`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from flask import make_response, redirect, render_template, request, url_for
from markupsafe import Markup

from hub_web import context
from hub_web.i18n import gettext
from hub_web.pages import formats, frame, holding, source
from hub_web.pages.formats import Moment
from hub_web.pages.presenters import Head, head
from modelcenter.errors import EntryNotFound, Gated
from modelcenter.registry import access, repositories, revisions
from modelcenter.registry.cards import Links
from modelcenter.registry.tables import Model, Ref, Repository

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

IMAGES = (".gif", ".jpeg", ".jpg", ".png", ".webp")
COMMIT_ID = 40  # hexadecimal digits
SHOWN = 1000  # entries of a folder on one page


@dataclass(frozen=True, slots=True)
class FileRow:
    """A file or folder in a table."""

    name: str
    href: str
    icon: str
    size: str | None = None
    lfs: bool = False
    sha256: str | None = None
    download_href: str | None = None
    commit_title: str | None = None
    changed: Moment | None = None


@dataclass(frozen=True, slots=True)
class Crumb:
    """A step of the path; the last one leads nowhere."""

    label: str
    href: str | None


@dataclass(frozen=True, slots=True)
class RefLink:
    """A branch or tag, with the same path in it."""

    label: str
    href: str
    current: bool


@dataclass(frozen=True, slots=True)
class RefGroup:
    """Branches, or tags."""

    label: str
    refs: tuple[RefLink, ...]


@dataclass(frozen=True, slots=True)
class CommitLine:
    """The commit that a listing is of."""

    oid: str
    href: str
    title: str
    author: str
    at: Moment


@dataclass(frozen=True, slots=True)
class TreeView:
    """A folder as its page shows it."""

    head: Head
    title: str
    revision: str
    revision_label: str
    crumbs: tuple[Crumb, ...]
    refs: tuple[RefGroup, ...]
    commit: CommitLine
    files: tuple[FileRow, ...]
    notices: tuple[holding.Notice, ...] = ()
    next_href: str | None = None


@dataclass(frozen=True, slots=True)
class BlobView:
    """A file as its page shows it: its lines, a picture, or the reason why neither."""

    head: Head
    title: str
    path: str
    revision: str
    revision_label: str
    crumbs: tuple[Crumb, ...]
    refs: tuple[RefGroup, ...]
    size: str
    sha256: str | None
    download_href: str
    lines: tuple[Markup, ...] = ()
    image_href: str | None = None
    reason: str = ""


def tree(owner: str, name: str, revision: str, path: str) -> Response:
    """The page of a folder."""
    session = context.session()
    repository = repositories.get(session, context.actor(), f"{owner}/{name}")
    commit = repositories.resolve(session, repository, revision)
    after = request.args.get("after") or None
    try:
        entries = repositories.tree(
            session, repository, commit, path, expand=True, after=after, limit=SHOWN + 1
        )
    except EntryNotFound:
        repositories.entry(session, repository, commit, path)
        return redirect(url_for("pages.blob", owner=owner, name=name, revision=revision, path=path))
    path = path.strip("/")
    shown = entries[:SHOWN]
    top = head(repository, session.get(Model, repository.id), revision)
    view = TreeView(
        head=top,
        title=f"{top.id}{'/' + path if path else ''} @ {revision_label(revision)}",
        revision=revision,
        revision_label=revision_label(revision),
        crumbs=crumbs(repository, revision, path),
        refs=ref_groups(repository, repositories.refs(session, repository), revision, path),
        commit=CommitLine(
            commit.oid,
            url_for("pages.commit", owner=repository.namespace, name=repository.name, revision=commit.oid),
            commit.title,
            commit.author,
            formats.moment(commit.created_at),
        ),
        files=tuple(file_row(repository, revision, entry) for entry in folders_first(shown)),
        notices=holding.notices(repository, revision, commit),
        next_href=frame.with_query(request.path, [("after", shown[-1].path)])
        if len(entries) > SHOWN
        else None,
    )
    return page("tree.html", view, repository)


def blob(owner: str, name: str, revision: str, path: str) -> Response:
    """The page of a file."""
    session = context.session()
    repository = repositories.get(session, context.actor(), f"{owner}/{name}")
    access.require_files(context.actor(), repository)
    commit = repositories.resolve(session, repository, revision)
    entry = repositories.entry(session, repository, commit, path)
    if entry.kind == "directory":
        return redirect(url_for("pages.tree", owner=owner, name=name, revision=revision, path=path))
    top = head(repository, session.get(Model, repository.id), revision)
    view = BlobView(
        head=top,
        title=f"{top.id}/{path} @ {revision_label(revision)}",
        path=path,
        revision=revision,
        revision_label=revision_label(revision),
        crumbs=crumbs(repository, revision, path),
        refs=ref_groups(repository, repositories.refs(session, repository), revision, path, "pages.blob"),
        size=formats.size(entry.size),
        sha256=entry.sha256 or entry.awaited,
        download_href=Links(repository.repo_id, revision).file(path),
    )
    context.release()
    return page("blob.html", shown_content(view, entry), repository)


def page(template: str, view: TreeView | BlobView, repository: Repository) -> Response:
    """A page of files; search engines need those of the model only."""
    return make_response(render_template(template, view=view, page=frame.make(indexed=False)))


def shown_content(view: BlobView, entry: repositories.Entry) -> BlobView:
    """`view` with what can be shown of the file: small text, or a picture."""
    if PurePosixPath(entry.path).suffix.lower() in IMAGES:
        return replace(view, image_href=view.download_href)
    if entry.size > source.SHOWN or entry.awaited:
        return replace(view, reason=gettext("This file is too large to be shown: download it."))
    with context.hub().blobs.open(entry.sha256 or "") as file:
        text = source.text_of(file.read(source.SHOWN))
    if text is None:
        return replace(view, reason=gettext("This file is not text: download it."))
    if not text:
        return replace(view, reason=gettext("This file is empty."))
    lines = source.lines(text, entry.path)
    return (
        replace(view, lines=lines)
        if lines
        else replace(view, reason=gettext("This file has too many lines to be shown: download it."))
    )


def are_readable(repository: Repository) -> bool:
    """Whether the files of a repository that one may see are one's to read, too."""
    try:
        access.require_files(context.actor(), repository)
    except Gated:
        return False
    return True


def file_row(repository: Repository, revision: str, entry: repositories.Entry) -> FileRow:
    """A row of a table of files."""
    place = {"owner": repository.namespace, "name": repository.name, "revision": revision, "path": entry.path}
    last = entry.last_commit
    is_folder = entry.kind == "directory"
    return FileRow(
        name=entry.name,
        href=url_for("pages.tree" if is_folder else "pages.blob", **dict[str, Any](place)),
        icon="folder" if is_folder else "file",
        size=None if is_folder else formats.size(entry.size),
        lfs=entry.is_lfs,
        sha256=entry.sha256 or entry.awaited,
        download_href=Links(repository.repo_id, revision).file(entry.path)
        if not is_folder and are_readable(repository)
        else None,
        commit_title=last.title if last else None,
        changed=formats.moment(last.created_at) if last else None,
    )


def folders_first(entries: Sequence[repositories.Entry]) -> list[repositories.Entry]:
    """Entries in the order of file managers."""
    return sorted(entries, key=lambda entry: (entry.kind == "file", entry.name.casefold()))


def largest_first(entries: Sequence[repositories.Entry]) -> list[repositories.Entry]:
    """Entries with the weights before the small files."""
    return sorted(entries, key=lambda entry: (-entry.size, entry.name.casefold()))


def crumbs(repository: Repository, revision: str, path: str) -> tuple[Crumb, ...]:
    """The way from the root to `path`."""
    place = {"owner": repository.namespace, "name": repository.name, "revision": revision}
    parts = path.split("/") if path else []
    steps = [Crumb(repository.name, url_for("pages.tree", **dict[str, Any](place)) if parts else None)]
    for index, label in enumerate(parts):
        href = url_for("pages.tree", **dict[str, Any](place), path="/".join(parts[: index + 1]))
        steps.append(Crumb(label, href if index < len(parts) - 1 else None))
    return tuple(steps)


def ref_groups(
    repository: Repository, refs: Sequence[Ref], revision: str, path: str, endpoint: str = "pages.tree"
) -> tuple[RefGroup, ...]:
    """Branches and tags, each leading to the same path."""
    groups = []
    for prefix, label in ((revisions.HEADS, gettext("Branches")), (revisions.TAGS, gettext("Tags"))):
        links = tuple(
            RefLink(
                ref.short_name,
                url_for(
                    endpoint,
                    owner=repository.namespace,
                    name=repository.name,
                    revision=ref.short_name,
                    path=path,
                ),
                revision in (ref.short_name, ref.name),
            )
            for ref in refs
            if ref.name.startswith(prefix)
        )
        if links:
            groups.append(RefGroup(label, links))
    return tuple(groups)


def revision_label(revision: str) -> str:
    """A revision as people call it: commit ids are cut."""
    return revision[:8] if len(revision) == COMMIT_ID else revision.removeprefix(revisions.HEADS)
