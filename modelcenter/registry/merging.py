"""Merging a pull request: what it changes, what stands against it, and its branch's next commit."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelcenter.errors import Invalid, MergeConflict, RevisionNotFound
from modelcenter.registry import (
    activity,
    differences,
    discussions,
    gitattributes,
    history,
    lifecycle,
    pulls,
    quotas,
)
from modelcenter.registry.access import Actor, require
from modelcenter.registry.blobs.interface import Blob
from modelcenter.registry.commits import move
from modelcenter.registry.contents import Known, known_files
from modelcenter.registry.differences import Difference, Merge
from modelcenter.registry.hub import Hub
from modelcenter.registry.objects import EMPTY_TREE, FILE, Item
from modelcenter.registry.operations import keep_files, store
from modelcenter.registry.revisions import HEADS
from modelcenter.registry.tables import Commit, Discussion, File, Ref, Repository
from modelcenter.registry.trees import Folder

TOLD = 100  # commits that a merge's message names
MOST_BYTES = 1 << 20  # of a `.gitattributes` that is put together


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a pull request stands.

    head: its last commit; target: that of the branch it wants to change, None where the branch has gone;
    fork: the last that both have in common, None where there is none.
    """

    head: Commit
    target: Commit | None
    fork: Commit | None

    @property
    def origin(self) -> str:
        """The tree that the pull request changes."""
        return self.fork.tree if self.fork else EMPTY_TREE


def standing(session: Session, repository: Repository, request: Discussion) -> Standing | None:
    """Where `request` stands: None for a discussion that is no pull request, or whose commits have gone."""
    if not request.is_pull_request:
        return None
    own, base, default = pulls.ref_name(request.num), request.base or "", HEADS + repository.default_branch
    heads = _heads(session, repository, [own, base, default])
    if own not in heads:
        return None
    known = heads.get(base) or heads[default]
    return Standing(heads[own], heads.get(base), history.fork(session, heads[own], known))


def conflicts(hub: Hub, session: Session, repository: Repository, at: Standing) -> tuple[str, ...]:
    """The files that stand against merging."""
    return _merge(hub, session, repository, at, at.target)[0].conflicts if at.target else ()


def changes(session: Session, repository: Repository, at: Standing, *, limit: int) -> list[Difference]:
    """The files that the pull request changes, up to `limit` of them."""
    return differences.between(session, repository.id, at.origin, at.head.tree, limit=limit)


