"""Large files before their commit: what is here already, who may refer to it, how each file should travel."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from dulwich.ignore import IgnoreFilter
from sqlalchemy import exists, or_, select
from sqlalchemy.orm import Session

from modelcenter.errors import BlobNotFound, RepositoryNotFound
from modelcenter.registry import contents, lifecycle
from modelcenter.registry.access import Actor, require
from modelcenter.registry.blobs.interface import Blob, Source, address
from modelcenter.registry.database import insert_missing
from modelcenter.registry.gitattributes import DEFAULT, NAME, Attributes
from modelcenter.registry.hub import Hub
from modelcenter.registry.tables import Commit, File, LargeFile, Repository, now

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
    gitignore: str | None = None,
) -> list[Plan]:
    """How each of `files` should travel to the branch at `commit` (None: a linked entry, still empty).

    Large is what `.gitattributes` says, what is binary or big; nothing that is empty. Ignored is what
    the `.gitignore` sent along says, else that of the revision.
    """
    attributes = Attributes(_text(hub, session, repository, commit, NAME) if commit else DEFAULT.encode())
    ignore = (
        _text(hub, session, repository, commit, ".gitignore") if gitignore is None else gitignore.encode()
    )
    ignoring = IgnoreFilter(
        [line for line in ignore.splitlines() if line.strip() and not line.startswith(b"#")]
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
            bool(ignoring.is_ignored(file.path)),
            entry.etag if (entry := present.get(file.path)) and entry.kind == "file" else None,
        )
        for file in files
    ]


def known_sizes(
    session: Session, actor: Actor, repository: Repository, sha256s: Iterable[str]
) -> dict[str, int]:
    """The sizes of those large files that `actor` may place in `repository` without sending them.

    They are what was uploaded to this repository, what `actor` uploaded anywhere, and what everybody may read
    anyway. To know a hash is no right: other people's private files are unknown here.
    """
    wanted = sorted({address(sha256) for sha256 in sha256s})
    mine = LargeFile.repository_id == repository.id
    if actor.account_id is not None:
        mine = or_(mine, LargeFile.uploaded_by_id == actor.account_id)
    public = exists().where(
        Repository.id == File.repository_id, Repository.private.is_(False), Repository.gated.is_(None)
    )
    found: dict[str, int] = {}
    for start in range(0, len(wanted), 1000):
        part = wanted[start : start + 1000]
        for known in (
            select(File.sha256, File.size).where(File.sha256.in_(part), public),
            select(LargeFile.sha256, LargeFile.size).where(LargeFile.sha256.in_(part), mine),
        ):
            found.update((sha256, size) for sha256, size in session.execute(known.distinct()))
    return found


def is_here(hub: Hub, session: Session, actor: Actor, repository: Repository, blob: Blob) -> bool:
    """Whether `actor` may place this large file in `repository` without sending it."""
    if known_sizes(session, actor, repository, [blob.sha256]).get(blob.sha256) != blob.size:
        return False
    try:
        return hub.blobs.stat(blob.sha256) == blob.size
    except BlobNotFound:
        return False


def receive(hub: Hub, actor: Actor, repo_id: str, blob: Blob, stream: Source) -> None:
    """Takes the bytes of a large file for a repository that `actor` may write to.

    When it returns they are durable, and a later commit, or the same upload begun again, finds them. Raises
    BlobMismatch and keeps nothing where the bytes are others than announced.
    """
    with hub.database.session() as session:
        require(actor, "write", lifecycle.get(session, actor, repo_id))
    hub.blobs.put(stream, sha256=blob.sha256, size=blob.size)
    with hub.database.transaction() as session:
        repository = lifecycle.get(session, actor, repo_id)
        require(actor, "write", repository)
        if not lifecycle.hold(session, repository.id):
            raise RepositoryNotFound(repo_id)
        remember(session, actor, repository, [blob])


def remember(session: Session, actor: Actor, repository: Repository, blobs: Iterable[Blob]) -> None:
    """Writes down that these large files may be read in `repository`."""
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
