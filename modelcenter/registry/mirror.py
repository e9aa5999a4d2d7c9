"""Mirrors: a repository of another hub copied here with its history; doing it again brings it up to date.

Git's objects come over Git, large files by ranges. Each byte is hashed before anything refers to it. While a
mirror is on its way it is a linked entry, to which the large files that have come so far belong already.
"""

from __future__ import annotations

import hashlib
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from modelcenter.errors import (
    AccessDenied,
    AlreadyExists,
    BlobMismatch,
    BlobNotFound,
    Invalid,
    ModelCenterError,
    NotAuthenticated,
    NotFound,
    NotSupported,
    QuotaExceeded,
    RepositoryNotFound,
    TooLarge,
)
from modelcenter.registry import (
    accounts,
    activity,
    adopting,
    arriving,
    commits,
    contents,
    jobs,
    lifecycle,
    objects,
    operations,
    quotas,
    revisions,
    uploads,
)
from modelcenter.registry.access import ANONYMOUS, Actor
from modelcenter.registry.blobs.interface import Blob
from modelcenter.registry.git import importing, packs
from modelcenter.registry.git.packs import WHOLE_BYTES, Pack
from modelcenter.registry.hub import Hub
from modelcenter.registry.operations import AddFile, AddLfs, Delete, Operation
from modelcenter.registry.revisions import HEADS, TAGS
from modelcenter.registry.tables import (
    Account,
    AwaitedFile,
    Commit,
    Job,
    JobState,
    LargeFile,
    Mirror,
    Ref,
    Repository,
    now,
)
from modelcenter.registry.upstream import Described, Listed, Upstream, own_token

KIND = "mirror"
PART_BYTES = 16 << 20  # of a large file are fetched and kept at once: so much is lost when a mirror is killed
TOGETHER = 4  # parts fetched at once

# What stays so until somebody does something about it; a hub that is away may be back.
LASTING = (NotFound, AccessDenied, NotAuthenticated, Invalid, AlreadyExists, QuotaExceeded, TooLarge)

# (bytes of large files that are here by now, of how many in all): told from several threads
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Mirrored:
    """What a mirror came to: the refs that follow the upstream's, and the commit that the revision is.

    transferred: bytes of large files. by_git: False where the upstream does not speak Git, so that the
    revision is one commit here, without its history and under an id of ours.
    """

    repo_id: str
    commit: str
    refs: Sequence[str]
    changed: bool
    transferred: int
    by_git: bool


