"""Commits that arrived in a pack: examined whole, then kept as rows and blobs. Asks no rights, moves no ref.

What a repository takes: regular files up to REGULAR_MAX bytes, executable or not; symbolic links, whose
content is the path they name; pointers of large files whose content is here; no submodules. Each tree must be
as Git itself writes it, each path fit for every checkout.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from dulwich.errors import ObjectFormatException
from sqlalchemy import select
from sqlalchemy.orm import Session

from modelcenter.errors import BlobNotFound, Invalid, TooLarge
from modelcenter.registry import gitattributes, history, objects, uploads
from modelcenter.registry.access import Actor
from modelcenter.registry.blobs.interface import Blob
from modelcenter.registry.contents import known_files
from modelcenter.registry.git import fetching
from modelcenter.registry.git.packs import WHOLE_BYTES, Kind, Pack
from modelcenter.registry.history import Record
from modelcenter.registry.hub import Hub
from modelcenter.registry.names import check_path
from modelcenter.registry.objects import EMPTY_TREE, FILE, FOLDER, Encoded, Item, Items, Written
from modelcenter.registry.operations import Stored, keep_files, pointed_by
from modelcenter.registry.tables import Commit, GitObject, ObjectKind, Repository
from modelcenter.registry.trees import changed_items
from modelcenter.registry.uploads import REGULAR_MAX

CHANGES = 500_000  # entries that the commits of one pack may change together
MODES = frozenset({FOLDER, FILE, 0o100664, 0o100755, 0o120000})
ITEMS = 200_000  # entries of trees kept at hand
TOGETHER, TOGETHER_BYTES = 64, 16 << 20  # files stored at once: their number, their bytes


@dataclass(slots=True)
class Arrival:
    """What a pack adds to a repository: commits (parents first), trees, and files by their first path.

    heads: the commit that each tip means; annotated: the tips that are annotated tags.
    large: the content of those files that are pointers; origins: the first commit that has each file.
    """

    heads: dict[str, str] = field(default_factory=dict)
    annotated: set[str] = field(default_factory=set)
    commits: list[Record] = field(default_factory=list)
    trees: set[str] = field(default_factory=set)
    files: dict[str, str] = field(default_factory=dict)
    large: dict[str, Blob] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)


def outside(hub: Hub, repository_id: int) -> Callable[[Collection[str]], Iterator[tuple[str, Kind, bytes]]]:
    """Reads objects of the repository that a thin pack builds on."""

    def read(wanted: Collection[str]) -> Iterator[tuple[str, Kind, bytes]]:
        oids = sorted(wanted)
        for start in range(0, len(oids), fetching.BATCH):
            batch = oids[start : start + fetching.BATCH]
            with hub.database.session() as session:
                rows = session.execute(
                    select(GitObject.oid, GitObject.kind, GitObject.data).where(
                        GitObject.repository_id == repository_id, GitObject.oid.in_(batch)
                    )
                ).all()
                files = known_files(session, repository_id, batch)
            for oid, kind, data in rows:
                yield oid, kind, data
            for oid, file in files.items():
                if file.is_lfs or file.size <= WHOLE_BYTES:
                    yield oid, "blob", b"".join(fetching.content(hub, file)[1])

    return read


def examine(
    hub: Hub,
    session: Session,
    repository: Repository,
    pack: Pack | None,
    tips: Collection[str],
    *,
    regular_max: int = REGULAR_MAX,
) -> Arrival:
    """What the history of `tips` adds to the repository. Raises Invalid, TooLarge: then it is not taken.

    regular_max: bytes of a file in Git itself. Who brings history from another hub cannot change it, and may
    set it to WHOLE_BYTES.
    """
    return _Examination(hub, session, repository, pack, regular_max).of(tips)


def store(hub: Hub, pack: Pack, arrival: Arrival) -> list[Stored]:
    """Puts the content of the regular files into the store; returns all files. Raises Invalid.

    Each file waits for the disk: together they wait for less.
    """
    stored: list[Stored] = []
    for oid, blob in arrival.large.items():
        try:
            size = hub.blobs.stat(blob.sha256)
        except BlobNotFound:
            size = -1
        if size != blob.size:
            raise _not_uploaded(arrival.files[oid], blob)
        stored.append(Stored(oid, blob, is_lfs=True))
    with ThreadPoolExecutor(8) as pool:
        waiting: list[tuple[str, bytes]] = []
        size = 0
        for oid in sorted(arrival.files.keys() - arrival.large.keys()):
            waiting.append((oid, pack.read(oid)))
            size += len(waiting[-1][1])
            if len(waiting) == TOGETHER or size > TOGETHER_BYTES:
                stored += pool.map(lambda file: Stored(file[0], hub.blobs.put([file[1]])), waiting)
                waiting, size = [], 0
        stored += pool.map(lambda file: Stored(file[0], hub.blobs.put([file[1]])), waiting)
    return stored


def keep(
    session: Session,
    actor: Actor,
    repository: Repository,
    pack: Pack,
    arrival: Arrival,
    files: Collection[Stored],
) -> None:
    """Writes the rows of what arrived. Raises Invalid where a large file is not `actor`'s to refer to."""
    known = uploads.known_sizes(session, actor, repository, {blob.sha256 for blob in arrival.large.values()})
    for oid, blob in arrival.large.items():
        if known.get(blob.sha256) != blob.size:
            raise _not_uploaded(arrival.files[oid], blob)
    kinds: tuple[tuple[ObjectKind, Collection[str]], ...] = (
        ("tree", arrival.trees),
        ("commit", [record.oid for record in arrival.commits]),
        ("tag", [oid for oid in arrival.annotated if oid in pack]),
    )
    for kind, oids in kinds:
        ordered = sorted(oids)
        for start in range(0, len(ordered), fetching.BATCH):
            batch = ordered[start : start + fetching.BATCH]
            objects.keep(session, repository.id, [Encoded(kind, oid, pack.read(oid)) for oid in batch])
    keep_files(session, actor, repository, files)
    history.keep(session, repository.id, arrival.commits)