def merge(hub: Hub, session: Session, actor: Actor, repo_id: str, num: int, words: str = "") -> Discussion:
    """Makes what a pull request changes one commit on its branch, and the request `merged`.

    As on the Hub, its commits are squashed: the branch gets one, whose parent is the branch's head, and its
    message names them. What the branch changed since is kept (see differences.merge), and of
    `.gitattributes` the lines that either added.

    Raises RepositoryNotFound, NotAuthenticated, AccessDenied, DiscussionNotFound, RevisionNotFound,
    MergeConflict, QuotaExceeded, and Invalid for what is a draft, closed, merged, empty or no pull request.
    """
    repository = lifecycle.get(session, actor, repo_id)
    require(actor, "write", repository)
    repository, request = discussions.take_part(session, actor, repo_id, num)
    _require_open(request)
    base = request.base or HEADS + repository.default_branch
    # The branch's row is its turn, as for any commit; both stay where they are until this transaction ends.
    rows = {
        ref.name: ref
        for ref in session.scalars(
            select(Ref)
            .where(Ref.repository_id == repository.id, Ref.name.in_([base, pulls.ref_name(num)]))
            .order_by(Ref.name)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
    }
    ref, at = rows.get(base), standing(session, repository, request)
    if ref is None or at is None or at.target is None:
        raise RevisionNotFound(repository.repo_id, base)
    if at.fork is None:
        raise Invalid(
            f"Pull request #{num} and {ref.short_name} have no commit in common, so what it changes "
            f"cannot be told. Propose it again on the head of {ref.short_name}."
        )
    if at.fork.tree == at.head.tree:
        raise Invalid(f"Pull request #{num} changes nothing. Commit to {pulls.ref_name(num)} first.")
    merged, attributes = _merge(hub, session, repository, at, at.target)
    if merged.conflicts:
        raise MergeConflict(num, ref.short_name, merged.conflicts)
    load = history.Loader(session, repository.id)
    load.open(at.target.tree, merged.changes)
    root = Folder(load, at.target.tree)
    changes = dict(merged.changes)
    if attributes is not None:
        stored = store(hub, attributes)
        keep_files(session, actor, repository, [stored])
        changes[gitattributes.NAME] = Item(FILE, stored.oid)
    for path, item in sorted(changes.items()):
        root.remove(path)
        if item is not None:
            root.put(path, item)
    tree, trees = root.write()
    new = at.target
    if tree != at.target.tree:
        new = history.append(
            session,
            repository,
            actor,
            tree,
            trees,
            [at.target],
            title=f"{request.title} (#{num})",
            message=_message(session, actor, at),
        )
        quotas.take_room(session, actor, repository, _brought(session, at.target, tree))
        move(session, ref, at.target, new)
        lifecycle.moved(session, actor, repository, ref, new)
    request.merge_oid = new.oid
    discussions.turn(session, actor, request, "merged", words)
    activity.record(
        session, actor, "discussion.merge", repository.repo_id, repository, num=num, oid=new.oid, ref=ref.name
    )
    return request


def _brought(session: Session, target: Commit, tree: str) -> list[Blob]:
    """The contents that `tree` has beside those of the commit: the branch's now, whoever proposed them."""
    changed = differences.between(session, target.repository_id, target.tree, tree, limit=history.ENTRIES)
    return [Blob(each.after.sha256, each.after.size) for each in changed if each.after]


def _require_open(request: Discussion) -> None:
    if not request.is_pull_request:
        raise Invalid(f"#{request.num} is a discussion: only pull requests are merged.")
    if request.status == "draft":
        raise Invalid(f"Pull request #{request.num} is a draft. Change its status to open first.")
    if request.status != "open":
        raise Invalid(f"Pull request #{request.num} is {request.status}: only open ones are merged.")


def _merge(
    hub: Hub, session: Session, repository: Repository, at: Standing, target: Commit
) -> tuple[Merge, bytes | None]:
    """What the branch takes over, and a `.gitattributes` that both sides added lines to."""
    roots = (at.origin, target.tree, at.head.tree)
    found = differences.merge(session, repository.id, *roots)
    if gitattributes.NAME not in found.conflicts:
        return found, None
    items = [tree.get(gitattributes.NAME) for tree in map(history.Loader(session, repository.id), roots)]
    files = known_files(session, repository.id, (item.oid for item in items if item))
    base, ours, theirs = (_text(hub, files.get(item.oid)) if item else b"" for item in items)
    if base is None or ours is None or theirs is None:
        return found, None
    text = gitattributes.united(base, ours, theirs)
    rest = tuple(path for path in found.conflicts if path != gitattributes.NAME or text is None)
    return replace(found, conflicts=rest), text


def _text(hub: Hub, file: Known | None) -> bytes | None:
    """The text of a small file."""
    if not isinstance(file, File) or file.size > MOST_BYTES:
        return None
    with hub.blobs.open(file.sha256) as stream:
        return stream.read()


def _heads(session: Session, repository: Repository, names: list[str]) -> dict[str, Commit]:
    rows = session.execute(
        select(Ref.name, Commit)
        .join(Commit, (Commit.repository_id == Ref.repository_id) & (Commit.oid == Ref.target))
        .where(Ref.repository_id == repository.id, Ref.name.in_(names))
    )
    return dict(rows.all())


def _message(session: Session, actor: Actor, at: Standing) -> str:
    """The commits that were squashed, and who made them beside the one who merges."""
    commits = history.since(session, at.head, at.target, limit=TOLD)
    lines = [f"- {commit.title} ({commit.oid})" for commit in commits]
    others = dict.fromkeys(commit.author for commit in commits if commit.author_id != actor.account_id)
    trailers = [f"Co-authored-by: {author} <{author}@{history.ADDRESS}>" for author in others]
    return "\n".join([*lines, "", *trailers]).strip()
