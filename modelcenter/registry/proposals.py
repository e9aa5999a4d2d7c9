"""What was proposed and came to nothing: forgotten in time.

It counts for those who sent it as long as it is here (registry.quotas), so they have it back then.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import String, cast, delete, exists, literal, select
from sqlalchemy.orm import Session

from modelcenter.registry import activity, discussions, history, jobs, lifecycle, merging, pulls, revisions
from modelcenter.registry.hub import Hub
from modelcenter.registry.rewriting import where_they_are
from modelcenter.registry.tables import (
    Commit,
    CommitParent,
    Discussion,
    File,
    LargeFile,
    ProposedFile,
    Ref,
    Repository,
    now,
)

KIND = "proposals"
ROUND = timedelta(days=1)
UNPROPOSED = timedelta(days=7)  # how long what was sent waits for the commit that names it
CLOSED = timedelta(days=30)  # how long a closed pull request can be opened again
MOST = 1000  # commits of a request that is forgotten


def forget_aged(hub: Hub, payload: Mapping[str, Any]) -> None:
    """The job `proposals`: forgets what was sent and never proposed, and the commits of closed requests."""
    aged = (
        select(Discussion.repository_id, Discussion.num)
        .join(
            Ref,
            (Ref.repository_id == Discussion.repository_id)
            & (Ref.name == literal(revisions.REQUESTS) + cast(Discussion.num, String)),
        )
        .where(Discussion.status == "closed", Discussion.updated_at < now() - CLOSED)
        .where(
            exists().where(
                ProposedFile.repository_id == Discussion.repository_id,
                ProposedFile.account_id == Discussion.author_id,
            )
        )
        .order_by(Discussion.repository_id, Discussion.num)
    )
    with hub.database.session() as session:
        requests = session.execute(aged).all()
    for repository_id, num in requests:
        with hub.database.transaction() as session:
            _forget_request(session, repository_id, num)
    with hub.database.transaction() as session:
        named = exists().where(
            File.repository_id == ProposedFile.repository_id, File.sha256 == ProposedFile.sha256
        )
        session.execute(
            delete(ProposedFile)
            .where(ProposedFile.created_at < now() - UNPROPOSED, ~named)
            .execution_options(synchronize_session=False)
        )
        jobs.enqueue(session, KIND, {}, key=KIND, run_after=now() + ROUND)


def _forget_request(session: Session, repository_id: int, num: int) -> None:
    """Takes the commits of a closed request away, and the files that only they had.

    Not where others build on them: then they stay, and count as before.
    """
    repository = lifecycle.lock(session, repository_id)
    if repository is None:
        return
    request = discussions.lock(session, repository, num)
    ref = revisions.locked(session, repository, pulls.ref_name(num))
    at = merging.standing(session, repository, request)
    if ref is None or at is None or request.status != "closed" or request.updated_at >= now() - CLOSED:
        return
    own = _own_commits(session, repository, request, at, ref)
    if own is None:
        return
    activity.record(session, None, "ref.delete", repository.repo_id, repository, ref=ref.name, oid=ref.target)
    session.delete(ref)
    session.flush()
    session.execute(delete(Commit).where(Commit.repository_id == repository.id, Commit.oid.in_(own)))
    _forget_files(session, repository, request)


def _own_commits(
    session: Session, repository: Repository, request: Discussion, at: merging.Standing, ref: Ref
) -> list[str] | None:
    """The ids of the commits that the request alone has; None where something else comes from them."""
    commits = history.since(session, at.head, at.fork, limit=MOST + 1)
    oids = {commit.oid for commit in commits}
    if len(commits) > MOST or any(commit.author_id != request.author_id for commit in commits):
        return None
    children = select(CommitParent.oid).where(
        CommitParent.repository_id == repository.id, CommitParent.parent.in_(oids)
    )
    others = select(Ref.name).where(
        Ref.repository_id == repository.id, Ref.target.in_(oids), Ref.name != ref.name
    )
    if set(session.scalars(children)) - oids or session.scalar(others.limit(1)):
        return None
    return sorted(oids)


def _forget_files(session: Session, repository: Repository, request: Discussion) -> None:
    """Takes away the files that its author proposed and no commit has any more."""
    rows = session.scalars(
        select(File)
        .join(
            ProposedFile,
            (ProposedFile.repository_id == File.repository_id) & (ProposedFile.sha256 == File.sha256),
        )
        .where(File.repository_id == repository.id, ProposedFile.account_id == request.author_id)
    ).all()
    places = where_they_are(session, repository, {file.oid for file in rows})
    kept = {file.sha256 for file in rows if file.oid in places}
    for file in rows:
        if file.oid not in places:
            session.delete(file)
    session.flush()
    gone = sorted({file.sha256 for file in rows} - kept)
    for start in range(0, len(gone), 1000):
        part = gone[start : start + 1000]
        session.execute(
            delete(LargeFile).where(LargeFile.repository_id == repository.id, LargeFile.sha256.in_(part))
        )
        session.execute(
            delete(ProposedFile).where(
                ProposedFile.repository_id == repository.id,
                ProposedFile.account_id == request.author_id,
                ProposedFile.sha256.in_(part),
            )
        )
