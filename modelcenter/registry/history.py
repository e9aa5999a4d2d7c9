"""Commits: adding one, walking back from one, the last that touched a path. Knows no rights."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import CTE, func, literal, select
from sqlalchemy.orm import Session, aliased

from modelcenter.errors import TooLarge
from modelcenter.registry import objects
from modelcenter.registry.access import Actor
from modelcenter.registry.database import insert_missing
from modelcenter.registry.objects import EMPTY_TREE, Encoded
from modelcenter.registry.tables import Change, Commit, CommitParent, Repository, now
from modelcenter.registry.trees import LoadAll, changed_paths, count_entries


@dataclass(frozen=True, slots=True)
class Record:
    """A commit's row, its parents in order, and (folder, name) of what it changed against the first."""

    oid: str
    tree: str
    parents: Sequence[str]
    generation: int
    author: str
    title: str
    message: str
    created_at: datetime
    changes: Collection[tuple[str, str]]
    author_id: int | None = None
    replaces: str | None = None


ADDRESS = "users.noreply.modelcenter"
ENTRIES = 100_000  # files and folders of a revision


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
    replaces: Commit | None = None,
) -> Commit:
    """Adds a commit of `tree`, whose new parts are `trees`, and the index of its changes. Moves no ref.

    replaces: of a commit without parents, the head whose history it stands for.
    Raises TooLarge for more than ENTRIES files and folders.
    """
    moment = now().replace(microsecond=0)
    text = f"{title}\n\n{message}" if message else title
    encoded = objects.encode_commit(tree, [parent.oid for parent in parents], identity(actor), moment, text)
    objects.keep(session, repository.id, [*trees, encoded])
    require_readable(lambda oids: objects.trees(session, repository.id, oids), tree, {})
    before = [*parents, replaces] if replaces else parents
    generation = 1 + max((commit.generation for commit in before), default=0)
    load = Loader(session, repository.id, trees)
    record = Record(
        encoded.oid,
        tree,
        [parent.oid for parent in parents],
        generation,
        actor.name,
        title,
        message,
        moment,
        list(changed_paths(load.all, parents[0].tree if parents else EMPTY_TREE, tree)),
        actor.account_id,
        replaces.oid if replaces else None,
    )
    keep(session, repository.id, [record])
    return session.get_one(Commit, (repository.id, encoded.oid))


def require_readable(load: LoadAll, tree: str, counts: dict[str, int]) -> None:
    """Raises TooLarge for a tree of more than ENTRIES files and folders: each list of them walks all.

    load, counts: as `count_entries` has them.
    """
    if count_entries(load, tree, ENTRIES, counts) > ENTRIES:
        raise TooLarge(
            f"A revision has at most {ENTRIES} files and folders here; this one would have more. Put many "
            "small files into few archives, or into several repositories."
        )


def keep(session: Session, repository_id: int, records: Sequence[Record]) -> None:
    """Writes the rows of commits, none before its parents; what is there already stays as it is.

    It may be: the same act on the same parent, within a second, on another branch.
    """
    rows = [
        {
            "repository_id": repository_id,
            "oid": record.oid,
            "tree": record.tree,
            "generation": record.generation,
            "author_id": record.author_id,
            "author": record.author,
            "title": record.title,
            "message": record.message,
            "created_at": record.created_at,
            "replaces": record.replaces,
        }
        for record in records
    ]
    insert_missing(session, Commit, rows)
    links = [
        {"repository_id": repository_id, "oid": record.oid, "position": position, "parent": parent}
        for record in records
        for position, parent in enumerate(record.parents)
    ]
    insert_missing(session, CommitParent, links)
    changes = [
        {"repository_id": repository_id, "folder": folder, "name": name, "oid": record.oid}
        for record in records
        for folder, name in record.changes
    ]
    insert_missing(session, Change, changes)


class Loader:
    """Reads trees of the repository, each once; those in `new` need not be kept yet."""

    def __init__(self, session: Session, repository_id: int, new: Collection[Encoded] = ()) -> None:
        self._session, self._repository_id = session, repository_id
        self._known: dict[str, objects.Items] = {
            encoded.oid: objects.decode_tree(encoded.data) for encoded in new if encoded.kind == "tree"
        }

    def __call__(self, oid: str) -> objects.Items:
        """The entries of one tree: by a query of its own, unless it was read before."""
        return self.all([oid])[oid]

    def all(self, oids: Collection[str]) -> dict[str, objects.Items]:
        """The entries of these trees, read together."""
        if missing := set(oids) - self._known.keys():
            self._known.update(objects.trees(self._session, self._repository_id, missing))
        return {oid: self._known[oid] for oid in oids}

    def open(self, root: str, paths: Iterable[str]) -> None:
        """Reads the folders that these paths lead through from the tree `root`: one query a depth."""
        level = [(root, path.split("/")) for path in set(paths)]
        for depth in itertools.count():
            level = [(oid, names) for oid, names in level if len(names) > depth]
            if not level:
                return
            trees = self.all({oid for oid, _ in level})
            below = ((trees[oid].get(names[depth]), names) for oid, names in level)
            level = [(item.oid, names) for item, names in below if item is not None and item.is_folder]


def ancestors(repository_id: int, oid: str, name: str = "ancestors") -> CTE:
    """The ids of a commit and of all before it. name: tells them apart where a query has several."""
    found = select(literal(oid).label("oid")).cte(name, recursive=True)
    return found.union(
        select(CommitParent.parent).where(
            CommitParent.repository_id == repository_id, CommitParent.oid == found.c.oid
        )
    )


def _lineage(repository_id: int, oid: str, name: str) -> CTE:
    """As `ancestors`, with those that were squashed away: all that a commit comes from."""
    found = select(literal(oid).label("oid")).cte(name, recursive=True)
    before = func.coalesce(CommitParent.parent, Commit.replaces)
    return found.union(
        select(before)
        .select_from(Commit)
        .outerjoin(
            CommitParent,
            (CommitParent.repository_id == Commit.repository_id) & (CommitParent.oid == Commit.oid),
        )
        .where(Commit.repository_id == repository_id, Commit.oid == found.c.oid, before.is_not(None))
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


def fork(session: Session, one: Commit, other: Commit) -> Commit | None:
    """The last commit that two commits of a repository come from, or are; squashing parts them not."""
    before = _lineage(one.repository_id, one.oid, "ancestors")
    others = _lineage(one.repository_id, other.oid, "others")
    return session.scalar(
        select(Commit)
        .where(
            Commit.repository_id == one.repository_id,
            Commit.oid.in_(select(before.c.oid)),
            Commit.oid.in_(select(others.c.oid)),
        )
        .order_by(Commit.generation.desc(), Commit.created_at.desc(), Commit.oid)
        .limit(1)
    )


def since(session: Session, head: Commit, known: Commit | None, *, limit: int) -> list[Commit]:
    """The first commits, oldest first, that `head` has before it, or is, and `known` does not come from."""
    before = ancestors(head.repository_id, head.oid)
    wanted = select(Commit).where(
        Commit.repository_id == head.repository_id, Commit.oid.in_(select(before.c.oid))
    )
    if known is not None:
        others = _lineage(head.repository_id, known.oid, "others")
        wanted = wanted.where(Commit.oid.not_in(select(others.c.oid)))
    order = wanted.order_by(Commit.generation, Commit.created_at, Commit.oid)
    return list(session.scalars(order.limit(limit)))


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
