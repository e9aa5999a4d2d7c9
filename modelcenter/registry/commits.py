"""A commit: operations become objects, a ref moves, work is queued; all in one transaction or none of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from modelcenter.errors import (
    Conflict,
    EntryNotFound,
    Invalid,
    RepositoryNotFound,
    RevisionNotFound,
)
from modelcenter.registry import describing, gitattributes, history, lifecycle, pulls, revisions, uploads
from modelcenter.registry.access import Actor
from modelcenter.registry.blobs.interface import Blob
from modelcenter.registry.cards import MAX_TEXT, Card, read_card
from modelcenter.registry.contents import known_files
from modelcenter.registry.discussions import MAX_COMMENT, MAX_TITLE
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
    keep_files,
    not_uploaded,
    pointed,
    stage,
    store,
)
from modelcenter.registry.revisions import HEADS, REQUESTS
from modelcenter.registry.tables import Commit, File, Ref, Repository, now
from modelcenter.registry.texts import storable
from modelcenter.registry.trees import Folder


@dataclass(frozen=True, slots=True)
class CommitResult:
    """Where the branch is now. `changed` is false where nothing changed and no commit was made.

    request: the number of the pull request that was opened.
    """

    repo_id: str
    ref: str
    oid: str
    changed: bool
    request: int | None = None


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
    proposes: bool = False,
) -> CommitResult:
    """Applies `operations`, in their order, to the head of a branch or a pull request.

    Commits to one branch follow one another and none is lost. With `expected_head`, the branch must still be
    there. Operations that change nothing make no commit: who missed the answer may send them again.

    proposes: leaves the branch where it is and opens a pull request that asks it to take the commit, which
    builds on `expected_head`, else on the branch's head.

    Raises RepositoryNotFound, RevisionNotFound, EntryNotFound, Conflict, Invalid, AccessDenied, Gated,
    NotAuthenticated, NotHosted.
    """
    title, message = _worded(title, message)
    name = branch_ref(revision)
    if proposes:
        return _propose(hub, actor, repo_id, name, operations, title, message, expected_head)
    with hub.database.session() as session:
        repository = _open(session, actor, repo_id, name, revision)
        if not repository.is_linked:  # before anything is said of the operations, or stored
            branch = session.get_one(Ref, (repository.id, name))
            _base(session, branch, session.get_one(Commit, (repository.id, branch.target)), expected_head)
    if repository.is_linked:
        lifecycle.stage_attributes(hub)
    staged = stage(hub, operations)
    card = _card(hub, operations, staged)
    with hub.database.transaction() as session:
        repository = _open(session, actor, repo_id, name, revision)
        if repository.is_linked:  # of several first commits one hosts the entry, the others follow it
            lifecycle.lock(session, repository.id)
            repository = _open(session, actor, repo_id, name, revision)
        if not lifecycle.hold(session, repository.id):
            raise RepositoryNotFound(repo_id)
        if repository.is_linked:
            lifecycle.host(session, actor, repository)
        request = pulls.require_push(session, actor, repository, name, lock=True)
        # The row's lock is the branch's turn: the head read here is the head until this transaction ends.
        ref = session.scalar(
            select(Ref).where(Ref.repository_id == repository.id, Ref.name == name).with_for_update()
        )
        if ref is None:
            raise RevisionNotFound(repo_id, revision)
        head = session.get_one(Commit, (repository.id, ref.target))
        work = _Work(session, hub, actor, repository, _base(session, ref, head, expected_head))
        try:
            tree, trees = work.changed(operations, staged)
        except (EntryNotFound, Invalid):
            if work.head is head:
                raise
            tree, trees = "", []
        if work.head is not head and tree != head.tree:
            raise Conflict(name, expected_head or "", head.oid)
        if tree == head.tree:
            return CommitResult(repository.repo_id, name, head.oid, changed=False)
        new = work.finish(tree, trees, title, message)
        move(session, ref, head, new)
        if request is not None:
            pulls.note_commit(session, actor, request, new)
        lifecycle.moved(session, actor, repository, ref, new)
        if card is not None and name == HEADS + repository.default_branch:
            describing.take_card(session, repository, new, card)
        return CommitResult(repository.repo_id, name, new.oid, changed=True)


def _propose(
    hub: Hub,
    actor: Actor,
    repo_id: str,
    base: str,
    operations: Sequence[Operation],
    title: str,
    message: str,
    parent: str | None,
) -> CommitResult:
    """Opens a pull request against `base` whose one commit is these operations on `parent`."""
    with hub.database.session() as session:
        _proposable(session, actor, repo_id, base, parent)
    staged = stage(hub, operations)
    with hub.database.transaction() as session:
        repository, head = _proposable(session, actor, repo_id, base, parent)
        if lifecycle.lock(session, repository.id) is None:  # before the room that it takes, as all lock it
            raise RepositoryNotFound(repo_id)
        work = _Work(session, hub, actor, repository, head)
        tree, trees = work.changed(operations, staged)
        if tree == head.tree:
            raise Invalid("The pull request would change nothing: all of it is there already.")
        new = work.finish(tree, trees, title, message)
        short = title if len(title) <= MAX_TITLE else f"{title[: MAX_TITLE - 1]}…"
        request, ref = pulls.begin(session, actor, repository, base, new, short, message[:MAX_COMMENT])
        pulls.note_commit(session, actor, request, new)
        lifecycle.moved(session, actor, repository, ref, new)
        return CommitResult(repository.repo_id, ref.name, new.oid, changed=True, request=request.num)


def _proposable(
    session: Session, actor: Actor, repo_id: str, base: str, parent: str | None
) -> tuple[Repository, Commit]:
    """The repository and what a pull request builds on, if `actor` may open one against `base`."""
    repository = lifecycle.get(session, actor, repo_id)
    uploads.require_sending(actor, repository)
    branch = revisions.resolve(session, repository, base, as_it_is=True)
    if not base.startswith(HEADS):
        raise Invalid(f"{base} is no branch: a pull request asks a branch to take its commits.")
    return repository, revisions.resolve(session, repository, parent) if parent else branch


def _card(hub: Hub, operations: Sequence[Operation], staged: Sequence[Stored | None]) -> Card | None:
    """The card that the operations bring; None where they leave it, or it is a large file."""
    found = {operation.path: stored for operation, stored in zip(operations, staged, strict=True)}
    stored = found.get("README.md")
    if stored is None:
        return None
    with hub.blobs.open(stored.blob.sha256) as stream:
        return read_card(stream.read(MAX_TEXT))


def branch_ref(revision: str) -> str:
    """The full name of the branch or pull request that a commit to `revision` moves."""
    return revision if revision.startswith((HEADS, REQUESTS)) else HEADS + revision


def _open(session: Session, actor: Actor, repo_id: str, name: str, revision: str) -> Repository:
    """The repository, if `actor` may commit to the branch or pull request and it exists."""
    repository = lifecycle.get(session, actor, repo_id)
    pulls.require_push(session, actor, repository, name)
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
    lines = storable(title).strip().split("\n", 1)
    if not lines[0]:
        raise Invalid("A commit needs a title: say in a line what it does.")
    return lines[0].strip(), "\n\n".join(filter(None, [*lines[1:], storable(message)])).strip()


def _base(session: Session, ref: Ref, head: Commit, expected: str | None) -> Commit:
    """What a commit that was made for `expected` builds on: the head of `ref`. Raises Conflict.

    Who did not get the answer asks again: the head may be their own commit, on top of what they expected,
    which is given then. If the operations make the head of it, they are done already.
    """
    if expected is None or _is_meant(expected, head.oid):
        return head
    for parent in history.parents(session, head):
        if _is_meant(expected, parent):
            return session.get_one(Commit, (head.repository_id, parent))
    raise Conflict(ref.name, expected, head.oid)


def _is_meant(expected: str, oid: str) -> bool:
    return len(expected) >= 7 and oid.startswith(expected.lower())


def move(session: Session, ref: Ref, head: Commit, new: Commit) -> None:
    """Moves the ref from `head` to `new`, and from nowhere else; a frozen one not at all."""
    revisions.require_movable(ref)
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
        self.load = history.Loader(session, repository.id)
        self.root = Folder(self.load, head.tree)
        self.files: dict[str, Stored] = {}
        self.large: list[str] = []

    def changed(
        self, operations: Sequence[Operation], staged: Sequence[Stored | None]
    ) -> tuple[str, list[Encoded]]:
        """The tree after these operations, and the trees that are new."""
        self.load.open(self.head.tree, [operation.path for operation in operations])
        large = [operation.sha256 for operation in operations if isinstance(operation, AddLfs)]
        sizes = uploads.known_sizes(self.session, self.actor, self.repository, large)
        for operation, stored in zip(operations, staged, strict=True):
            self.apply(operation, stored, sizes)
        self.take_pointers(operations, staged)
        self.mark_large()
        return self.root.write()

    def apply(self, operation: Operation, stored: Stored | None, sizes: Mapping[str, int]) -> None:
        """Changes the tree. stored: content of an AddFile; sizes: of the large files that may be named."""
        match operation:
            case AddFile(path):
                assert stored is not None
                self.put(path, stored)
            case AddLfs(path, sha256):
                if sha256 not in sizes:
                    raise not_uploaded(path, sha256)
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
        """Places a file, one that may be executed in the place of one that may."""
        present = self.root.get(path)
        mode = present.mode if present is not None and present.is_file else FILE
        self.root.put(path, Item(mode, stored.oid))
        # The text of a pointer, sent as a regular file, is the large file wherever that is known.
        if stored.is_lfs or stored.oid not in self.files:
            self.files[stored.oid] = stored

    def missing(self, path: str) -> EntryNotFound:
        """The error that `path` is not there."""
        return EntryNotFound(self.repository.repo_id, self.head.oid, path, self.head.oid)

    def take_pointers(self, operations: Sequence[Operation], staged: Sequence[Stored | None]) -> None:
        """Makes pointers sent as text large files where `.gitattributes` says so, as a push of them would.

        Raises Invalid for one whose content is not here, or not the actor's to refer to: a clone would fail.
        """
        sent = {
            operation.path: (stored.oid, stored.names)
            for operation, stored in zip(operations, staged, strict=True)
            if stored is not None and stored.names is not None
        }
        if not sent:
            return
        attributes = Attributes(self.attributes())
        known = known_files(self.session, self.repository.id, (oid for oid, _ in sent.values()))
        wanted = {
            path: (oid, blob)
            for path, (oid, blob) in sent.items()
            if (item := self.root.get(path)) is not None
            and item.oid == oid
            and not self.files[oid].is_lfs
            and not (oid in known and known[oid].is_lfs)
            and attributes.is_large(path)
        }
        blobs = list({blob for _, blob in wanted.values()})
        here = uploads.which_are_here(self.hub, self.session, self.actor, self.repository, blobs)
        for path, (oid, blob) in wanted.items():
            if blob not in here:
                raise not_uploaded(path, blob.sha256)
            self.files[oid] = Stored(oid, blob, is_lfs=True)

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
        keep_files(self.session, self.actor, self.repository, self.files.values())
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
