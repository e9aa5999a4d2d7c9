"""How much the files of an account's repositories may take, each content counted once for all of them."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import func, select, union
from sqlalchemy.orm import Session
from sqlalchemy.sql.selectable import Subquery

from modelcenter.errors import QuotaExceeded
from modelcenter.registry import activity
from modelcenter.registry.blobs.interface import Blob
from modelcenter.registry.tables import Account, File, LargeFile, ProposedFile, Repository


def used_bytes(session: Session, owner_id: int) -> int:
    """The bytes that the files of an account's repositories take."""
    contents = _contents(owner_id)
    return int(session.scalar(select(func.coalesce(func.sum(contents.c.size), 0))) or 0)


def require_room(
    session: Session, repository: Repository, blobs: Iterable[Blob] = (), *, coming: int = 0
) -> None:
    """Raises QuotaExceeded unless the owner of `repository` has room for what is new to it among `blobs`.

    coming: bytes of which nothing else is known yet; at least so many must have room.
    Asked before bytes are taken and again before they become the repository's. Uploads that end at the same
    moment may together go beyond.
    """
    if repository.owner_id is not None:
        _require(session, session.get_one(Account, repository.owner_id), blobs, coming)


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
    _require(session, owner, [Blob(sha256, size) for sha256, size in session.execute(files)], 0)


def set_quota(session: Session, owner: Account, quota_bytes: int | None) -> None:
    """Limits what the files of an account may take; None: no limit. What is there already stays."""
    owner.quota_bytes = quota_bytes
    activity.record(session, None, "account.quota", owner.name, bytes=quota_bytes)


def _require(session: Session, owner: Account, blobs: Iterable[Blob], coming: int) -> None:
    if owner.quota_bytes is None:
        return
    wanted = {blob.sha256: blob.size for blob in blobs}
    contents = _contents(owner.id)
    addresses = sorted(wanted)
    for start in range(0, len(addresses), 1000):
        part = addresses[start : start + 1000]
        for known in session.scalars(select(contents.c.sha256).where(contents.c.sha256.in_(part))):
            wanted.pop(known, None)
    new = sum(wanted.values()) + coming
    used = used_bytes(session, owner.id) if new else 0
    if used + new > owner.quota_bytes:
        raise QuotaExceeded(owner.name, owner.quota_bytes, used, new)


def _contents(owner_id: int) -> Subquery:
    return union(
        *(
            select(table.sha256, table.size)
            .join(Repository, Repository.id == table.repository_id)
            .where(Repository.owner_id == owner_id)
            for table in (File, LargeFile, ProposedFile)
        )
    ).subquery()
