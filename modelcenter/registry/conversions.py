"""A commit's pickles as safetensors beside them: asked for, done by a job, proved, committed, told.

The safetensors come as a commit of whoever asked, on the branch they asked for; the pickles stay. The reading
is `modelcenter.conversion`'s: a process of its own that can execute nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelcenter.checkpoint.source import CANDIDATES
from modelcenter.conversion.process import to_safetensors
from modelcenter.conversion.report import ConversionReport, Limits
from modelcenter.errors import (
    AccessDenied,
    Conflict,
    Invalid,
    ModelCenterError,
    NothingToConvert,
    RevisionNotFound,
)
from modelcenter.registry import (
    accounts,
    activity,
    commits,
    contents,
    jobs,
    lifecycle,
    objects,
    revisions,
    uploads,
)
from modelcenter.registry.access import Actor, require
from modelcenter.registry.blobs.interface import Blob
from modelcenter.registry.contents import Entry
from modelcenter.registry.hub import Hub
from modelcenter.registry.operations import AddFile, AddLfs, Operation
from modelcenter.registry.tables import (
    Account,
    Commit,
    Conversion,
    ConversionStatus,
    Job,
    Ref,
    Repository,
    now,
)
from modelcenter.registry.verify import storable

KIND = "convert"
PICKLED = tuple(name for name, kind in CANDIDATES if kind == "pickle")
SAFE = tuple(name for name, kind in CANDIDATES if kind == "safetensors")
INVOLVED = (".bin", ".pt", ".index.json")  # what a pickled checkpoint consists of
TRIES = 5  # to commit while others commit to the branch
CONSIDERED = 20  # conversions of a repository, the latest: which of them is the head's


# --- asking


def request(session: Session, actor: Actor, repo_id: str, branch: str | None = None) -> Conversion:
    """Queues the conversion of the head of `branch`, else of the default one.

    Raises RepositoryNotFound, NotAuthenticated, AccessDenied, NotHosted, RevisionNotFound, NothingToConvert
    where there are safetensors, Invalid where there is no checkpoint.
    """
    repository = lifecycle.get(session, actor, repo_id)
    require(actor, "write", repository)
    revisions.require_hosted(repository)
    branch = branch or repository.default_branch
    ref = session.get(Ref, (repository.id, commits.branch_ref(branch)))
    if ref is None or not ref.name.startswith(revisions.HEADS):
        raise RevisionNotFound(repository.repo_id, branch)
    commit = session.get_one(Commit, (repository.id, ref.target))
    names = {entry.path for entry in contents.tree(session, repository, commit)}
    for name in SAFE:
        if name in names:
            raise NothingToConvert(repository.repo_id, name)
    if not names.intersection(PICKLED):
        raise Invalid(
            f"{repository.repo_id} has no pickles on {branch}: expected one of {', '.join(PICKLED)}."
        )
    activity.record(session, actor, "conversion.request", repository.repo_id, repository, oid=commit.oid)
    return queue(session, ref, actor.account_id)


def queue(session: Session, ref: Ref, requested_by_id: int | None) -> Conversion:
    """Queues the conversion of the commit that `ref` is at, once more where it failed."""
    row = session.get(Conversion, (ref.repository_id, ref.target))
    if row is None:
        row = Conversion(repository_id=ref.repository_id, commit_oid=ref.target)
        session.add(row)
    row.ref, row.status, row.problem, row.finished_at = ref.name, "queued", None, None
    row.requested_by_id, row.requested_at = requested_by_id, now()
    session.flush()
    payload = {"repository_id": ref.repository_id, "commit": ref.target}
    jobs.enqueue(session, KIND, payload, key=_key(row))
    return row


def is_convertible(names: Collection[str]) -> bool:
    """Whether a revision's files are a pickled checkpoint, and not one of safetensors too."""
    return any(name in names for name in PICKLED) and not any(name in names for name in SAFE)


# --- telling


def shown(
    session: Session, repository: Repository, head: str, entries: Collection[Entry]
) -> Conversion | None:
    """The conversion that a revision's page tells of.

    One that is proved counts as long as the revision has its very files, whatever else changed since; one
    that failed, for the commit that it was tried with; one under way, always. entries: of the root.
    """
    present = {entry.path: entry.sha256 for entry in entries}
    rows = session.scalars(
        select(Conversion)
        .where(Conversion.repository_id == repository.id)
        .order_by(Conversion.requested_at.desc())
        .limit(CONSIDERED)
    ).all()
    for row in rows:
        if row.status == "done" and row.files and row.files.items() <= present.items():
            return row
    return next((row for row in rows if row.status == "queued" or row.commit_oid == head), None)


def status_of(session: Session, row: Conversion) -> ConversionStatus:
    """How it stands with a conversion: one whose job was given up has failed, too."""
    if row.status != "queued":
        return row.status
    alive = select(Job.id).where(Job.key == _key(row), Job.state.in_(("queued", "running")))
    return "failed" if session.scalar(alive) is None else "queued"


