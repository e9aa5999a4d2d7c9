"""What a revision holds: entries of its tree, and its files as a checkpoint's."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelcenter.errors import EntryNotFound, NotFetched, RevisionNotFound
from modelcenter.registry import history, objects
from modelcenter.registry.hub import Hub
from modelcenter.registry.objects import FOLDER, Item
from modelcenter.registry.tables import AwaitedFile, Commit, File, Repository
from modelcenter.registry.trees import Load

Known = File | AwaitedFile
TOGETHER = 32  # folders of a page that are read at first


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or a folder at a revision.

    oid: the Git id, of a large file's pointer where it is one. size: of the content, 0 for folders.
    sha256: where the content is in the store, None for folders and for what is not here: a large file of a
    mirror whose content has not come yet has the SHA-256 that it should have in `awaited`.
    """

    path: str
    kind: Literal["file", "directory"]
    oid: str
    size: int = 0
    sha256: str | None = None
    is_lfs: bool = False
    last_commit: Commit | None = None
    awaited: str | None = None

    @property
    def name(self) -> str:
        """The last segment of the path."""
        return self.path.rpartition("/")[2]

    @property
    def pointer_size(self) -> int:
        """Bytes of the pointer that Git keeps in place of a large file."""
        return len(objects.pointer(self.etag, self.size))

    @property
    def etag(self) -> str:
        """What names the content in the Hub's protocol: SHA-256 of a large file, Git id of a regular one."""
        return (self.sha256 or self.awaited or self.oid) if self.is_lfs else self.oid


def tree(
    session: Session,
    repository: Repository,
    commit: Commit,
    path: str = "",
    recursive: bool = False,
    expand: bool = False,
    *,
    after: str | None = None,
    limit: int | None = None,
) -> list[Entry]:
    """The entries of the folder `path`, in the order of their paths, those `after` a path and up to `limit`.

    recursive: of all folders in it too. expand: with each entry's last commit. Raises EntryNotFound.
    """
    load = history.Loader(session, repository.id)
    path = path.strip("/")
    root = _find(load, commit, path) if path else Item(FOLDER, commit.tree)
    if root is None or not root.is_folder:
        raise EntryNotFound(repository.repo_id, commit.oid, path, commit.oid)
    return _entries(
        session, commit, _walk(session, repository.id, path, root.oid, recursive, after, limit), expand
    )


def paths(
    session: Session, repository: Repository, commit: Commit, wanted: Iterable[str], expand: bool = False
) -> list[Entry]:
    """The entries at these paths, in their order; what does not exist is left out."""
    load = history.Loader(session, repository.id)
    clean = dict.fromkeys(path.strip("/") for path in wanted)
    load.open(commit.tree, clean)
    found = [(path, item) for path in clean if path and (item := _find(load, commit, path)) is not None]
    return _entries(session, commit, found, expand)


def entry(session: Session, repository: Repository, commit: Commit, path: str) -> Entry:
    """The entry at `path`. Raises EntryNotFound."""
    found = paths(session, repository, commit, [path])
    if not found:
        raise EntryNotFound(repository.repo_id, commit.oid, path, commit.oid)
    return found[0]


def _find(load: Load, commit: Commit, path: str) -> Item | None:
    item = Item(FOLDER, commit.tree)
    for name in path.split("/"):
        if not item.is_folder or name not in (items := load(item.oid)):
            return None
        item = items[name]
    return item


def _walk(
    session: Session,
    repository_id: int,
    path: str,
    oid: str,
    recursive: bool,
    after: str | None,
    limit: int | None,
) -> list[tuple[str, Item]]:
    """Path and item of the first entries below a folder: few queries a level, however wide it is.

    Folders that hold nothing of this page are not read, but for some beside the last that does: how far a
    page reaches shows as folders are read, in their order and ever more at once.
    """
    found: list[tuple[str, Item]] = []
    last: str | None = None
    level = [(path, oid)]
    while level:
        below: list[tuple[str, Item]] = []
        waiting = sorted(level, key=lambda folder: f"{folder[0]}/")
        together = len(waiting) if limit is None else TOGETHER
        while waiting:
            part, waiting, together = waiting[:together], waiting[together:], 2 * together
            trees = objects.trees(session, repository_id, (tree for _, tree in part))
            entries = [
                (f"{folder}/{name}" if folder else name, item)
                for folder, tree in part
                for name, item in trees[tree].items()
            ]
            below += entries
            here = (entry for entry in entries if after is None or entry[0] > after)
            found = sorted([*found, *here], key=lambda entry: entry[0])[:limit]
            last = found[-1][0] if limit is not None and 0 < limit <= len(found) else None
            waiting = [folder for folder in waiting if last is None or f"{folder[0]}/" < last]
        level = [
            (name, item.oid)
            for name, item in below
            if recursive
            and item.is_folder
            and (after is None or f"{name}/" > after or after.startswith(f"{name}/"))
            and (last is None or f"{name}/" < last)
        ]
    return found


