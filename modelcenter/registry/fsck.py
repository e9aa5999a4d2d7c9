"""Whether what repositories refer to is in the store as it came: every blob read and hashed, now and then.

What leaves by sendfile, in ranges or from the bucket itself cannot be hashed on its way: here it is. What
each block of a sound blob hashes to is kept, so that parts of it can be checked (`blocks`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, BinaryIO

from sqlalchemy import func, select, union
from sqlalchemy.orm import Session
from sqlalchemy.sql.selectable import Subquery

from modelcenter.errors import BlobDamaged, BlobMismatch, BlobNotFound
from modelcenter.registry import activity, blocks, jobs
from modelcenter.registry.blobs.interface import Blob, hashed
from modelcenter.registry.database import insert_missing
from modelcenter.registry.hub import Hub
from modelcenter.registry.tables import BlobCheck, File, LargeFile, ProposedFile, Repository, now

KIND = "fsck"
ROUND = timedelta(hours=1)
MISSING = "is missing in the store"


@dataclass(frozen=True, slots=True)
class Damage:
    """A blob that cannot be served, why, and the repositories whose files it is."""

    sha256: str
    problem: str
    repositories: tuple[str, ...]


def opened(hub: Hub, sha256: str) -> BinaryIO:
    """The blob, for serving. Raises BlobDamaged where a check found why it is gone, else BlobNotFound."""
    try:
        return hub.blobs.open(sha256)
    except BlobNotFound as error:
        raise _lost(hub, error) from None


def linked(hub: Hub, sha256: str, content_type: str, disposition: str) -> str | None:
    """The blob's address in the store, for clients; None where they have none. Raises as `opened`."""
    link = hub.blobs.link(sha256, content_type=content_type, disposition=disposition)
    if link is not None:
        try:
            hub.blobs.stat(sha256)
        except BlobNotFound as error:
            raise _lost(hub, error) from None
    return link


def suspect(hub: Hub, sha256: str) -> None:
    """Has the blob checked soon."""
    with hub.database.transaction() as session:
        jobs.enqueue(session, KIND, {"sha256": sha256}, key=f"{KIND}:{sha256}")


def learned(hub: Hub, blobs: Collection[Blob]) -> dict[str, bytes]:
    """What is known of the blocks of these blobs, by address; has the others checked, so that it will be."""
    with hub.database.session() as session:
        found = blocks.known(session, blobs)
    for blob in blobs:
        if blob.sha256 not in found:
            suspect(hub, blob.sha256)
    return found


def check(hub: Hub, sha256: str) -> str | None:
    """Reads and hashes the blob and notes what was found; a damaged one is put aside. Returns the problem."""
    found = blocks.Digests()
    problem = _problem(hub, sha256, found)
    if problem is not None and problem != MISSING:
        # Once more: the fault may have been the reading's, and the blob may have been sent again meanwhile.
        found = blocks.Digests()
        problem = _problem(hub, sha256, found)
        if problem is not None and problem != MISSING:
            hub.blobs.quarantine(sha256)
    with hub.database.transaction() as session:
        if problem is None:
            blocks.remember(session, sha256, found)
        known = session.get(BlobCheck, sha256)
        if problem == MISSING and known is not None and known.problem is not None:
            problem = known.problem  # why it is missing
        elif problem is not None:
            activity.record(session, None, "blob.damaged", sha256, problem=problem)
        moment = now()
        if known is None:
            row = {"sha256": sha256, "checked_at": moment, "problem": problem}
            insert_missing(session, BlobCheck, [row])
        else:
            known.checked_at, known.problem = moment, problem
    return problem


def check_all(hub: Hub, *, deep: bool) -> Iterator[str | None]:
    """Checks all that repositories refer to: the problem of each blob. Not deep: hashes what was lost."""
    with hub.database.session() as session:
        addresses = list(session.scalars(select(_referred().c.sha256)))
        lost = set(session.scalars(select(BlobCheck.sha256).where(BlobCheck.problem.is_not(None))))
    for sha256 in addresses:
        if deep or sha256 in lost or not _is_there(hub, sha256):
            yield check(hub, sha256)
        else:
            yield None


def damages(session: Session) -> list[Damage]:
    """The blobs in use that cannot be served."""
    uses = _uses()
    rows = session.execute(
        select(BlobCheck.sha256, BlobCheck.problem, Repository.namespace, Repository.name)
        .join(uses, uses.c.sha256 == BlobCheck.sha256)
        .join(Repository, Repository.id == uses.c.repository_id)
        .where(BlobCheck.problem.is_not(None))
        .order_by(BlobCheck.sha256, Repository.key)
    )
    found: dict[tuple[str, str], list[str]] = {}
    for sha256, problem, namespace, name in rows:
        assert problem is not None
        found.setdefault((sha256, problem), []).append(f"{namespace}/{name}")
    return [Damage(sha256, problem, tuple(names)) for (sha256, problem), names in found.items()]


def run(hub: Hub, payload: Mapping[str, Any]) -> None:
    """The job `fsck`: {"sha256"} of one blob, else those whose turn it is: all have theirs in time."""
    if "sha256" in payload:
        check(hub, payload["sha256"])
        return
    if not hub.settings.check_days:
        return
    rounds = timedelta(days=hub.settings.check_days) / ROUND
    referred = _referred()
    with hub.database.session() as session:
        total = session.scalar(select(func.count()).select_from(referred)) or 0
        due = session.scalars(
            select(referred.c.sha256)
            .outerjoin(BlobCheck, BlobCheck.sha256 == referred.c.sha256)
            .order_by(BlobCheck.checked_at.is_not(None), BlobCheck.checked_at, referred.c.sha256)
            .limit(math.ceil(total / rounds))
        ).all()
    for sha256 in due:
        check(hub, sha256)
    with hub.database.transaction() as session:
        jobs.enqueue(session, KIND, {}, key=KIND, run_after=now() + ROUND)


def _lost(hub: Hub, error: BlobNotFound) -> BlobDamaged | BlobNotFound:
    with hub.database.session() as session:
        row = session.get(BlobCheck, error.sha256)
    return BlobDamaged(error.sha256, row.problem) if row is not None and row.problem else error


def _problem(hub: Hub, sha256: str, found: blocks.Digests) -> str | None:
    try:
        with hub.blobs.open(sha256) as stream:
            hashed(stream, found.add, sha256, None)
    except BlobNotFound:
        return MISSING
    except BlobMismatch as mismatch:
        return f"is stored as bytes of SHA-256 {mismatch.found}"
    return None


def _is_there(hub: Hub, sha256: str) -> bool:
    try:
        hub.blobs.stat(sha256)
    except BlobNotFound:
        return False
    return True


def _referred() -> Subquery:
    """The addresses of all blobs that repositories refer to, each once."""
    return union(*(select(table.sha256) for table in (File, LargeFile, ProposedFile))).subquery()


def _uses() -> Subquery:
    """Which repository refers to which blob."""
    tables = (File, LargeFile, ProposedFile)
    return union(*(select(table.sha256, table.repository_id) for table in tables)).subquery()
