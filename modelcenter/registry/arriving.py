"""Large files that arrive in parts, or in the bucket itself: files only once all was read and hashed."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from modelcenter.errors import BlobNotFound, Invalid
from modelcenter.registry import jobs, uploads
from modelcenter.registry.access import Actor
from modelcenter.registry.blobs.interface import Blob, DirectStore, Part, Source, pieces
from modelcenter.registry.database import insert_missing
from modelcenter.registry.hub import Hub
from modelcenter.registry.tables import UploadPart, Xorb, now

PARTS = 10_000  # the most that an upload may have; S3's limit
SWEEP = "sweep"
SWEEP_EVERY = timedelta(days=1)
KEPT = timedelta(days=2)  # how long a part waits for the others: longer than the address to send them is good
SALT = 32  # bytes before a staged part that are its alone: equal parts of two uploads do not share a blob


def part_size(hub: Hub, size: int) -> int:
    """In parts of how many bytes a file of `size` bytes arrives, the last one excepted."""
    return max(hub.settings.part_mb * 10**6, math.ceil(size / PARTS))


def direct(hub: Hub) -> DirectStore | None:
    """The store, where clients send to it themselves."""
    store = hub.blobs
    return store if isinstance(store, DirectStore) and store.takes_uploads else None


def name_in_bucket(repo_id: str, account: str, sha256: str) -> str:
    """Where in the bucket somebody's upload of a file to a repository arrives."""
    return hashlib.sha256(f"{repo_id}\n{account}\n{sha256}".encode()).hexdigest()


def accept(hub: Hub, actor: Actor, repo_id: str, blob: Blob) -> bool:
    """Takes what a client sent to the bucket, read back and hashed; says whether anything was there.

    Raises BlobMismatch, after removing what was there, and what `uploads.require_sending` raises.
    """
    store = direct(hub)
    if store is None:
        return False
    uploads.check_sending(hub, actor, repo_id, blob)
    if not store.accept(name_in_bucket(repo_id, actor.name, blob.sha256), blob):
        return False
    uploads.note(hub, actor, repo_id, blob)
    return True


def take_part(
    hub: Hub, actor: Actor, repo_id: str, upload: str, blob: Blob, number: int, size: int, stream: Source
) -> str:
    """Takes part `number` (from 1) of a file and returns its tag; one sent again replaces the first.

    Raises BlobMismatch where it has not `size` bytes, and what `uploads.require_sending` raises.
    """
    uploads.check_sending(hub, actor, repo_id, blob)
    return keep_part(hub, upload, number, size, stream)


def keep_part(hub: Hub, upload: str, number: int, size: int, stream: Source) -> str:
    """Takes a part, whoever sends it, and returns its tag. Raises BlobMismatch."""
    salt = hashlib.sha256(f"{upload}/{number}".encode()).digest()
    staged = hub.staging.put(itertools.chain([salt], pieces(stream)), size=SALT + size)
    with hub.database.transaction() as session:
        moment, key = now(), {"upload": upload, "number": number}
        row = {**key, "sha256": staged.sha256, "size": size, "created_at": moment}
        insert_missing(session, UploadPart, [row])
        part = session.get_one(UploadPart, (upload, number), with_for_update=True, populate_existing=True)
        replaced, part.sha256, part.created_at = part.sha256, staged.sha256, moment
    if replaced != staged.sha256:
        hub.staging.delete(replaced)
    return staged.sha256


def finish(
    hub: Hub, actor: Actor, repo_id: str, upload: str, blob: Blob, count: int, parts: Sequence[Part]
) -> None:
    """Puts the `count` parts of a file together. Raises Invalid, naming what is missing, and BlobMismatch."""
    uploads.check_sending(hub, actor, repo_id, blob)
    here = {number: part.sha256 for number, part in parts_here(hub, upload).items()}
    told = {part.number: part.etag for part in parts}
    wrong = [
        number for number in range(1, count + 1) if number not in here or told.get(number) != here[number]
    ]
    if wrong:
        raise Invalid(f"Of {count} parts of {blob.sha256} number {wrong[0]} has not arrived. Send it again.")
    join(hub, blob, [here[number] for number in range(1, count + 1)])
    uploads.note(hub, actor, repo_id, blob)
    forget(hub, upload)


def parts_here(hub: Hub, upload: str) -> dict[int, Blob]:
    """The parts of an upload that have arrived, by number: their tags, and their bytes in the file."""
    with hub.database.session() as session:
        rows = session.scalars(
            select(UploadPart).where(UploadPart.upload == upload).order_by(UploadPart.number)
        ).all()
    return {row.number: Blob(row.sha256, row.size) for row in rows}


def join(hub: Hub, blob: Blob, tags: Sequence[str]) -> None:
    """Stores a file from all its parts. Raises Invalid where they have gone meanwhile, and BlobMismatch."""

    def whole() -> Iterator[bytes]:
        for tag in tags:
            with hub.staging.open(tag) as part:
                part.seek(SALT)
                yield from pieces(part)

    try:
        hub.blobs.put(whole(), sha256=blob.sha256, size=blob.size)
    except BlobNotFound as error:
        raise Invalid(f"The parts of {blob.sha256} have been cleared away. Send them again.") from error


def forget(hub: Hub, upload: str) -> None:
    """Removes the parts of an upload."""
    tags = [part.sha256 for part in parts_here(hub, upload).values()]
    with hub.database.transaction() as session:
        _forget(session, upload)
    for tag in tags:
        hub.staging.delete(tag)


def sweep(hub: Hub, payload: Mapping[str, Any]) -> None:
    """The job `sweep`: removes what began to arrive and never became a file.

    What nothing refers to in the staging store is removed by the second sweep that sees it ("strays"): the
    first may have come between the bytes and the row that names them.
    """
    before = now() - KEPT
    with hub.database.session() as session:
        old = select(UploadPart.upload).where(UploadPart.created_at < before).distinct()
        stale = session.scalars(old).all()
    for upload in stale:
        with hub.database.transaction() as session:
            parts = session.scalars(
                select(UploadPart).where(UploadPart.upload == upload).with_for_update()
            ).all()
            if all(part.created_at < before for part in parts):
                _forget(session, upload)
            else:
                parts = []
        for part in parts:
            hub.staging.delete(part.sha256)
    for store in (hub.blobs, hub.staging):
        if isinstance(store, DirectStore):
            store.clear(before)
    strays = _strays(hub, hub.staging)
    for sha256 in _strays(hub, set(payload.get("strays", ())) & set(strays)):
        hub.staging.delete(sha256)
    with hub.database.transaction() as session:
        again = {"strays": strays[:1000]}
        jobs.enqueue(session, SWEEP, again, key=SWEEP, run_after=now() + SWEEP_EVERY)


def _strays(hub: Hub, staged: Iterator[str] | Any) -> list[str]:
    """Those of these staged blobs that no row names."""
    with hub.database.session() as session:
        named = set(session.scalars(select(UploadPart.sha256)))
        named.update(filter(None, session.scalars(select(Xorb.sha256))))
    return sorted(set(staged) - named)


def _forget(session: Session, upload: str) -> None:
    session.execute(delete(UploadPart).where(UploadPart.upload == upload))