def _entries(
    session: Session, commit: Commit, found: Collection[tuple[str, Item]], expand: bool
) -> list[Entry]:
    files = known_files(session, commit.repository_id, (item.oid for _, item in found if not item.is_folder))
    entries = [
        Entry(path, "directory", item.oid) if item.is_folder else _file(path, files[item.oid])
        for path, item in found
    ]
    if not expand:
        return entries
    split = [(path.rpartition("/")[0], path.rpartition("/")[2]) for path, _ in found]
    last = history.last_commits(session, commit, split)
    return [replace(entry, last_commit=last.get(entry.path)) for entry in entries]


def _file(path: str, file: Known) -> Entry:
    if isinstance(file, AwaitedFile):
        return Entry(path, "file", file.oid, file.size, is_lfs=True, awaited=file.sha256)
    return Entry(path, "file", file.oid, file.size, file.sha256, file.is_lfs)


def known_files(session: Session, repository_id: int, oids: Iterable[str]) -> dict[str, Known]:
    """What the repository's files of these Git ids are, by id: here, or awaited from its upstream."""
    wanted = set(oids)
    found: dict[str, Known] = {}
    for table in (File, AwaitedFile):
        missing = sorted(wanted - found.keys())
        for start in range(0, len(missing), 1000):
            rows: Iterable[Known] = session.scalars(
                select(table).where(
                    table.repository_id == repository_id, table.oid.in_(missing[start : start + 1000])
                )
            )
            found.update((file.oid, file) for file in rows)
    return found


def large_files(session: Session, repository: Repository, sha256s: Iterable[str]) -> dict[str, Known]:
    """Those large files that the repository's commits name, by their SHA-256: here, or awaited."""
    wanted = sorted(set(sha256s))
    found: dict[str, Known] = {}
    for start in range(0, len(wanted), 1000):
        part = wanted[start : start + 1000]
        for table in (AwaitedFile, File):  # what is here goes before
            rows: Iterable[Known] = session.scalars(
                select(table).where(
                    table.repository_id == repository.id,
                    table.sha256.in_(part),
                    *([File.is_lfs.is_(True)] if table is File else []),
                )
            )
            found.update((file.sha256, file) for file in rows)
    return found


class RevisionFiles:
    """The files of a commit as `checkpoint` reads them. Holds no session while bytes are read.

    Raises RevisionNotFound where the commit has been deleted meanwhile.
    """

    def __init__(self, hub: Hub, repository: Repository, commit: Commit) -> None:
        self._blobs, self._place = hub.blobs, (repository.repo_id, commit.oid)
        with hub.database.session() as session:
            if session.get(Commit, (repository.id, commit.oid)) is None:
                raise RevisionNotFound(*self._place)
            entries = tree(session, repository, commit, recursive=True)
        self._files = {entry.path: entry for entry in entries if entry.kind == "file"}

    def __repr__(self) -> str:
        return "{}@{}".format(*self._place)

    def names(self) -> Collection[str]:
        """All paths."""
        return self._files.keys()

    def size(self, name: str) -> int:
        """Bytes of the file. Raises EntryNotFound."""
        return self.entry(name).size

    @property
    def awaited(self) -> Collection[str]:
        """The paths of the files whose content has not come from the upstream yet."""
        return {path for path, entry in self._files.items() if entry.awaited}

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        """The bytes from `start` up to `stop`. Raises EntryNotFound, NotFetched."""
        entry = self.entry(name)
        if entry.awaited:
            raise NotFetched(self._place[0], name)
        stop = entry.size if stop is None else min(stop, entry.size)
        with self._blobs.open(entry.sha256 or "") as file:
            file.seek(start)
            return file.read(max(0, stop - start))

    def entry(self, name: str) -> Entry:
        """What is known of the file. Raises EntryNotFound."""
        if name not in self._files:
            raise EntryNotFound(*self._place, name, self._place[1])
        return self._files[name]