class _Examination:
    """One look at what arrived. Rights to large files are asked when it is kept."""

    def __init__(
        self, hub: Hub, session: Session, repository: Repository, pack: Pack | None, regular_max: int
    ) -> None:
        self.hub, self.session, self.repository, self.pack = hub, session, repository, pack
        self.regular_max = regular_max
        self.found = Arrival()
        self.known: dict[str, Commit] = {}  # commits that are here already, by id
        self.written: dict[str, Written] = {}  # commits that are new
        self.items: OrderedDict[str, Items] = OrderedDict()
        self.held = 0
        self.attributes: set[str] = set()  # files that say which files are large

    def of(self, tips: Collection[str]) -> Arrival:
        """All that is new."""
        for tip in tips:
            self.found.heads[tip] = self.head(tip)
        self.read_commits()
        changes = 0
        counts: dict[str, int] = {}
        generations = {oid: commit.generation for oid, commit in self.known.items()}
        for oid in self.in_order():
            commit = self.written[oid]
            history.require_readable(self.load_all, commit.tree, counts)
            before = self.tree_of(commit.parents[0]) if commit.parents else EMPTY_TREE
            changed = []
            for folder, name, item in changed_items(self.load_all, before, commit.tree):
                changes += 1
                if changes > CHANGES:
                    raise TooLarge(f"The push changes more than {CHANGES} entries. Push in several parts.")
                changed.append((folder, name))
                if item is not None:
                    self.check(f"{folder}/{name}" if folder else name, item, oid)
            generations[oid] = 1 + max((generations[parent] for parent in commit.parents), default=0)
            self.found.commits.append(
                Record(
                    oid,
                    commit.tree,
                    commit.parents,
                    generations[oid],
                    commit.author,
                    commit.title,
                    commit.message,
                    commit.moment,
                    changed,
                )
            )
        self.check_files()
        return self.found

    def head(self, tip: str) -> str:
        """The commit that `tip`, an object that arrived or is here, means. Raises Invalid."""
        if self.pack and self.pack.kind(tip) == "tag":
            data: bytes | None = self.pack.read(tip)
        else:
            row = self.session.get(GitObject, (self.repository.id, tip))
            data = row.data if row is not None and row.kind == "tag" else None
        if data is None:
            return tip
        tagged = objects.decode_tag(data)
        if tagged.kind != "commit":
            raise Invalid(f"The tag {tip} is of a {tagged.kind}; here tags are of commits alone.")
        self.found.annotated.add(tip)
        return tagged.target

    def look_up(self, oids: Collection[str]) -> None:
        """Notes which of these commits are here already."""
        wanted = sorted(set(oids) - self.known.keys())
        for start in range(0, len(wanted), 1000):
            rows = self.session.scalars(
                select(Commit).where(
                    Commit.repository_id == self.repository.id,
                    Commit.oid.in_(wanted[start : start + 1000]),
                )
            )
            self.known.update((commit.oid, commit) for commit in rows)

    def read_commits(self) -> None:
        """Reads the commits that lead from the tips to what is here. Raises Invalid."""
        heads = list(self.found.heads.values())
        arrived = list(self.pack.of_kind("commit")) if self.pack else []
        self.look_up({*heads, *arrived})
        decoded = {oid: objects.decode_commit(self.read(oid)) for oid in arrived if oid not in self.known}
        self.look_up({parent for commit in decoded.values() for parent in commit.parents} - decoded.keys())
        while heads:
            oid = heads.pop()
            if oid in self.known or oid in self.written:
                continue
            if oid not in decoded:
                raise Invalid(f"The commit {oid} was not sent and is not here. Fetch, then push again.")
            self.written[oid] = decoded[oid]
            heads += decoded[oid].parents

    def in_order(self) -> Iterator[str]:
        """The new commits, none before its parents."""
        done: set[str] = set()
        for start in self.written:
            waiting = [start]
            while waiting:
                parents = self.written[waiting[-1]].parents
                missing = [oid for oid in parents if oid in self.written and oid not in done]
                waiting += missing
                if not missing and (oid := waiting.pop()) not in done:
                    done.add(oid)
                    yield oid

    def tree_of(self, commit: str) -> str:
        """The tree of a commit, new or not."""
        return self.written[commit].tree if commit in self.written else self.known[commit].tree

    def load(self, oid: str) -> Items:
        """The entries of a tree, new or not. Raises Invalid."""
        return self.load_all({oid})[oid]

    def load_all(self, oids: Collection[str]) -> dict[str, Items]:
        """The entries of trees, new or not: those that are here by one query. Raises Invalid."""
        found: dict[str, Items] = {}
        for oid in oids:
            if oid in self.items:
                self.items.move_to_end(oid)
                found[oid] = self.items[oid]
            elif self.pack is not None and self.pack.kind(oid) == "tree":
                found[oid] = _checked(oid, self.read(oid))
                self.found.trees.add(oid)
        if here := set(oids) - found.keys():
            found |= objects.trees(self.session, self.repository.id, here)
        for oid in oids:
            if oid not in found:
                raise Invalid(f"The tree {oid} was not sent and is not here. Fetch, then push again.")
            self.held += len(found[oid]) if oid not in self.items else 0
            self.items[oid] = found[oid]
        while self.held > ITEMS and len(self.items) > 1:
            self.held -= len(self.items.popitem(last=False)[1])
        return found

    def check(self, path: str, item: Item, commit: str) -> None:
        """Raises Invalid for an entry that no repository takes; notes it where it is a file."""
        check_path(path)
        if item.mode not in MODES:
            what = "a submodule" if item.mode == 0o160000 else f"an entry of mode {item.mode:o}"
            raise Invalid(f"{path} is {what}, which is not kept here. Take it out of the history.")
        if not item.is_folder:
            self.found.files.setdefault(item.oid, path)
            self.found.origins.setdefault(item.oid, commit)
        if path == gitattributes.NAME:
            self.attributes.add(item.oid)

    def check_files(self) -> None:
        """Leaves the files that are new, all of which must have arrived. Raises Invalid, TooLarge."""
        files = self.found.files
        known = known_files(self.session, self.repository.id, files)
        large = {oid for oid, file in known.items() if file.is_lfs}
        for oid, file in known.items():
            # Text until now: who pushes it as a pointer has brought its content, or must.
            blob = None if file.is_lfs else pointed_by(self.hub, Blob(file.sha256, file.size))
            if blob is not None:
                self.found.large[oid] = blob
            else:
                del files[oid]
        for oid, path in files.items():
            if oid in self.found.large:
                continue
            if self.pack is None or self.pack.kind(oid) != "blob":
                raise Invalid(f"{path} ({oid}) was not sent and is not here. Fetch, then push again.")
            size = self.pack.size(oid)
            if size > self.regular_max:
                raise TooLarge(
                    f"{path} has {size} bytes; Git itself takes files of up to {self.regular_max} here. "
                    f'Keep it with Git LFS: `git lfs migrate import --include="{path}"`, then push again.'
                )
            blob = objects.read_pointer(self.pack.read(oid)) if size <= objects.POINTER_BYTES else None
            if blob is not None:
                self.found.large[oid] = blob
        if self.attributes & (large | self.found.large.keys()):
            raise Invalid(f"{gitattributes.NAME} says which files are large and cannot be one itself.")

    def read(self, oid: str) -> bytes:
        """A commit or tree that arrived."""
        assert self.pack is not None
        if self.pack.size(oid) > WHOLE_BYTES:
            raise TooLarge(
                f"The object {oid} has {self.pack.size(oid)} bytes; at most {WHOLE_BYTES} are taken."
            )
        return self.pack.read(oid)


def _not_uploaded(path: str, blob: Blob) -> Invalid:
    """The error that a large file is not here, or not the actor's to refer to: the two are told alike."""
    return Invalid(
        f"{path} is a pointer of Git LFS to {blob.sha256}, which has not been uploaded here. Run "
        "`git lfs install`, then `git lfs push --all origin`, and push again."
    )


def _checked(oid: str, data: bytes) -> Items:
    """The entries of a tree that is written as Git itself writes it. Raises Invalid."""
    try:
        items = objects.decode_tree(data)
    except (ObjectFormatException, ValueError, UnicodeDecodeError) as error:
        raise Invalid(f"The tree {oid} is malformed ({error}): names must be UTF-8.") from None
    if any("/" in name for name in items) or objects.encode_tree(items).oid != oid:
        raise Invalid(
            f"The tree {oid} is malformed: its entries are doubled, out of order or paths. See `git fsck`."
        )
    return items
