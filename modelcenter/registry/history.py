"""Commits: adding one, walking back from one, the last that touched a path. Knows no rights."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import CTE, func, literal, select
from sqlalchemy.orm import Session, aliased

from modelcenter.registry import objects
from modelcenter.registry.access import Actor
from modelcenter.registry.database import insert_missing
from modelcenter.registry.objects import EMPTY_TREE, Encoded
from modelcenter.registry.tables import Change, Commit, CommitParent, Repository, now
from modelcenter.registry.trees import Load, changed_paths

ADDRESS = "users.noreply.modelcenter"


def identity(actor: Actor) -> str:
    """`actor` as Git writes authors. Addresses of people are nobody's business."""
    return f"{actor.name} <{actor.name}@{ADDRESS}>"


def append(
    session: Session,
    repository: Repository,
    actor: Actor,
    tree: str,
    trees: Collection[Encoded],
    parents: Sequence[Commit],
    *,
    title: str,
    message: str = "",
) -> Commit:
    """Adds a commit of `tree`, whose new parts are `trees`, and the index of its changes. Moves no ref."""
    moment = now().replace(microsecond=0)
    text = f"{title}\n\n{message}" if message else title
    encoded = objects.encode_commit(tree, [parent.oid for parent in parents], identity(actor), moment, text)
    objects.keep(session, repository.id, [*trees, encoded])
    generation = 1 + max((parent.generation for parent in parents), default=0)
    # All of it may be there already: the same act on the same parent, within a second, on another branch.
    row = {
        "repository_id": repository.id,
        "oid": encoded.oid,
        "tree": tree,
        "generation": generation,
        "author_id": actor.account_id,
        "author": actor.name,
        "title": title,
        "message": message,
        "created_at": moment,
    }
    insert_missing(session, Commit, [row])
    links = [
        {"repository_id": repository.id, "oid": encoded.oid, "position": position, "parent": parent.oid}
        for position, parent in enumerate(parents)
    ]
    insert_missing(session, CommitParent, links)
    load = loader(session, repository.id, trees)
    changes = changed_paths(load, parents[0].tree if parents else EMPTY_TREE, tree)
    rows = [
        {"repository_id": repository.id, "folder": folder, "name": name, "oid": encoded.oid}
        for folder, name in changes
    ]
    insert_missing(session, Change, rows)
    return session.get_one(Commit, (repository.id, encoded.oid))


def loader(session: Session, repository_id: int, new: Collection[Encoded] = ()) -> Load:
    """Reads trees of the repository, each once; those in `new` need not be kept yet."""
    known = {encoded.oid: objects.decode_tree(encoded.data) for encoded in new if encoded.kind == "tree"}

    def load(oid: str) -> objects.Items:
        if oid not in known:
            known.update(objects.trees(session, repository_id, [oid]))
        return known[oid]

    return load


def ancestors(repository_id: int, oid: str) -> CTE:
    """The ids of a commit and of all before it."""
    found = select(literal(oid).label("oid")).cte("ancestors", recursive=True)
    return found.union(
        select(CommitParent.parent).where(
            CommitParent.repository_id == repository_id, CommitParent.oid == found.c.oid
        )
    )


def log(session: Session, commit: Commit, *, offset: int = 0, limit: int = 50) -> tuple[list[Commit], int]:
    """One page of `commit` and those before it, newest first, and how many there are in all."""
    before = ancestors(commit.repository_id, commit.oid)
    mine = (Commit.repository_id == commit.repository_id) & Commit.oid.in_(select(before.c.oid))
    page = (
        select(Commit)
        .where(mine)
        .order_by(Commit.generation.desc(), Commit.created_at.desc(), Commit.oid)
        .offset(offset)
        .limit(limit)
    )
    total = session.scalar(select(func.count()).select_from(before))
    return list(session.scalars(page)), total or 0


def parents(session: Session, commit: Commit) -> list[str]:
    """The ids of the commits that `commit` builds on, in order."""
    return list(
        session.scalars(
            select(CommitParent.parent)
            .where(CommitParent.repository_id == commit.repository_id, CommitParent.oid == commit.oid)
            .order_by(CommitParent.position)
        )
    )


def last_commits(session: Session, commit: Commit, paths: Collection[tuple[str, str]]) -> dict[str, Commit]:
    """For each (folder, name) the last commit up to `commit` that touched it or what is in it."""
    found: dict[str, Commit] = {}
    folders = sorted({folder for folder, _ in paths})
    for start in range(0, len(folders), 1000):
        found.update(_last(session, commit, folders[start : start + 1000], {name for _, name in paths}))
    return found


def _last(session: Session, commit: Commit, folders: list[str], names: set[str]) -> dict[str, Commit]:
    before = ancestors(commit.repository_id, commit.oid)
    newest = func.row_number().over(
        partition_by=(Change.folder, Change.name),
        order_by=(Commit.generation.desc(), Commit.created_at.desc(), Commit.oid),
    )
    touched = (
        select(Change.folder.label("folder"), Change.name.label("name"), Change.oid.label("oid"))
        .add_columns(newest.label("newest"))
        .join(Commit, (Commit.repository_id == Change.repository_id) & (Commit.oid == Change.oid))
        .where(Change.repository_id == commit.repository_id, Change.folder.in_(folders))
        # As an expression the id offers no index: with one, SQLite looks up each name of each ancestor.
        .where(literal("").concat(Change.oid).in_(select(before.c.oid)))
    )
    if len(names) <= 1000:
        touched = touched.where(Change.name.in_(sorted(names)))
    last = touched.subquery()
    last_commit = aliased(Commit)
    rows = session.execute(
        select(last.c.folder, last.c.name, last_commit)
        .join(last_commit, last_commit.oid == last.c.oid)
        .where(last_commit.repository_id == commit.repository_id, last.c.newest == 1)
    )
    return {f"{folder}/{name}" if folder else name: row for folder, name, row in rows}
