"""Merging a pull request: what it changes, what stands against it, and its branch's next commit."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelcenter.errors import Invalid, MergeConflict, RevisionNotFound
from modelcenter.registry import activity, differences, discussions, history, lifecycle, pulls
from modelcenter.registry.access import Actor, require
from modelcenter.registry.commits import move
from modelcenter.registry.differences import Difference, Merge
from modelcenter.registry.objects import EMPTY_TREE
from modelcenter.registry.revisions import HEADS
from modelcenter.registry.tables import Commit, Discussion, Ref, Repository
from modelcenter.registry.trees import Folder

TOLD = 100  # commits that a merge's message names


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


def conflicts(session: Session, repository: Repository, at: Standing) -> tuple[str, ...]:
    """The files that stand against merging."""
    return _merge(session, repository, at, at.target).conflicts if at.target else ()


def changes(session: Session, repository: Repository, at: Standing, *, limit: int) -> list[Difference]:
    """The files that the pull request changes, up to `limit` of them."""
    return differences.between(session, repository.id, at.origin, at.head.tree, limit=limit)


def merge(session: Session, actor: Actor, repo_id: str, num: int, words: str = "") -> Discussion:
    """Makes what a pull request changes one commit on its branch, and the request `merged`.

    As on the Hub, its commits are squashed: the branch gets one, whose parent is the branch's head, and its
    message names them. What the branch changed since is kept (see differences.merge).

    Raises RepositoryNotFound, NotAuthenticated, AccessDenied, DiscussionNotFound, RevisionNotFound,
    MergeConflict, and Invalid for what is a draft, closed, merged, empty or no pull request.
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
    merged = _merge(session, repository, at, at.target)
    if merged.conflicts:
        raise MergeConflict(num, ref.short_name, merged.conflicts)
    load = history.Loader(session, repository.id)
    load.open(at.target.tree, merged.changes)
    root = Folder(load, at.target.tree)
    for path, item in sorted(merged.changes.items()):
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
        move(session, ref, at.target, new)
        lifecycle.moved(session, actor, repository, ref, new)
    request.merge_oid = new.oid
    discussions.turn(session, actor, request, "merged", words)
    activity.record(
        session, actor, "discussion.merge", repository.repo_id, repository, num=num, oid=new.oid, ref=ref.name
    )
    return request


def _require_open(request: Discussion) -> None:
    if not request.is_pull_request:
        raise Invalid(f"#{request.num} is a discussion: only pull requests are merged.")
    if request.status == "draft":
        raise Invalid(f"Pull request #{request.num} is a draft. Change its status to open first.")
    if request.status != "open":
        raise Invalid(f"Pull request #{request.num} is {request.status}: only open ones are merged.")


def _merge(session: Session, repository: Repository, at: Standing, target: Commit) -> Merge:
    return differences.merge(session, repository.id, at.origin, target.tree, at.head.tree)


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
