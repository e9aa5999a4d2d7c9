"""Large files before their commit: what is here already, who may refer to it, how each file should travel."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import ColumnElement, and_, exists, false, or_, select, true
from sqlalchemy.orm import Session

from modelcenter.errors import BlobNotFound, RepositoryNotFound
from modelcenter.registry import contents, gitignore, lifecycle, quotas, revisions
from modelcenter.registry.access import Actor, may, reached, require, require_files
from modelcenter.registry.blobs.interface import Blob, Source, address
from modelcenter.registry.database import insert_missing
from modelcenter.registry.gitattributes import DEFAULT, NAME, Attributes
from modelcenter.registry.hub import Hub
from modelcenter.registry.names import check_path
from modelcenter.registry.tables import Commit, File, LargeFile, ProposedFile, Repository, now

REGULAR_MAX = 10_000_000  # bytes; above it a file is large whatever its name


@dataclass(frozen=True, slots=True)
class Announced:
    """A file that a client is about to send; `sample` is how it begins."""

    path: str
    size: int
    sample: bytes = b""


@dataclass(frozen=True, slots=True)
class Plan:
    """How an announced file should travel. `present` names what lies at its path now: see Entry.etag."""

    path: str
    mode: Literal["lfs", "regular"]
    ignored: bool
    present: str | None


def plan(
    hub: Hub,
    session: Session,
    repository: Repository,
    commit: Commit | None,
    files: Sequence[Announced],
    ignoring: str | None = None,
) -> list[Plan]:
    """How each of `files` should travel to the branch at `commit` (None: a linked entry, still empty).

    Large is what `.gitattributes` says, what is binary or big; nothing that is empty. Ignored is what
    `ignoring` says, the text of a `.gitignore` sent along, else that of the revision. Raises Invalid.
    """
    for file in files:
        check_path(file.path)
    attributes = Attributes(_text(hub, session, repository, commit, NAME) if commit else DEFAULT.encode())
    ignored = gitignore.Ignored(
        _text(hub, session, repository, commit, gitignore.NAME)
        if ignoring is None
        else ignoring.encode(errors="replace")
    )
    present = (
        {entry.path: entry for entry in contents.paths(session, repository, commit, [f.path for f in files])}
        if commit
        else {}
    )
    return [
        Plan(
            file.path,
            "lfs" if _is_large(file, attributes) else "regular",
            ignored.has(file.path),
            entry.etag if (entry := present.get(file.path)) and entry.kind == "file" else None,
        )
        for file in files
    ]


def known_sizes(
    session: Session, actor: Actor, repository: Repository, sha256s: Iterable[str]
) -> dict[str, int]:
    """The sizes of those large files that `actor` may place in `repository` without sending them.

    They are what was uploaded to this repository (for those who may write to it; for others what is committed
    to it), what `actor` uploaded anywhere that their token is good for, and what everybody may read anyway.
    To know a hash is no right: other people's private files are unknown here, and so are one's own to a token
    that does not reach them.
    """
    wanted = sorted({address(sha256) for sha256 in sha256s})
    # An uploader that is NULL has gone, and is not the anonymous caller.
    uploaded: ColumnElement[bool] = (
        false()
        if actor.account_id is None
        else and_(LargeFile.uploaded_by_id == actor.account_id, _reached(actor, LargeFile))
    )
    readable: ColumnElement[bool] = exists().where(
        Repository.id == File.repository_id, Repository.private.is_(False), Repository.gated.is_(None)
    )
    if may(actor, "write", repository):
        uploaded = or_(uploaded, LargeFile.repository_id == repository.id)
    else:
        readable = or_(readable, File.repository_id == repository.id)
    found: dict[str, int] = {}
    for start in range(0, len(wanted), 1000):
        part = wanted[start : start + 1000]
        for known in (
            select(File.sha256, File.size).where(File.sha256.in_(part), readable),
            select(LargeFile.sha256, LargeFile.size).where(LargeFile.sha256.in_(part), uploaded),
            select(ProposedFile.sha256, ProposedFile.size).where(
                ProposedFile.sha256.in_(part),
                ProposedFile.account_id == actor.account_id,
                _reached(actor, ProposedFile),
            ),
        ):
            found.update((sha256, size) for sha256, size in session.execute(known.distinct()))
    return found


def _reached(actor: Actor, table: type[LargeFile | ProposedFile]) -> ColumnElement[bool]:
    if actor.resources is None:
        return true()
    return exists().where(Repository.id == table.repository_id, reached(actor))


def is_here(hub: Hub, session: Session, actor: Actor, repository: Repository, blob: Blob) -> bool:
    """Whether `actor` may place this large file in `repository` without sending it."""
    return bool(which_are_here(hub, session, actor, repository, [blob]))


def which_are_here(
    hub: Hub, session: Session, actor: Actor, repository: Repository, blobs: Sequence[Blob]
) -> set[Blob]:
    """Those of these large files that `actor` may place in `repository` without sending them."""
    sizes = known_sizes(session, actor, repository, [blob.sha256 for blob in blobs])

    def is_stored(blob: Blob) -> bool:
        try:
            return hub.blobs.stat(blob.sha256) == blob.size
        except BlobNotFound:
            return False

    known = list({blob for blob in blobs if sizes.get(blob.sha256) == blob.size})
    if len(known) < 2:
        return set(filter(is_stored, known))
    # Each waits for the store, which may be far away: together they wait for less.
    with ThreadPoolExecutor(8) as pool:
        return {blob for blob, stored in zip(known, pool.map(is_stored, known), strict=True) if stored}


def has_sent(hub: Hub, actor: Actor, repo_id: str, blob: Blob) -> bool:
    """Whether `actor` may refer to this large file in the repository by now."""
    with hub.database.session() as session:
        return is_here(hub, session, actor, lifecycle.get(session, actor, repo_id), blob)


def receive(hub: Hub, actor: Actor, repo_id: str, blob: Blob, stream: Source) -> None:
    """Takes the bytes of a large file for a repository that `actor` may write to or propose changes to.

    When it returns they are durable, and a later commit, or the same upload begun again, finds them. Raises
    BlobMismatch and keeps nothing where the bytes are others than announced.
    """
    check_sending(hub, actor, repo_id, blob)
    hub.blobs.put(stream, sha256=blob.sha256, size=blob.size)
    note(hub, actor, repo_id, blob)


def check_sending(hub: Hub, actor: Actor, repo_id: str, blob: Blob) -> None:
    """Raises unless `actor` may send this file to the repository, before its bytes are taken."""
    with hub.database.session() as session:
        repository = lifecycle.get(session, actor, repo_id)
        require_sending(actor, repository)
        quotas.require_room(session, actor, repository, [blob])


def note(hub: Hub, actor: Actor, repo_id: str, *blobs: Blob) -> None:
    """Writes down that `actor` has sent these files, which are in the store, to the repository."""
    with hub.database.transaction() as session:
        repository = lifecycle.get(session, actor, repo_id)
        require_sending(actor, repository)
        if not lifecycle.hold(session, repository.id):
            raise RepositoryNotFound(repo_id)
        remember(session, actor, repository, blobs)


def require_sending(actor: Actor, repository: Repository) -> None:
    """Raises unless `actor` may send content to `repository`: to commit it, or to propose that.

    Raises RepositoryNotFound, NotAuthenticated, AccessDenied, Gated.
    """
    require(actor, "propose", repository)
    if not may(actor, "write", repository):
        revisions.require_hosted(repository)
        require_files(actor, repository)


def remember(session: Session, actor: Actor, repository: Repository, blobs: Iterable[Blob]) -> None:
    """Writes down that `actor` sent these large files to `repository` and may refer to them there.

    So may all who write to it, if `actor` does; what was sent to be proposed is the sender's alone. Raises
    QuotaExceeded.
    """
    blobs = sorted(blobs, key=lambda blob: blob.sha256)
    quotas.take_room(session, actor, repository, blobs)
    if may(actor, "write", repository):
        keep(session, actor, repository, blobs)


def keep(session: Session, actor: Actor, repository: Repository, blobs: Iterable[Blob]) -> None:
    """Writes down that these large files may be read in `repository`: they came, or a commit names them."""
    rows = [
        {
            "repository_id": repository.id,
            "sha256": blob.sha256,
            "size": blob.size,
            "uploaded_by_id": actor.account_id,
            "created_at": now(),
        }
        for blob in sorted(blobs, key=lambda blob: blob.sha256)
    ]
    insert_missing(session, LargeFile, rows)


def lend(session: Session, actor: Actor, repo_id: str, target: str, sha256s: Sequence[str]) -> list[str]:
    """Lets the repository `target` refer to these large files of another; gives back those that this has not.

    Raises RepositoryNotFound, NotAuthenticated, AccessDenied, Gated, Invalid.
    """
    source = lifecycle.get(session, actor, repo_id)
    require_files(actor, source)
    borrower = lifecycle.get(session, actor, target)
    require(actor, "write", borrower)
    revisions.require_hosted(borrower)
    if not lifecycle.hold(session, borrower.id):
        raise RepositoryNotFound(target)
    wanted = list(dict.fromkeys(address(sha256) for sha256 in sha256s))
    found: dict[str, int] = {}
    for start in range(0, len(wanted), 1000):
        rows = session.execute(
            select(File.sha256, File.size).where(
                File.repository_id == source.id,
                File.is_lfs.is_(True),
                File.sha256.in_(wanted[start : start + 1000]),
            )
        )
        found.update((sha256, size) for sha256, size in rows)
    blobs = [Blob(sha256, size) for sha256, size in found.items()]
    quotas.take_room(session, actor, borrower, blobs)
    keep(session, actor, borrower, blobs)
    return [sha256 for sha256 in wanted if sha256 not in found]


def _is_large(file: Announced, attributes: Attributes) -> bool:
    if file.size == 0:
        return False
    return attributes.is_large(file.path) or file.size > REGULAR_MAX or _is_binary(file.sample)


def _is_binary(sample: bytes) -> bool:
    try:
        # The sample may end inside a character: that alone does not make it binary.
        return "\0" in codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return True


def _text(hub: Hub, session: Session, repository: Repository, commit: Commit | None, path: str) -> bytes:
    found = contents.paths(session, repository, commit, [path]) if commit else []
    if not found or found[0].sha256 is None or found[0].size > REGULAR_MAX:
        return b""
    with hub.blobs.open(found[0].sha256) as stream:
        return stream.read()
