"""What happened on the hub: one event an act, written in the act's transaction; and counts of downloads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from modelcenter.registry import deliveries
from modelcenter.registry.access import Actor
from modelcenter.registry.database import add_to
from modelcenter.registry.events import EVENT_OF
from modelcenter.registry.tables import Activity, DownloadCount, Repository, now


def record(
    session: Session,
    actor: Actor | None,
    verb: str,
    subject: str,
    repository: Repository | None = None,
    **data: Any,
) -> None:
    """Writes down that `actor` (None: the hub itself) did `verb` to `subject`; webhooks are told by jobs."""
    act = Activity(
        account_id=actor.account_id if actor else None,
        actor=actor.name if actor else "",
        verb=verb,
        subject=subject,
        repository_id=repository.id if repository else None,
        private=repository.private if repository else None,
        data=data,
    )
    session.add(act)
    if repository is not None and verb in EVENT_OF:
        deliveries.queue(session, act, repository)


def count_downloads(session: Session, counts: Mapping[int, int]) -> None:
    """Adds downloads by repository id: collected by the server, flushed in batches, off the request."""
    day = now().date()
    for repository_id in sorted(counts):
        # The repository's row before its count's, as whoever deletes it takes them.
        counted = session.execute(
            update(Repository)
            .where(Repository.id == repository_id)
            .values(downloads=Repository.downloads + counts[repository_id])
            .execution_options(synchronize_session=False)
        )
        if counted.rowcount:  # type: ignore[attr-defined]
            keys = {"repository_id": repository_id, "day": day}
            add_to(session, DownloadCount, keys, "count", counts[repository_id])
