"""Who likes which repository. The count beside each repository is exact."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelcenter.errors import RepositoryNotFound
from modelcenter.registry import activity, lifecycle
from modelcenter.registry.access import Actor, require, visible
from modelcenter.registry.tables import Account, Like, Repository


def like(session: Session, actor: Actor, repo_id: str, *, likes: bool = True) -> Repository:
    """Notes that `actor` likes the repository, or no longer does. To say so again changes nothing.

    Raises RepositoryNotFound, NotAuthenticated, AccessDenied.
    """
    found = lifecycle.get(session, actor, repo_id)
    require(actor, "propose", found)
    repository = lifecycle.lock(session, found.id)  # the count's turn
    if repository is None:
        raise RepositoryNotFound(repo_id)
    row = session.get(Like, (repository.id, actor.account_id))
    if likes == (row is not None):
        return repository
    if row is None:
        session.add(Like(repository_id=repository.id, account_id=actor.account_id))
    else:
        session.delete(row)
    repository.likes += 1 if likes else -1
    verb = "repository.like" if likes else "repository.unlike"
    activity.record(session, actor, verb, repository.repo_id, repository)
    return repository


def likers(session: Session, repository: Repository, *, offset: int, limit: int) -> Sequence[Account]:
    """A page of those who like `repository`, the last to do so first."""
    return session.scalars(
        select(Account)
        .join(Like, Like.account_id == Account.id)
        .where(Like.repository_id == repository.id)
        .order_by(Like.created_at.desc(), Account.id)
        .offset(offset)
        .limit(limit)
    ).all()


def liked(
    session: Session, actor: Actor, account: Account, *, offset: int, limit: int
) -> list[tuple[Like, Repository]]:
    """A page of what `account` likes as far as `actor` may see it, the last first."""
    rows = session.execute(
        select(Like, Repository)
        .join(Repository, Repository.id == Like.repository_id)
        .where(Like.account_id == account.id, visible(actor))
        .order_by(Like.created_at.desc(), Repository.id)
        .offset(offset)
        .limit(limit)
    )
    return [(row, repository) for row, repository in rows]
