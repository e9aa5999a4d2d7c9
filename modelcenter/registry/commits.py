"""A commit: operations become objects, a ref moves, work is queued; all in one transaction or none of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from modelcenter.errors import Conflict, EntryNotFound, Invalid, RepositoryNotFound, RevisionNotFound
from modelcenter.registry import gitattributes, history, lifecycle, uploads
from modelcenter.registry.access import Actor, require
from modelcenter.registry.blobs.interface import Blob
from modelcenter.registry.contents import stored_files
from modelcenter.registry.database import insert_missing
from modelcenter.registry.gitattributes import Attributes
from modelcenter.registry.hub import Hub
from modelcenter.registry.objects import FILE, Encoded, Item
from modelcenter.registry.operations import (
    AddFile,
    AddLfs,
    Delete,
    DeleteFolder,
    Operation,
    Stored,
    not_uploaded,
    pointed,
    stage,
    store,
)
from modelcenter.registry.revisions import HEADS, REQUESTS
from modelcenter.registry.tables import Commit, File, Ref, Repository, now
from modelcenter.registry.trees import Folder


@dataclass(frozen=True, slots=True)
class CommitResult:
    """Where the branch is now. `changed` is false where nothing changed and no commit was made."""

    repo_id: str
    ref: str
    oid: str
    changed: bool


def commit(
    hub: Hub,
    actor: Actor,
    repo_id: str,
    revision: str,
    operations: Sequence[Operation],
    *,
    title: str,
    message: str = "",
    expected_head: str | None = None,
) -> CommitResult:
    """Applies `operations`, in their order, to the head of a branch.

    Commits to one branch follow one another and none is lost. With `expected_head`, the branch must still be
    there. Operations that change nothing make no commit: who missed the answer may send them again.

    Raises RepositoryNotFound, RevisionNotFound, EntryNotFound, Conflict, Invalid, AccessDenied,
    NotAuthenticated.
    """
    title, message = _worded(title, message)
    name = branch_ref(revision)
    with hub.database.session() as session:
        is_linked = _open(session, actor, repo_id, name, revision).is_linked
    if is_linked:
        lifecycle.stage_attributes(hub)
    staged = stage(hub, operations)
    with hub.database.transaction() as session:
        repository = _open(session, actor, repo_id, name, revision)
        if repository.is_linked:  # of several first commits one hosts the entry, the others follow it
            lifecycle.lock(session, repository.id)
            repository = _open(session, actor, repo_id, name, revision)
        if not lifecycle.hold(session, repository.id):
            raise RepositoryNotFound(repo_id)
        if repository.is_linked:
            lifecycle.host(session, actor, repository)
        # The row's lock is the branch's turn: the head read here is the head until this transaction ends.
        ref = session.scalar(
            select(Ref).where(Ref.repository_id == repository.id, Ref.name == name).with_for_update()
        )
        if ref is None:
            raise RevisionNotFound(repo_id, revision)
        head = session.get_one(Commit, (repository.id, ref.target))
        work = _Work(session, hub, actor, repository, head)
        large = [operation.sha256 for operation in operations if isinstance(operation, AddLfs)]
        sizes = uploads.known_sizes(session, actor, repository, large)
        for operation, stored in zip(operations, staged, strict=True):
            work.apply(operation, stored, sizes)
        work.mark_large()
        tree, trees = work.root.write()
        if not _continues(session, head, expected_head, unchanged=tree == head.tree):
            raise Conflict(name, expected_head or "", head.oid)
        if tree == head.tree:
            return CommitResult(repository.repo_id, name, head.oid, changed=False)
        new = work.finish(tree, trees, title, message)
        _move(session, ref, head, new)
        lifecycle.moved(session, actor, repository, ref, new)
        return CommitResult(repository.repo_id, name, new.oid, changed=True)


def branch_ref(revision: str) -> str:
    """The full name of the branch or pull request that a commit to `revision` moves."""
    return revision if revision.startswith((HEADS, REQUESTS)) else HEADS + revision


def _open(session: Session, actor: Actor, repo_id: str, name: str, revision: str) -> Repository:
    """The repository, if `actor` may commit to it and the branch exists."""
    repository = lifecycle.get(session, actor, repo_id)
    require(actor, "write", repository)
    exists = (
        name == HEADS + repository.default_branch
        if repository.is_linked
        else session.get(Ref, (repository.id, name), populate_existing=True) is not None
    )
    if not exists:
        raise RevisionNotFound(repository.repo_id, revision)
    return repository


def _worded(title: str, message: str) -> tuple[str, str]:
    """Title and message as a Git object and both databases can hold them."""
    lines = _text(title).strip().split("\n", 1)
    if not lines[0]:
        raise Invalid("A commit needs a title: say in a line what it does.")
    return lines[0].strip(), "\n\n".join(filter(None, [*lines[1:], _text(message)])).strip()


def _text(text: str) -> str:
    return text.replace("\0", "").encode(errors="replace").decode()


def _continues(session: Session, head: Commit, expected: str | None, *, unchanged: bool) -> bool:
    """Whether a commit that was made for `expected` may go on top of `head`."""
    if expected is None or (len(expected) >= 7 and head.oid.startswith(expected.lower())):
        return True
    # Who did not get the answer asks again: the head is then their own commit, on top of what they expected.
    parents = history.parents(session, head) if unchanged else []
    return any(len(expected) >= 7 and parent.startswith(expected.lower()) for parent in parents)


def _move(session: Session, ref: Ref, head: Commit, new: Commit) -> None:
    """Moves the ref from `head` to `new`, and from nowhere else."""
    moved = session.execute(
        update(Ref)
        .where(Ref.repository_id == ref.repository_id, Ref.name == ref.name, Ref.target == head.oid)
        .values(target=new.oid, updated_at=now())
        .execution_options(synchronize_session=False)
    )
    if moved.rowcount != 1:  # type: ignore[attr-defined]
        raise Conflict(ref.name, head.oid, "another commit")


class _Work:
    """The tree of a commit in the making, and the files it brings."""

    def __init__(
        self, session: Session, hub: Hub, actor: Actor, repository: Repository, head: Commit
    ) -> None:
        self.session, self.hub, self.actor, self.repository, self.head = session, hub, actor, repository, head
        self.root = Folder(history.loader(session, repository.id), head.tree)
        self.files: dict[str, Stored] = {}
        self.large: list[str] = []

    def apply(self, operation: Operation, stored: Stored | None, sizes: Mapping[str, int]) -> None:
        """Changes the tree. stored: content of an AddFile; sizes: of the large files that may be named."""
        match operation:
            case AddFile(path):
                assert stored is not None
                self.put(path, stored)
            case AddLfs(path, sha256):
                if sha256 not in sizes:
                    raise not_uploaded(operation)
                self.put(path, pointed(Blob(sha256, sizes[sha256])))
                self.large.append(path)
            case Delete(path):
                if not self.root.remove(path):
                    raise self.missing(path)
            case DeleteFolder(path):
                path = path.removesuffix("/")
                item = self.root.get(path)
                if item is None or not item.is_folder:
                    raise self.missing(path)
                self.root.remove(path)

    def put(self, path: str, stored: Stored) -> None:
        """Places a file."""
        self.root.put(path, Item(FILE, stored.oid))
        # The text of a pointer, sent as a regular file, is the large file wherever that is known.
        if stored.is_lfs or stored.oid not in self.files:
            self.files[stored.oid] = stored

    def missing(self, path: str) -> EntryNotFound:
        """The error that `path` is not there."""
        return EntryNotFound(self.repository.repo_id, self.head.oid, path, self.head.oid)

    def mark_large(self) -> None:
        """Adds to `.gitattributes` the large files it does not match: a clone would keep their pointers."""
        large = [path for path in dict.fromkeys(self.large) if self.root.get(path) is not None]
        if not large:
            return
        text = before = self.attributes()
        attributes = Attributes(before)
        for path in large:
            if not attributes.is_large(path):
                text = gitattributes.with_path(text, path)
        if text != before:
            self.put(gitattributes.NAME, store(self.hub, text))

    def attributes(self) -> bytes:
        """The `.gitattributes` of the tree as it stands."""
        item = self.root.get(gitattributes.NAME)
        if item is None or item.is_folder:
            return b""
        new = self.files.get(item.oid)
        sha256 = new.blob.sha256 if new else self.session.get_one(File, (self.repository.id, item.oid)).sha256
        with self.hub.blobs.open(sha256) as stream:
            return stream.read()

    def finish(self, tree: str, trees: Collection[Encoded], title: str, message: str) -> Commit:
        """Writes the rows of the files and the commit."""
        self.write_files()
        return history.append(
            self.session,
            self.repository,
            self.actor,
            tree,
            trees,
            [self.head],
            title=title,
            message=message,
        )

    def write_files(self) -> None:
        """Makes the files known in this repository, large ones as readable here."""
        files = [self.files[oid] for oid in sorted(self.files)]
        large = {file.oid: file.blob for file in files if file.is_lfs}
        uploads.remember(self.session, self.actor, self.repository, large.values())
        rows = [
            {
                "repository_id": self.repository.id,
                "oid": file.oid,
                "sha256": file.blob.sha256,
                "size": file.blob.size,
                "is_lfs": file.is_lfs,
            }
            for file in files
        ]
        insert_missing(self.session, File, rows)
        for oid, known in stored_files(self.session, self.repository.id, large).items():
            if not known.is_lfs:  # a pointer that lay here as plain text, its content unknown until now
                known.sha256, known.size, known.is_lfs = large[oid].sha256, large[oid].size, True