def mirror(
    hub: Hub,
    actor: Actor,
    upstream: Upstream,
    upstream_id: str,
    *,
    revision: str = "main",
    repo_id: str | None = None,
    force: bool = False,
    progress: Progress = lambda done, total: None,
) -> Mirrored:
    """Copies `revision` of the upstream's repository with its history, into `repo_id`; None: the same id.

    A branch or tag is here what it is there; a new mirror's `main` is the revision, whatever that is called.
    What is or becomes private or gated there is so here. Again: fetches what is new. Interrupted and begun
    again: fetches the rest. force: a branch that was rewritten there, or committed to here, becomes what it
    is there.

    Raises RepositoryNotFound, RevisionNotFound, HubUnreachable, HubRefused, AlreadyExists, Invalid,
    AccessDenied, NotAuthenticated, QuotaExceeded, BlobMismatch.
    """
    described = upstream.describe(upstream_id, revision)
    place = repo_id or described.repo_id
    with hub.database.transaction() as session:
        repository = _entry(session, actor, place, upstream.endpoint, described)
        haves = list(session.scalars(select(Ref.target).where(Ref.repository_id == repository.id)))
        is_new = repository.is_linked
    completed = _complete(hub, actor, upstream, described, repository, progress)
    with tempfile.TemporaryFile() as received, tempfile.TemporaryFile() as file:
        name, tip = None, described.commit

        def choose(known: Mapping[str, str]) -> list[str]:
            nonlocal name, tip
            name, tip = _chosen(known, revision, described.commit)
            return [] if _is_here(hub, repository, name, tip) else [tip]

        try:
            upstream.fetch(described.repo_id, choose, haves, received)
        except NotSupported:
            return _snapshot(hub, actor, upstream, described, repository, revision, progress)
        refs = {name: tip} if name else {}
        if not received.tell():
            with hub.database.transaction() as session:
                _note(session, repository, upstream.endpoint, described)
            return Mirrored(
                repository.repo_id, described.commit, sorted(refs), completed > 0, completed, True
            )
        received.seek(0)
        packs.spool(received, file)
        pack = Pack(file, importing.outside(hub, repository.id))
        with hub.database.session() as session:
            arrival = importing.examine(hub, session, repository, pack, [tip], regular_max=WHOLE_BYTES)
        commit = arrival.heads[tip]
        if is_new:
            refs.setdefault(f"{HEADS}main", commit)
            arrival.heads[commit] = commit
        places = {blob: (arrival.origins[oid], arrival.files[oid]) for oid, blob in arrival.large.items()}
        transfer = _Transfer(hub, actor, upstream, described.repo_id, repository, progress)
        transferred = completed + transfer.fetch(places)
        files = importing.store(hub, pack, arrival)
        adopting.check_refs(refs)
        with hub.database.transaction() as session:
            adopting.adopt(session, actor, repository, refs, pack, arrival, files, force=force)
            _note(session, repository, upstream.endpoint, described)
    return Mirrored(repository.repo_id, commit, sorted(refs), True, transferred, True)


def request(
    session: Session, actor: Actor, upstream: str, upstream_id: str, *, revision: str, repo_id: str
) -> None:
    """Queues a mirror in `actor`'s name. Raises AccessDenied, NotAuthenticated, AlreadyExists, Invalid.

    Site admins may name any upstream, and what they ask for is read with the hub's own token, if it has one.
    """
    repository = lifecycle.find(session, repo_id)
    _require(session, actor, repo_id, repository, upstream, upstream_id)
    payload = {
        "account_id": actor.account_id,
        "upstream": upstream,
        "upstream_id": upstream_id,
        "revision": revision,
        "repo_id": repo_id,
        "trusted": actor.is_admin,
    }
    jobs.enqueue(session, KIND, payload, key=_key(repo_id))
    activity.record(session, actor, "mirror.request", repo_id, repository, upstream=upstream, id=upstream_id)


@dataclass(frozen=True, slots=True)
class State:
    """How it stands with a mirror. problem: what was wrong with the last try, after which it is tried again
    or `failed`. mirror: where the repository comes from, once it has come.
    """

    repo_id: str
    state: JobState
    problem: str | None
    mirror: Mirror | None


def state(session: Session, actor: Actor, repo_id: str) -> State:
    """How it stands with the mirror `repo_id`, for who asked for it and for who may read it.

    Raises RepositoryNotFound.
    """
    job = session.scalar(select(Job).where(Job.key == _key(repo_id)).order_by(Job.id.desc()).limit(1))
    is_own = job is not None and (actor.is_admin or job.payload["account_id"] == actor.account_id)
    repository = lifecycle.find(session, repo_id) if is_own else lifecycle.get(session, actor, repo_id)
    row = session.get(Mirror, repository.id) if repository else None
    if job is None:
        if row is None:
            raise RepositoryNotFound(repo_id)
        return State(repo_id, "done", None, row)
    return State(repo_id, job.state, _sentence(job.error) if job.error else None, row)


def _sentence(problem: str) -> str:
    """What may be told of a job's problem: the text of an error of ours, at the end of its traceback."""
    lines = problem.strip().splitlines()
    if len(lines) == 1:
        return lines[0]
    kind, _, sentence = lines[-1].partition(": ")
    return sentence if kind.startswith(f"{ModelCenterError.__module__}.") else "The hub's log says why."


