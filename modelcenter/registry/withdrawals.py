"""Commits that their owners took back: refs pass over them, and who names one by its id is warned."""

from __future__ import annotations

from sqlalchemy import update
from sqlalchemy.orm import Session

from modelcenter.errors import Invalid, RepositoryNotFound
from modelcenter.registry import activity, describing, lifecycle, revisions
from modelcenter.registry.access import Actor, require
from modelcenter.registry.revisions import HEADS
from modelcenter.registry.tables import Commit, Model, Repository, Withdrawal, now

MAX_REASON = 1000  # characters


def withdraw(session: Session, actor: Actor, repo_id: str, revision: str, reason: str) -> Withdrawal:
    """Takes back the commit that `revision` is at, for `reason`; said again, the reason is replaced.

    Branches and tags that are there mean the newest commit before it, by first parents, that stands. Its
    files stay, for those who name it by its id. Raises RepositoryNotFound, NotHosted, RevisionNotFound,
    NotAuthenticated, AccessDenied, Invalid.
    """
    reason = " ".join(reason.split())
    if not 0 < len(reason) <= MAX_REASON:
        raise Invalid(f"Say why the revision is withdrawn, in at most {MAX_REASON} characters.")
    repository, commit = _commit(session, actor, repo_id, revision)
    row = session.get(Withdrawal, (repository.id, commit.oid))
    if row is None:
        row = Withdrawal(repository_id=repository.id, commit_oid=commit.oid)
        session.add(row)
    row.reason, row.account_id = reason, actor.account_id
    _finish(session, actor, repository, commit, "commit.withdraw", reason=reason)
    return row


def restore(session: Session, actor: Actor, repo_id: str, revision: str) -> None:
    """Lets a commit stand again. Raises as `withdraw`, and Invalid where it was not withdrawn."""
    repository, commit = _commit(session, actor, repo_id, revision)
    row = session.get(Withdrawal, (repository.id, commit.oid))
    if row is None:
        raise Invalid(f"{commit.oid} of {repository.repo_id} is not withdrawn.")
    session.delete(row)
    _finish(session, actor, repository, commit, "commit.restore")


def of(session: Session, commit: Commit) -> Withdrawal | None:
    """Why and since when the commit is withdrawn, if it is."""
    return session.get(Withdrawal, (commit.repository_id, commit.oid))


def _commit(session: Session, actor: Actor, repo_id: str, revision: str) -> tuple[Repository, Commit]:
    repository = lifecycle.get(session, actor, repo_id)
    require(actor, "admin", repository)
    if lifecycle.lock(session, repository.id) is None:
        raise RepositoryNotFound(repo_id)
    return repository, revisions.resolve(session, repository, revision, as_it_is=True)


def _finish(
    session: Session, actor: Actor, repository: Repository, commit: Commit, verb: str, **said: str
) -> None:
    session.flush()
    activity.record(session, actor, verb, repository.repo_id, repository, oid=commit.oid, **said)
    repository.updated_at = now()
    head = describing.heads(session, [repository]).get(repository.id)
    if head is not None:  # of another commit than before, it may be
        session.execute(update(Model).where(Model.repository_id == repository.id).values(verdict=None))
        lifecycle.queue_facts(session, actor, repository, head, HEADS + repository.default_branch)
