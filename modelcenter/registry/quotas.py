"""How much the files of an account may take, each content counted once for all of them.

What somebody who may not write proposes counts for them, not for the owner of the repository, until somebody
who may write merges or commits it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from sqlalchemy import ColumnElement, Select, delete, exists, func, select, union
from sqlalchemy.orm import Session
from sqlalchemy.sql.selectable import Subquery

from modelcenter.errors import QuotaExceeded
from modelcenter.registry import activity
from modelcenter.registry.access import Actor, may
from modelcenter.registry.blobs.interface import Blob
from modelcenter.registry.database import insert_missing
from modelcenter.registry.tables import Account, File, LargeFile, ProposedFile, Repository, now

PROPOSED_BYTES = 100 * 10**9  # that one person may have proposed to others' repositories and not seen merged


def used_bytes(session: Session, owner_id: int) -> int:
    """The bytes that the files of an account's repositories take, and those that it proposes to others'."""
    return _sum(session, _contents(owner_id))


def require_room(
    session: Session, actor: Actor, repository: Repository, blobs: Iterable[Blob] = (), *, coming: int = 0
) -> None:
    """Raises QuotaExceeded unless there is room for what is new in `repository` among `blobs`.

    The room is its owner's where `actor` may write to it, else that of `actor`, who proposes.
    coming: bytes of which nothing else is known yet; at least so many must have room.
    Asked before bytes are taken; `take_room` is asked when they become the repository's.
    """
    if may(actor, "write", repository):
        if repository.owner_id is not None:
            owner = session.get_one(Account, repository.owner_id)
            _require(session, owner, blobs, coming)
        return
    proposed = _unowned(session, repository, blobs)
    proposer = session.get_one(Account, actor.account_id)
    _require(session, proposer, proposed, coming)
    known = _proposals(proposer.id).distinct().subquery()
    new, used = _measured(session, known, proposed, coming)
    if used + new > PROPOSED_BYTES:
        raise QuotaExceeded(proposer.name, PROPOSED_BYTES, used, new, proposed=True)


def take_room(session: Session, actor: Actor, repository: Repository, blobs: Collection[Blob]) -> None:
    """As `require_room`, in the transaction that makes `blobs` the repository's, and counts them there.

    Others who take room of the same account wait until it ends, so that together they stay within it. It is
    asked after the repository and its refs are locked.
    """
    if may(actor, "write", repository):
        _lock(session, repository.owner_id)
        require_room(session, actor, repository, blobs)
        _settle(session, repository, blobs)
        return
    assert actor.account_id is not None
    _lock(session, actor.account_id, always=True)
    require_room(session, actor, repository, blobs)
    rows = [
        {
            "repository_id": repository.id,
            "sha256": blob.sha256,
            "account_id": actor.account_id,
            "size": blob.size,
            "created_at": now(),
        }
        for blob in sorted(_unowned(session, repository, blobs), key=lambda blob: blob.sha256)
    ]
    insert_missing(session, ProposedFile, rows)


def require_room_for(session: Session, owner: Account, repository: Repository) -> None:
    """Raises QuotaExceeded unless `owner` has room for the files of a repository that moves or is copied."""
    if owner.quota_bytes is None:
        return
    files = union(
        *(
            select(table.sha256, table.size).where(table.repository_id == repository.id)
            for table in (File, LargeFile)
        )
    )
    _lock(session, owner.id)
    blobs = [Blob(sha256, size) for sha256, size in session.execute(files)]
    _require(session, owner, blobs, 0)


def set_quota(session: Session, owner: Account, quota_bytes: int | None) -> None:
    """Limits what the files of an account may take; None: no limit. What is there already stays."""
    owner.quota_bytes = quota_bytes
    activity.record(session, None, "account.quota", owner.name, bytes=quota_bytes)


def _lock(session: Session, account_id: int | None, *, always: bool = False) -> None:
    """Waits for others who take room of the account, where there is a limit to it."""
    wanted = select(Account.id).where(Account.id == account_id)
    if not always:
        wanted = wanted.where(Account.quota_bytes.is_not(None))
    session.execute(wanted.with_for_update(key_share=True))


def _require(session: Session, payer: Account, blobs: Iterable[Blob], coming: int) -> None:
    if payer.quota_bytes is None:
        return
    new, used = _measured(session, _contents(payer.id), blobs, coming)
    if used + new > payer.quota_bytes:
        raise QuotaExceeded(payer.name, payer.quota_bytes, used, new)


def _measured(session: Session, contents: Subquery, blobs: Iterable[Blob], coming: int) -> tuple[int, int]:
    """The bytes that are not yet among `contents`, and where there are any those that are."""
    wanted = {blob.sha256: blob.size for blob in blobs}
    for part in _parts(wanted):
        for known in session.scalars(select(contents.c.sha256).where(contents.c.sha256.in_(part))):
            wanted.pop(known, None)
    new = sum(wanted.values()) + coming
    return new, _sum(session, contents) if new else 0


def _sum(session: Session, contents: Subquery) -> int:
    return int(session.scalar(select(func.coalesce(func.sum(contents.c.size), 0))) or 0)


def _contents(account_id: int) -> Subquery:
    """What counts for an account: its repositories' contents but those that are only proposed, and its own
    proposals."""
    own = (
        select(table.sha256, table.size)
        .join(Repository, Repository.id == table.repository_id)
        .where(Repository.owner_id == account_id, ~_is_proposed(table))
        for table in (File, LargeFile)
    )
    return union(*own, _proposals(account_id)).subquery()


def _proposals(account_id: int) -> Select[str, int]:
    return select(ProposedFile.sha256, ProposedFile.size).where(ProposedFile.account_id == account_id)


def _is_proposed(table: type[File | LargeFile]) -> ColumnElement[bool]:
    return exists().where(
        ProposedFile.repository_id == table.repository_id, ProposedFile.sha256 == table.sha256
    )


def _unowned(session: Session, repository: Repository, blobs: Iterable[Blob]) -> list[Blob]:
    """Those of the contents that are not the repository's own: it has them not, or as proposed ones."""
    wanted = {blob.sha256: blob for blob in blobs}
    for part in _parts(wanted):
        own = select(File.sha256).where(
            File.repository_id == repository.id, File.sha256.in_(part), ~_is_proposed(File)
        )
        for sha256 in session.scalars(own):
            wanted.pop(sha256, None)
    return list(wanted.values())


def _settle(session: Session, repository: Repository, blobs: Iterable[Blob]) -> None:
    """Counts the contents as the repository's own from now on, whoever proposed them."""
    for part in _parts({blob.sha256 for blob in blobs}):
        session.execute(
            delete(ProposedFile)
            .where(ProposedFile.repository_id == repository.id, ProposedFile.sha256.in_(part))
            .execution_options(synchronize_session=False)
        )


def _parts(addresses: Iterable[str]) -> Iterator[list[str]]:
    ordered = sorted(addresses)
    for start in range(0, len(ordered), 1000):
        yield ordered[start : start + 1000]
