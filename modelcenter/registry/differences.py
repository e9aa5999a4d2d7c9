"""What a commit changed: its files against those of its first parent. Knows no rights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

from sqlalchemy.orm import Session

from modelcenter.registry import contents, history
from modelcenter.registry.objects import EMPTY_TREE, Item
from modelcenter.registry.tables import Commit
from modelcenter.registry.trees import Load


@dataclass(frozen=True, slots=True)
class Difference:
    """A file that a commit added, changed or removed. size: what it has after the commit, else had before."""

    path: str
    kind: Literal["added", "changed", "removed"]
    oid: str
    size: int = 0


def differences(session: Session, commit: Commit, *, limit: int) -> list[Difference]:
    """The files that `commit` changed, by path within each folder, up to `limit` of them."""
    before = history.parents(session, commit)
    parent = session.get(Commit, (commit.repository_id, before[0])) if before else None
    load = history.loader(session, commit.repository_id)
    walk = _walk(load, parent.tree if parent else EMPTY_TREE, commit.tree, "")
    found = list(islice(walk, limit))
    files = contents.stored_files(session, commit.repository_id, (item.oid for item in found))
    return [replace(item, size=files[item.oid].size) if item.oid in files else item for item in found]


def _walk(load: Load, old: str, new: str, folder: str) -> Iterator[Difference]:
    before, after = load(old), load(new)
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        if was == now:
            continue
        path = f"{folder}/{name}" if folder else name
        if _is_folder(was) or _is_folder(now):
            yield from _walk(load, _folder(was), _folder(now), path)
        was_file = was if was is not None and not was.is_folder else None
        now_file = now if now is not None and not now.is_folder else None
        if now_file is not None:
            yield Difference(path, "changed" if was_file else "added", now_file.oid)
        elif was_file is not None:
            yield Difference(path, "removed", was_file.oid)


def _is_folder(item: Item | None) -> bool:
    return item is not None and item.is_folder


def _folder(item: Item | None) -> str:
    return item.oid if item is not None and item.is_folder else EMPTY_TREE