def run(hub: Hub, payload: Mapping[str, Any]) -> None:
    """The job `mirror`: see `request`."""
    with hub.database.session() as session:
        account = session.get(Account, payload["account_id"])
        if account is None:
            raise AccessDenied("Whoever asked for the mirror has no account here any more.")
        actor = accounts.actor_of(session, account, "write")
    is_trusted = payload["trusted"] and actor.is_admin
    token = own_token(hub.settings, payload["upstream"]) if is_trusted else None
    try:
        with Upstream(payload["upstream"], token) as upstream:
            mirror(
                hub,
                actor,
                upstream,
                payload["upstream_id"],
                revision=payload["revision"],
                repo_id=payload["repo_id"],
            )
    except LASTING as error:
        raise jobs.Hopeless(str(error)) from error


def _complete(
    hub: Hub,
    actor: Actor,
    upstream: Upstream,
    described: Described,
    repository: Repository,
    progress: Progress,
) -> int:
    """Brings what is awaited of a mirror that pulls; the bytes that came."""
    with hub.database.session() as session:
        awaited = session.scalars(select(AwaitedFile).where(AwaitedFile.repository_id == repository.id)).all()
    places = {Blob(file.sha256, file.size): (file.commit_oid, file.path) for file in awaited}
    came = _Transfer(hub, actor, upstream, described.repo_id, repository, progress).fetch(places)
    if awaited:
        files = [operations.Stored(file.oid, Blob(file.sha256, file.size), is_lfs=True) for file in awaited]
        with hub.database.transaction() as session:
            if not lifecycle.hold(session, repository.id):
                raise RepositoryNotFound(repository.repo_id)
            operations.keep_files(session, actor, repository, files)
            lifecycle.queue_head(session, actor, repository)
    return came


def _snapshot(
    hub: Hub,
    actor: Actor,
    upstream: Upstream,
    described: Described,
    repository: Repository,
    revision: str,
    progress: Progress,
) -> Mirrored:
    """The revision as one commit on a branch of its name, `main` where it is the first."""
    is_first = repository.is_linked or revisions.is_full_id(revision)
    branch = "main" if is_first else revision.removeprefix(HEADS)
    listed = {file.path: file for file in upstream.files(described.repo_id, described.commit)}
    places = {
        Blob(file.sha256, file.size): (described.commit, file.path) for file in listed.values() if file.sha256
    }
    transferred = _Transfer(hub, actor, upstream, described.repo_id, repository, progress).fetch(places)
    here: dict[str, str] = {}
    if not repository.is_linked:
        with hub.database.transaction() as session:
            if revisions.find_ref(session, repository, HEADS + branch) is None:
                revisions.create_branch(session, actor, repository.repo_id, branch)
        with hub.database.session() as session:
            head = revisions.resolve(session, repository, HEADS + branch)
            entries = contents.tree(session, repository, head, recursive=True)
            here = {entry.path: entry.oid for entry in entries if entry.kind == "file"}
    changes: list[Operation] = [Delete(path) for path in here if path not in listed]
    for file in listed.values():
        if file.sha256:
            changes.append(AddLfs(file.path, file.sha256, file.size))
        elif here.get(file.path) != file.oid:
            changes.append(AddFile(file.path, _regular(hub, upstream, described, file)))
    title = f"Mirror {described.repo_id} at {described.commit}"
    result = commits.commit(hub, actor, repository.repo_id, branch, changes, title=title)
    with hub.database.transaction() as session:
        _note(session, repository, upstream.endpoint, described)
    return Mirrored(repository.repo_id, result.oid, [result.ref], result.changed, transferred, False)


