"""A commit: operations become objects, a ref moves, work is queued; all in one transaction or none of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from modelcenter.errors import BlobNotFound, Conflict, EntryNotFound, Invalid, RevisionNotFound
from modelcenter.registry import gitattributes, history, lifecycle, objects, uploads
from modelcenter.registry.access import Actor, require
from modelcenter.registry.blobs.interface import Blob, address
from modelcenter.registry.database import insert_missing
from modelcenter.registry.gitattributes import Attributes
from modelcenter.registry.hub import Hub
from modelcenter.registry.names import check_path
from modelcenter.registry.objects import FILE, Encoded, Item
from modelcenter.registry.revisions import HEADS, REQUESTS
from modelcenter.registry.tables import Commit, File, Ref, Repository, now
from modelcenter.registry.trees import Folder


@dataclass(frozen=True, slots=True)
class AddFile:
    """A regular file: its content, or where the store has it."""

    path: str
    content: bytes | Blob


@dataclass(frozen=True, slots=True)
class AddLfs:
    """A large file, uploaded before or known to be readable; without `size`, a copy of one that is here."""

    path: str
    sha256: str
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """A file, or a folder with all it holds."""

    path: str


@dataclass(frozen=True, slots=True)
class DeleteFolder:
    """A folder with all it holds."""

    path: str


Operation = AddFile | AddLfs | Delete | DeleteFolder


@dataclass(frozen=True, slots=True)
class CommitResult:
    """Where the branch is now. `changed` is false where nothing changed and no commit was made."""

    repo_id: str
    ref: str
    oid: str
    changed: bool


@dataclass(frozen=True, slots=True)
class _Regular:
    """A regular file whose content is in the store."""

    oid: str
    blob: Blob


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
    staged = _stage(hub, operations)
    with hub.database.transaction() as session:
        repository = _open(session, actor, repo_id, name, revision)
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
        for operation, regular in zip(operations, staged, strict=True):
            work.apply(operation, regular)
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


def _stage(hub: Hub, operations: Sequence[Operation]) -> list[_Regular | None]:
    """Checks what can be checked and stores regular content, before any transaction begins."""
    for operation in operations:
        path = operation.path.removesuffix("/") if isinstance(operation, DeleteFolder) else operation.path
        check_path(path)
        if isinstance(operation, AddLfs):
            _check_stored(hub, operation)
    # Each file waits for the disk: together they wait for less.
    with ThreadPoolExecutor(8) as pool:
        return list(
            pool.map(
                lambda operation: (
                    _regular(hub, operation.content) if isinstance(operation, AddFile) else None
                ),
                operations,
            )
        )


def _check_stored(hub: Hub, operation: AddLfs) -> None:
    if operation.path == gitattributes.NAME:
        raise Invalid(f"{operation.path} says which files are large and cannot be one itself.")
    try:
        size = hub.blobs.stat(address(operation.sha256))
    except BlobNotFound:
        raise _not_uploaded(operation) from None
    if operation.size not in (None, size):
        raise Invalid(f"{operation.path} has {size} bytes in the store, not {operation.size} as announced.")


def _not_uploaded(operation: AddLfs) -> Invalid:
    return Invalid(
        f"{operation.path} names the large file {operation.sha256}, which has not been uploaded here."
    )


def _regular(hub: Hub, content: bytes | Blob) -> _Regular:
    if isinstance(content, bytes):
        return _Regular(objects.file_oid(content), hub.blobs.put([content]))
    with hub.blobs.open(content.sha256) as stream:
        return _Regular(objects.stream_oid(stream, content.size), content)


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
        self.files: dict[str, File] = {}
        self.large: dict[str, AddLfs] = {}

    def apply(self, operation: Operation, regular: _Regular | None) -> None:
        """Changes the tree; `regular` is the staged content of an AddFile."""
        match operation:
            case AddFile(path):
                assert regular is not None
                self.put(path, regular.oid, regular.blob, is_lfs=False)
            case AddLfs(path, sha256):
                size = uploads.known_size(self.session, self.actor, self.repository, sha256)
                if size is None:
                    raise _not_uploaded(operation)
                oid = objects.file_oid(objects.pointer(sha256, size))
                self.put(path, oid, Blob(sha256, size), is_lfs=True)
                self.large[path] = operation
            case Delete(path):
                if not self.root.remove(path):
                    raise self.missing(path)
            case DeleteFolder(path):
                path = path.removesuffix("/")
                item = self.root.get(path)
                if item is None or not item.is_folder:
                    raise self.missing(path)
                self.root.remove(path)

    def put(self, path: str, oid: str, blob: Blob, *, is_lfs: bool) -> None:
        """Places a file."""
        self.root.put(path, Item(FILE, oid))
        known = self.files.get(oid)
        self.files[oid] = File(
            repository_id=self.repository.id,
            oid=oid,
            sha256=blob.sha256,
            size=blob.size,
            is_lfs=is_lfs or (known is not None and known.is_lfs),
        )

    def missing(self, path: str) -> EntryNotFound:
        """The error that `path` is not there."""
        return EntryNotFound(self.repository.repo_id, self.head.oid, path, self.head.oid)

    def mark_large(self) -> None:
        """Adds to `.gitattributes` the large files it does not match: a clone would keep their pointers."""
        still_large = [path for path in self.large if self.root.get(path) is not None]
        if not still_large:
            return
        text = before = self.attributes()
        for path in still_large:
            if not Attributes(text).is_large(path):
                text = gitattributes.with_path(text, path)
        if text != before:
            regular = _regular(self.hub, text)
            self.put(gitattributes.NAME, regular.oid, regular.blob, is_lfs=False)

    def attributes(self) -> bytes:
        """The `.gitattributes` of the tree as it stands."""
        item = self.root.get(gitattributes.NAME)
        if item is None or item.is_folder:
            return b""
        file = self.files.get(item.oid) or self.session.get_one(File, (self.repository.id, item.oid))
        with self.hub.blobs.open(file.sha256) as stream:
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
        insert_missing(
            self.session,
            File,
            [
                {name: getattr(file, name) for name in ("repository_id", "oid", "sha256", "size", "is_lfs")}
                for file in files
            ],
        )
        large = [file for file in files if file.is_lfs]
        uploads.remember(self.session, self.actor, self.repository, [Blob(f.sha256, f.size) for f in large])
        if large:
            # A pointer that lay here as plain text, its content unknown, is a large file from now on.
            for file in large:
                self.session.execute(
                    update(File)
                    .where(File.repository_id == file.repository_id, File.oid == file.oid, ~File.is_lfs)
                    .values(sha256=file.sha256, size=file.size, is_lfs=True)
                    .execution_options(synchronize_session=False)
                )