def _key(row: Conversion) -> str:
    return f"{KIND}:{row.repository_id}:{row.commit_oid}"


# --- doing


def convert(hub: Hub, payload: Mapping[str, Any]) -> None:
    """The job: {"repository_id", "commit"}. What cannot be done is written down, not tried again."""
    key = payload["repository_id"], payload["commit"]
    with hub.database.session() as session:
        row = session.get(Conversion, key)
        repository, commit = session.get(Repository, key[0]), session.get(Commit, key)
        if row is None or repository is None or commit is None or row.status != "queued":
            return
        entries = contents.tree(session, repository, commit)
    try:
        actor = _requester(hub, row)
        with _workplace(hub, row) as place:
            report = _read(hub, entries, place)
            operations = _stored(hub, actor, repository, report, place / "converted")
        files = {operation.path: _address(operation) for operation in operations}
        _note(hub, key, report=storable(report.to_json()), files=files)
        result = _commit(hub, actor, repository, row, entries, report, operations)
    except (ModelCenterError, OSError) as error:
        _note(hub, key, status="failed", problem=storable(str(error)), finished_at=now())
    else:
        _note(hub, key, status="done", result_oid=result, finished_at=now())


def _requester(hub: Hub, row: Conversion) -> Actor:
    with hub.database.session() as session:
        account = session.get(Account, row.requested_by_id) if row.requested_by_id else None
        if account is None:
            raise AccessDenied("Whoever asked for the conversion has no account here any more.")
        return accounts.actor_of(session, account, "write")


@contextmanager
def _workplace(hub: Hub, row: Conversion) -> Iterator[Path]:
    """A folder of this conversion alone; what a killed worker left there is cleared at the next try."""
    place = hub.settings.data / "conversions" / f"{row.repository_id}-{row.commit_oid}"
    shutil.rmtree(place, ignore_errors=True)
    (place / "source").mkdir(parents=True)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _read(hub: Hub, entries: Sequence[Entry], place: Path) -> ConversionReport:
    """The pickles of a commit converted, from the store's own files where it has such."""
    for entry in entries:
        if entry.kind != "file" or entry.sha256 is None or not entry.path.endswith(INVOLVED):
            continue
        path, target = hub.blobs.path(entry.sha256), place / "source" / entry.path
        if path is not None:
            target.symlink_to(path.absolute())
            continue
        with hub.blobs.open(entry.sha256) as blob, target.open("xb") as file:
            shutil.copyfileobj(blob, file)
    settings = hub.settings
    limits = Limits(
        seconds=settings.convert_seconds,
        cpu_seconds=settings.convert_seconds,
        memory_bytes=settings.convert_memory_gb * 10**9,
    )
    return to_safetensors(place / "source", place / "converted", limits=limits)


def _stored(
    hub: Hub, actor: Actor, repository: Repository, report: ConversionReport, folder: Path
) -> list[AddFile | AddLfs]:
    """The converted files in the store, and the operations that add them."""
    operations: list[AddFile | AddLfs] = []
    blobs: list[Blob] = []
    for name in report.files:
        if name.endswith(".json"):
            operations.append(AddFile(name, (folder / name).read_bytes()))
            continue
        with (folder / name).open("rb") as file:
            blob = hub.blobs.put(file)
        blobs.append(blob)
        operations.append(AddLfs(name, blob.sha256, blob.size))
    with hub.database.transaction() as session:
        if lifecycle.hold(session, repository.id):
            uploads.remember(session, actor, repository, blobs)
    return operations


def _commit(
    hub: Hub,
    actor: Actor,
    repository: Repository,
    row: Conversion,
    entries: Sequence[Entry],
    report: ConversionReport,
    operations: Sequence[Operation],
) -> str:
    """Commits the safetensors on top of whatever the branch has got meanwhile, unless its pickles changed."""
    sources = {entry.path: entry.sha256 for entry in entries if entry.path in report.sources}
    for _ in range(TRIES):
        with hub.database.session() as session:
            head = revisions.resolve(session, repository, row.ref, as_it_is=True)
            there = {entry.path: entry.sha256 for entry in contents.tree(session, repository, head)}
        if not sources.items() <= there.items():
            raise Conflict(row.ref, row.commit_oid, head.oid)
        try:
            return commits.commit(
                hub,
                actor,
                repository.repo_id,
                row.ref,
                operations,
                title=f"Convert {report.sources[0]} to safetensors",
                message=f"{report.identical} of {report.tensors} tensors identical, compared bit for bit.",
                expected_head=head.oid,
            ).oid
        except Conflict as error:
            moved = error
    raise moved


def _address(operation: AddFile | AddLfs) -> str:
    if isinstance(operation, AddLfs):
        return operation.sha256
    content = operation.content
    return objects.sha256(content) if isinstance(content, bytes) else content.sha256


def _note(hub: Hub, key: tuple[int, str], **values: Any) -> None:
    with hub.database.transaction() as session:
        row = session.get(Conversion, key)
        if row is not None:  # else the repository was deleted meanwhile
            for name, value in values.items():
                setattr(row, name, value)