def _regular(hub: Hub, upstream: Upstream, described: Described, file: Listed) -> Blob:
    """The content of a regular file, stored. Raises BlobMismatch, TooLarge."""
    if file.size > WHOLE_BYTES:
        raise TooLarge(
            f"{file.path} has {file.size} bytes and is no large file there; at most {WHOLE_BYTES} are taken."
        )
    content = b"".join(upstream.read(described.repo_id, described.commit, file.path, 0, file.size))
    if objects.file_oid(content) != file.oid:
        raise BlobMismatch(f"{file.path} as {file.oid}", objects.file_oid(content))
    return hub.blobs.put([content])


class _Transfer:
    """Large files of a repository on their way from the upstream, in parts that wait in the staging store."""

    def __init__(
        self,
        hub: Hub,
        actor: Actor,
        upstream: Upstream,
        upstream_id: str,
        repository: Repository,
        progress: Progress,
    ) -> None:
        self.hub, self.actor, self.upstream, self.upstream_id = hub, actor, upstream, upstream_id
        self.repository, self.progress = repository, progress
        self.done = self.total = self.transferred = 0
        self.counting = threading.Lock()

    def fetch(self, places: Mapping[Blob, tuple[str, str]]) -> int:
        """Brings each file, found at (commit, path), and returns how many bytes came.

        Each is the repository's as soon as it is whole. Raises BlobMismatch for one that is not what its
        pointer says.
        """
        with self.hub.database.session() as session:
            quotas.require_room(session, self.actor, self.repository, places)
            missing = places.keys() - self._here(session, places)
        self.total = sum(blob.size for blob in places)
        self.done = self.total - sum(blob.size for blob in missing)
        self.progress(self.done, self.total)
        with ThreadPoolExecutor(TOGETHER) as pool:
            for blob in sorted(missing, key=lambda blob: places[blob]):
                self._file(pool, blob, *places[blob])
                with self.hub.database.transaction() as session:
                    if not lifecycle.hold(session, self.repository.id):
                        raise RepositoryNotFound(self.repository.repo_id)
                    uploads.keep(session, self.actor, self.repository, [blob])
        return self.transferred

    def _here(self, session: Session, blobs: Mapping[Blob, object]) -> set[Blob]:
        """Those that need not come: sent to this repository before, or everybody's to read.

        Who names a hash to us has not shown that they hold the content: other files that are here come again.
        """
        wanted = [blob.sha256 for blob in blobs]
        sizes = uploads.known_sizes(session, ANONYMOUS, self.repository, wanted)
        for start in range(0, len(wanted), 1000):
            own = select(LargeFile.sha256, LargeFile.size).where(
                LargeFile.repository_id == self.repository.id,
                LargeFile.sha256.in_(wanted[start : start + 1000]),
            )
            sizes.update((sha256, size) for sha256, size in session.execute(own))
        return {blob for blob in blobs if sizes.get(blob.sha256) == blob.size and self._is_stored(blob)}

    def _is_stored(self, blob: Blob) -> bool:
        try:
            return self.hub.blobs.stat(blob.sha256) == blob.size
        except BlobNotFound:
            return False

    def _file(self, pool: ThreadPoolExecutor, blob: Blob, commit: str, path: str) -> None:
        upload = hashlib.sha256(f"mirror\n{self.repository.id}\n{blob.sha256}".encode()).hexdigest()
        spans = [(start, min(start + PART_BYTES, blob.size)) for start in range(0, blob.size, PART_BYTES)]
        here = arriving.parts_here(self.hub, upload)

        def part(number: int, start: int, stop: int) -> str:
            known = here.get(number)
            if known is not None and known.size == stop - start:
                self._count(stop - start, came=False)
                return known.sha256
            stream = self._counted(self.upstream.read(self.upstream_id, commit, path, start, stop))
            return arriving.keep_part(self.hub, upload, number, stop - start, stream)

        if len(spans) <= 1:
            self.hub.blobs.put(
                self._counted(self.upstream.read(self.upstream_id, commit, path, 0, blob.size)),
                sha256=blob.sha256,
                size=blob.size,
            )
            return
        waiting = [pool.submit(part, number, *span) for number, span in enumerate(spans, start=1)]
        try:
            tags = [future.result() for future in waiting]
            arriving.join(self.hub, blob, tags)
        except BlobMismatch:  # begun again, all of it comes anew
            arriving.forget(self.hub, upload)
            raise
        finally:
            for future in waiting:
                future.cancel()
        arriving.forget(self.hub, upload)

    def _counted(self, stream: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in stream:
            self._count(len(chunk))
            yield chunk

    def _count(self, size: int, *, came: bool = True) -> None:
        with self.counting:
            self.done += size
            self.transferred += size if came else 0
            self.progress(self.done, self.total)


def _entry(session: Session, actor: Actor, repo_id: str, endpoint: str, described: Described) -> Repository:
    """The repository to mirror into: a mirror of the same, else a linked entry, made where there is none."""
    repository = lifecycle.find(session, repo_id)
    _require(session, actor, repo_id, repository, endpoint, described.repo_id)
    if repository is None:
        try:
            with session.begin_nested():
                repository = lifecycle.link(session, repo_id, described.repo_id)
        except IntegrityError:  # two at once: the other was first
            raise AlreadyExists("Repository", repo_id) from None
    # A model that its owners have closed since is closed here too; to open it is left to people here.
    private, gated = repository.private or described.private, repository.gated or described.gated
    if repository.is_linked:
        private, gated = described.private, described.gated
    elif (private, gated) != (repository.private, repository.gated):
        activity.record(
            session,
            actor,
            "repository.settings",
            repository.repo_id,
            repository,
            private=private,
            gated=gated,
        )
    repository.private, repository.gated = private, gated
    return repository


def _require(
    session: Session,
    actor: Actor,
    repo_id: str,
    repository: Repository | None,
    endpoint: str,
    upstream_id: str,
) -> None:
    """Raises unless `actor` may mirror into `repo_id`, which is free or such a mirror already."""
    adopting.require_place(actor, repo_id, repository)
    if repository is None or repository.is_linked:
        return
    known = session.get(Mirror, repository.id)
    if known is None or (known.endpoint, known.upstream_id.lower()) != (endpoint, upstream_id.lower()):
        found = f"a mirror of {known.upstream_id} at {known.endpoint}" if known else "no mirror"
        raise Invalid(
            f"{repository.repo_id} is here already, and {found}; expected one of {upstream_id} at "
            f"{endpoint}. Mirror under another name (--as)."
        )


def _note(session: Session, repository: Repository, endpoint: str, described: Described) -> None:
    """Writes down where the repository comes from, and that it is up to date."""
    row = session.get(Mirror, repository.id)
    if row is None:
        row = Mirror(repository_id=repository.id)
        session.add(row)
    row.endpoint, row.upstream_id, row.checked_at = endpoint, described.repo_id, now()


def _chosen(known: Mapping[str, str], revision: str, commit: str) -> tuple[str | None, str]:
    """The ref that `revision` names upstream and where it is; for a commit's id no ref, and the commit."""
    if revision.startswith("refs/"):
        names = [revision] if revision.startswith((HEADS, TAGS)) else []
    else:
        names = [HEADS + revision, TAGS + revision]
    return next(((name, known[name]) for name in names if name in known), (None, commit))


def _is_here(hub: Hub, repository: Repository, name: str | None, tip: str) -> bool:
    """Whether the ref is where it is upstream, or the commit is here, so that nothing needs to come."""
    if repository.is_linked:
        return False
    with hub.database.session() as session:
        if name is None:
            return session.get(Commit, (repository.id, tip)) is not None
        ref = session.get(Ref, (repository.id, name))
        return ref is not None and tip in (ref.tag, ref.target)


def _key(repo_id: str) -> str:
    return f"{KIND}:{repo_id.lower()}"
