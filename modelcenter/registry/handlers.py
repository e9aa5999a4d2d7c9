"""What follows a commit: its verdict, and for the head of the default branch the model's facts and words.

Handlers may run twice and in any order: they write what the commit holds, and only while it still counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelcenter.errors import RevisionNotFound
from modelcenter.registry import (
    arriving,
    conversions,
    deliveries,
    describing,
    facts,
    fsck,
    jobs,
    lifecycle,
    mirror,
    proposals,
    verify,
)
from modelcenter.registry.blobs.interface import Blob
from modelcenter.registry.cards import read_card
from modelcenter.registry.hub import Hub
from modelcenter.registry.repositories import RevisionFiles
from modelcenter.registry.revisions import HEADS
from modelcenter.registry.tables import Commit, Conversion, Model, Ref, Repository, now
from modelcenter.registry.xet import ingest


def describe_commit(hub: Hub, payload: Mapping[str, Any]) -> None:
    """The job `facts`: {"repository_id", "commit", "account_id"}. A repository that is gone asks for nothing.

    account_id: who brought the commit here, which others may have made with Git.
    """
    repository_id, oid = payload["repository_id"], payload["commit"]
    with hub.database.session() as session:
        repository = session.get(Repository, repository_id)
        commit = session.get(Commit, (repository_id, oid))
    if repository is None or commit is None:
        return
    try:
        files = RevisionFiles(hub, repository, commit)
    except RevisionNotFound:
        return
    awaited = files.awaited
    # Of what has not come from the upstream there is no verdict; when it has, this is queued again.
    verdict = None if awaited else verify.judge(files)
    sizes = {name: files.size(name) for name in files.names()}

    def read(name: str, limit: int) -> bytes:
        return b"" if name in awaited else files.read(name, 0, limit)

    if verdict is not None and verdict.is_complete:  # they will be streamed in parts
        entries = map(files.entry, verdict.files)
        fsck.learned(hub, [Blob(entry.sha256, entry.size) for entry in entries if entry.sha256])
    found = describing.evidence(sizes, read, oid, verdict)
    with hub.database.transaction() as session:
        if not lifecycle.hold(session, repository_id) or session.get(Commit, (repository_id, oid)) is None:
            return
        if verdict is not None:
            verify.record(session, repository_id, oid, verdict)
        repository = session.get_one(Repository, repository_id)
        # The row's lock: two workers on one model take turns, and the head that is read next cannot move
        # before these facts are written, for who moves it clears the verdict.
        model = session.scalar(select(Model).where(Model.repository_id == repository_id).with_for_update())
        if describing.heads(session, [repository]).get(repository_id) == oid:
            _write(session, repository, model, found)
            if hub.settings.convert_uploads and not awaited and conversions.is_convertible(files.names()):
                _queue_conversion(session, repository, commit, payload.get("account_id"))


def _write(session: Session, repository: Repository, model: Model | None, found: facts.Evidence) -> None:
    if model is None:
        model = Model(repository_id=repository.id)
        session.add(model)
    seeded = read_card(model.card_text) if model.card_text else None
    facts.describe(repository, model, found, seeded)
    model.updated_at = now()
    facts.publish(session, repository, model, facts.written(found.card, seeded))


def _queue_conversion(
    session: Session, repository: Repository, commit: Commit, requested_by_id: int | None
) -> None:
    """In the name of whoever brought the pickles; once, for what failed will fail again."""
    ref = session.get(Ref, (repository.id, HEADS + repository.default_branch))
    if ref is not None and session.get(Conversion, (repository.id, commit.oid)) is None:
        conversions.queue(session, ref, requested_by_id)


HANDLERS: Mapping[str, jobs.Handler] = {
    "facts": describe_commit,
    conversions.KIND: conversions.convert,
    ingest.KIND: ingest.forget_aged,
    fsck.KIND: fsck.run,
    arriving.SWEEP: arriving.sweep,
    proposals.KIND: proposals.forget_aged,
    mirror.KIND: mirror.run,
    deliveries.KIND: deliveries.deliver,
}
# Kinds that others should not wait for: each set has a worker of its own, the rest shares one.
APART = (
    frozenset({conversions.KIND, fsck.KIND, arriving.SWEEP, proposals.KIND, mirror.KIND}),  # slow
    frozenset({deliveries.KIND}),  # as slow as strangers' servers
)


def begin_upkeep(hub: Hub) -> None:
    """Queues what is done again and again, unless it waits already; an hour from now it begins."""
    with hub.database.transaction() as session:
        for kind in (fsck.KIND, arriving.SWEEP, proposals.KIND):
            jobs.enqueue(session, kind, {}, key=kind, run_after=now() + fsck.ROUND)
