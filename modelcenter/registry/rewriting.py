"""History that is written again: squashed to one commit, or freed of large files for good."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from dulwich.objects import Commit as GitCommit
from dulwich.objects import ObjectID, Tag
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from modelcenter.errors import RepositoryNotFound, RevisionNotFound
from modelcenter.registry import history, lifecycle, objects, pulls
from modelcenter.registry.access import Actor, require
from modelcenter.registry.blobs.interface import address
from modelcenter.registry.history import Record
from modelcenter.registry.hub import Hub
from modelcenter.registry.objects import EMPTY_TREE, Encoded, Item
from modelcenter.registry.revisions import HEADS, find_ref, locked, require_hosted, require_movable, resolve
from modelcenter.registry.tables import (
    Commit,
    CommitParent,
    File,
    LargeFile,
    Ref,
    Repository,
    Withdrawal,
    now,
)
from modelcenter.registry.trees import changed_paths


@dataclass(frozen=True, slots=True)
class LargeFileUse:
    """A large file of a repository: a place where it lies, since when it is here. ref None: in history."""

    sha256: str
    size: int
    oid: str
    path: str
    ref: str | None
    created_at: datetime


def squash(session: Session, actor: Actor, repo_id: str, revision: str, title: str) -> Commit:
    """Puts one commit without parents in place of a branch's or pull request's history; the files stay.

    The commits before it keep their ids for whoever has them. Raises RevisionNotFound, AccessDenied, Frozen.
    """
    repository = lifecycle.get(session, actor, repo_id)
    require_hosted(repository)
    if not lifecycle.hold(session, repository.id):
        raise RepositoryNotFound(repo_id)
    found = find_ref(session, repository, revision)
    pulls.require_push(session, actor, repository, found.name if found else HEADS + revision, lock=True)
    ref = locked(session, repository, found.name) if found else None
    if ref is None or ref.name.startswith("refs/tags/"):
        raise RevisionNotFound(repository.repo_id, revision)
    require_movable(ref)
    head = resolve(session, repository, ref.name)  # what was withdrawn does not come back so
    title, _, message = title.strip().partition("\n")
    commit = history.append(
        session, repository, actor, head.tree, [], [], title=title, message=message.strip(), replaces=head
    )
    ref.target, ref.updated_at = commit.oid, now()
    lifecycle.moved(session, actor, repository, ref, commit, "ref.squash")
    return commit


def large_files(session: Session, actor: Actor, repo_id: str) -> list[LargeFileUse]:
    """The large files that the repository's history names, newest first, for those who may write to it."""
    repository = lifecycle.get(session, actor, repo_id)
    require(actor, "write", repository)
    require_hosted(repository)
    rows = session.execute(
        select(File, LargeFile.created_at)
        .join(LargeFile, (LargeFile.repository_id == File.repository_id) & (LargeFile.sha256 == File.sha256))
        .where(File.repository_id == repository.id, File.is_lfs.is_(True))
        .order_by(LargeFile.created_at.desc(), File.sha256)
    ).all()
    places = where_they_are(session, repository, {file.oid for file, _ in rows})
    return [
        LargeFileUse(file.sha256, file.size, file.oid, *places.get(file.oid, ("", None)), created_at)
        for file, created_at in rows
        if file.oid in places
    ]


def forget_large_files(
    hub: Hub, actor: Actor, repo_id: str, sha256s: Iterable[str], *, rewrite_history: bool = True
) -> None:
    """Takes large files out of the repository for good, and out of every commit that has them.

    Commits that change get new ids, the old ones are no more; authors, dates and words stay. Without
    `rewrite_history` the commits stay as they are: what they hold from now on is the text of the pointers.
    Other repositories that have the same content keep it. Raises Invalid, AccessDenied.
    """
    wanted = sorted({address(sha256) for sha256 in sha256s})
    with hub.database.session() as session:
        repository = _administered(session, actor, repo_id)
        doomed = _named(session, repository, wanted)
    texts = {file.oid: objects.pointer(file.sha256, file.size) for file in doomed}
    if not rewrite_history:
        for text in texts.values():
            hub.blobs.put([text])
    with hub.database.transaction() as session:
        repository = _administered(session, actor, repo_id)
        if lifecycle.lock(session, repository.id) is None:
            raise RepositoryNotFound(repo_id)
        # What is frozen stays as it is, its files too.
        is_frozen = (Ref.repository_id == repository.id) & Ref.frozen_at.is_not(None)
        for ref in session.scalars(select(Ref).where(is_frozen).order_by(Ref.name).limit(1)):
            require_movable(ref)
        head = locked(session, repository, HEADS + repository.default_branch)
        assert head is not None
        files = [file for file in _named(session, repository, wanted) if file.oid in texts]
        if rewrite_history:
            _Rewrite(session, repository, {file.oid for file in files}).run()
            for file in files:
                session.delete(file)
        else:
            for file in files:
                text = texts[file.oid]
                file.sha256, file.size, file.is_lfs = objects.sha256(text), len(text), False
        session.flush()
        for start in range(0, len(wanted), 1000):
            session.execute(
                delete(LargeFile).where(
                    LargeFile.repository_id == repository.id,
                    LargeFile.sha256.in_(wanted[start : start + 1000]),
                )
            )
        session.refresh(head)
        commit = session.get_one(Commit, (repository.id, head.target))
        lifecycle.moved(session, actor, repository, head, commit, "large-files.delete")


