"""Where two trees differ, and what comes of two trees that go back to one. Knows no rights.

Both walk the trees a level at a time: the number of queries grows with their depth, not with their width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from sqlalchemy.orm import Session

from modelcenter.registry import contents, history, objects
from modelcenter.registry.contents import Known
from modelcenter.registry.objects import EMPTY_TREE, Item
from modelcenter.registry.tables import Commit


@dataclass(frozen=True, slots=True)
class Difference:
    """A file that was added, changed or removed: as it was and as it is, None where there is none."""

    path: str
    before: Known | None
    after: Known | None

    @property
    def kind(self) -> Literal["added", "changed", "removed"]:
        """What became of it."""
        if self.before is None:
            return "added"
        return "changed" if self.after is not None else "removed"

    @property
    def size(self) -> int:
        """Bytes that it has, or had before it was removed."""
        file = self.after or self.before
        return file.size if file else 0


def differences(session: Session, commit: Commit, *, limit: int) -> list[Difference]:
    """The files that `commit` changed against its first parent, by path, up to `limit` of them."""
    before = history.parents(session, commit)
    parent = session.get(Commit, (commit.repository_id, before[0])) if before else None
    return between(
        session, commit.repository_id, parent.tree if parent else EMPTY_TREE, commit.tree, limit=limit
    )


def between(session: Session, repository_id: int, old: str, new: str, *, limit: int) -> list[Difference]:
    """The files in which the trees `old` and `new` differ, by path, up to `limit` of them."""
    found: dict[str, tuple[Item | None, Item | None]] = {}
    for path, (was, now) in _levels(session, repository_id, (old, new)):
        if _file(was) != _file(now):
            found[path] = _file(was), _file(now)
    shown = sorted(found)[:limit]
    oids = [item.oid for path in shown for item in found[path] if item]
    files = contents.known_files(session, repository_id, oids)
    return [
        Difference(path, *(files.get(item.oid) if item else None for item in found[path])) for path in shown
    ]


@dataclass(frozen=True, slots=True)
class Merge:
    """What a tree has to take over, by path, and the paths that both sides changed in different ways.

    An Item may be a folder; None: what is there goes.
    """

    changes: Mapping[str, Item | None]
    conflicts: tuple[str, ...]


def merge(session: Session, repository_id: int, base: str, ours: str, theirs: str) -> Merge:
    """What `ours` takes over of what `theirs` changed since `base`: three trees.

    A file is taken as a whole. Where both changed one alike, or but one of them changed it, there is no
    conflict; nothing within a file is put together.
    """
    changes: dict[str, Item | None] = {}
    conflicts: list[str] = []
    for path, (was, mine, other) in _levels(session, repository_id, (base, ours, theirs)):
        if mine in (other, was):
            if mine != other:
                changes[path] = other
        elif other != was and _clash(mine, other):
            conflicts.append(path)
    return Merge(changes, tuple(sorted(conflicts)))


Entries = tuple[Item | None, ...]  # what is at one path, by tree


def _levels(session: Session, repository_id: int, roots: tuple[str, ...]) -> Iterator[tuple[str, Entries]]:
    """What is at each path that the trees do not agree on, folders before what is in them.

    Of three trees, whose first is what the others were, a folder that only one of them changed is not opened.
    """
    level = [("", roots)]
    while level:
        trees = objects.trees(session, repository_id, {oid for _, oids in level for oid in oids})
        below = []
        for folder, oids in level:
            sides = [trees[oid] for oid in oids]
            for name in sorted(set().union(*sides)):
                entries = tuple(side.get(name) for side in sides)
                if all(entry == entries[0] for entry in entries):
                    continue
                path = f"{folder}/{name}" if folder else name
                yield path, entries
                if any(map(_is_folder, entries)) and not _is_settled(entries):
                    below.append((path, tuple(_folder(entry) for entry in entries)))
        level = below


def _is_settled(entries: Entries) -> bool:
    """Whether three trees need not be looked into: one changed the entry, both did alike, or they clash."""
    if len(entries) < 3:
        return False
    was, mine, other = entries
    return mine in (other, was) or other == was or _clash(mine, other)


def _clash(mine: Item | None, other: Item | None) -> bool:
    """Whether two changed entries cannot be told apart further: at least one of them is a file."""
    return not (_is_folder(mine) or _is_folder(other)) or bool(_file(mine) or _file(other))


def _is_folder(item: Item | None) -> bool:
    return item is not None and item.is_folder


def _folder(item: Item | None) -> str:
    return item.oid if item is not None and item.is_folder else EMPTY_TREE


def _file(item: Item | None) -> Item | None:
    return item if item is not None and not item.is_folder else None