def _administered(session: Session, actor: Actor, repo_id: str) -> Repository:
    repository = lifecycle.get(session, actor, repo_id)
    require(actor, "admin", repository)
    require_hosted(repository)
    if not lifecycle.hold(session, repository.id):
        raise RepositoryNotFound(repo_id)
    return repository


def _named(session: Session, repository: Repository, sha256s: Collection[str]) -> list[File]:
    """The rows of these large files."""
    found: list[File] = []
    wanted = sorted(sha256s)
    for start in range(0, len(wanted), 1000):
        rows = session.scalars(
            select(File).where(
                File.repository_id == repository.id,
                File.is_lfs.is_(True),
                File.sha256.in_(wanted[start : start + 1000]),
            )
        )
        found.extend(rows)
    return found


def where_they_are(
    session: Session, repository: Repository, oids: set[str]
) -> dict[str, tuple[str, str | None]]:
    """For each Git id a path and the ref that has it there; no ref where only an older commit does."""
    default = HEADS + repository.default_branch
    rows = session.execute(
        select(Commit.tree, Ref.name)
        .outerjoin(Ref, (Ref.repository_id == Commit.repository_id) & (Ref.target == Commit.oid))
        .where(Commit.repository_id == repository.id)
        .order_by(Commit.generation.desc(), Commit.oid, Ref.name)
    ).all()
    found: dict[str, tuple[str, str | None]] = {}
    groups = (
        [(tree, ref) for tree, ref in rows if ref == default],
        [(tree, ref) for tree, ref in rows if ref not in (default, None)],
        [(tree, None) for tree, ref in rows if ref is None],
    )
    for roots in groups:
        _look(session, repository, roots, oids, found)
    return found


def _look(
    session: Session,
    repository: Repository,
    roots: Sequence[tuple[str, str | None]],
    oids: set[str],
    found: dict[str, tuple[str, str | None]],
) -> None:
    """Adds where in the trees `roots` the ids are first: all trees of one depth by one query."""
    level, seen = [("", tree, ref) for tree, ref in roots], set[tuple[str, str]]()
    while level:
        fresh = [(folder, oid, ref) for folder, oid, ref in level if (folder, oid) not in seen]
        seen |= {(folder, oid) for folder, oid, _ in fresh}
        trees = objects.trees(session, repository.id, (oid for _, oid, _ in fresh))
        level = []
        for folder, oid, ref in fresh:
            for name, item in trees[oid].items():
                path = f"{folder}/{name}" if folder else name
                if item.is_folder:
                    level.append((path, item.oid, ref))
                elif item.oid in oids:
                    found.setdefault(item.oid, (path, ref))


class _Rewrite:
    """The commits of a repository again, without the files of some Git ids.

    All are read together and written together: the number of statements grows with the trees' depth alone.
    """

    def __init__(self, session: Session, repository: Repository, gone: set[str]) -> None:
        self.session, self.repository, self.gone = session, repository, gone
        self.items: dict[str, objects.Items] = {}  # of trees, old and new
        self.trees: dict[str, str] = {}  # old tree -> new tree
        self.new: list[Encoded] = []  # not kept yet
        self.commits: dict[str, str] = {}  # old commit -> new commit, where they differ

    def run(self) -> None:
        """Writes the commits anew, turns refs and tags to them and removes those they replace."""
        mine = Commit.repository_id == self.repository.id
        commits = self.session.scalars(
            select(Commit).where(mine).order_by(Commit.generation, Commit.oid)
        ).all()
        parents: dict[str, list[str]] = {}
        links = (
            select(CommitParent)
            .where(CommitParent.repository_id == self.repository.id)
            .order_by(CommitParent.position)
        )
        for link in self.session.scalars(links):
            parents.setdefault(link.oid, []).append(link.parent)
        self.read({commit.tree for commit in commits} | {EMPTY_TREE})
        texts = objects.read(self.session, self.repository.id, [commit.oid for commit in commits])
        roots: dict[str, str] = {}  # the tree of each commit, old or new
        records: list[Record] = []
        for commit in commits:
            record = self.commit(commit, parents.get(commit.oid, []), texts[commit.oid], roots)
            roots[record.oid] = record.tree
            if record.oid == commit.oid:
                commit.replaces = record.replaces
            else:
                self.commits[commit.oid] = record.oid
                records.append(record)
        self.keep()
        history.keep(self.session, self.repository.id, records)
        refs = select(Ref).where(Ref.repository_id == self.repository.id).order_by(Ref.name).with_for_update()
        moved = [ref for ref in self.session.scalars(refs) if ref.target in self.commits]
        tags = objects.read(self.session, self.repository.id, {ref.tag for ref in moved if ref.tag})
        for ref in moved:
            ref.target, ref.updated_at = self.commits[ref.target], now()
            ref.tag = self.tag(tags[ref.tag], ref.target) if ref.tag else None
        for withdrawal in self.session.scalars(
            select(Withdrawal).where(Withdrawal.repository_id == self.repository.id)
        ):
            withdrawal.commit_oid = self.commits.get(withdrawal.commit_oid, withdrawal.commit_oid)
        self.keep()
        self.session.flush()
        old = sorted(self.commits)
        for start in range(0, len(old), 1000):
            part = old[start : start + 1000]
            self.session.execute(delete(Commit).where(mine, Commit.oid.in_(part)))

    def keep(self) -> None:
        """Keeps the objects written since it was last called."""
        objects.keep(self.session, self.repository.id, {each.oid: each for each in self.new}.values())
        self.new.clear()

    def read(self, level: set[str]) -> None:
        """Reads these trees and all that is below them."""
        while level:
            read = objects.trees(self.session, self.repository.id, level)
            self.items.update(read)
            below = {item.oid for items in read.values() for item in items.values() if item.is_folder}
            level = below - self.items.keys()

    def commit(self, commit: Commit, parents: Sequence[str], text: bytes, roots: Mapping[str, str]) -> Record:
        """The commit as it should be: under its own id where neither its tree nor a parent has changed."""
        tree, oid = self.tree(commit.tree), commit.oid
        before = [self.commits.get(parent, parent) for parent in parents]
        changes: list[tuple[str, str]] = []
        if tree != commit.tree or before != list(parents):
            git = GitCommit.from_string(text)
            git.tree = ObjectID(tree.encode())
            git.parents = [ObjectID(parent.encode()) for parent in before]
            oid = git.id.decode()
            self.new.append(Encoded("commit", oid, git.as_raw_string()))
            changes += changed_paths(self.all, roots[before[0]] if before else EMPTY_TREE, tree)
        return Record(
            oid,
            tree,
            before,
            commit.generation,
            commit.author,
            commit.title,
            commit.message,
            commit.created_at,
            changes,
            commit.author_id,
            self.commits.get(commit.replaces, commit.replaces) if commit.replaces else None,
        )

    def all(self, oids: Collection[str]) -> dict[str, objects.Items]:
        """The entries of these trees."""
        return {oid: self.items[oid] for oid in oids}

    def tree(self, oid: str) -> str:
        """The id of the tree without what is to go; folders that it leaves empty go too."""
        if oid not in self.trees:
            items = self.items[oid]
            left: dict[str, Item] = {}
            for name, item in items.items():
                if item.oid in self.gone:
                    continue
                new = Item(item.mode, self.tree(item.oid)) if item.is_folder else item
                if new.oid != EMPTY_TREE or item.oid == EMPTY_TREE:
                    left[name] = new
            self.trees[oid] = oid
            if left != items:
                encoded = objects.encode_tree(left)
                self.trees[oid], self.items[encoded.oid] = encoded.oid, left
                self.new.append(encoded)
        return self.trees[oid]

    def tag(self, text: bytes, commit: str) -> str:
        """The annotated tag again, of another commit."""
        git = Tag.from_string(text)
        git.object = (GitCommit, ObjectID(commit.encode()))
        self.new.append(Encoded("tag", git.id.decode(), git.as_raw_string()))
        return git.id.decode()
