"""Gated repositories: who has asked to read the files of one, and what became of it.

An automatic gate lets in whoever asks; at a manual one the request waits for those who administer the
repository. Whoever was let in is an actor whose `requests` say so: `access` knows the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from sqlalchemy import func, select
from sqlalchemy.orm import Session, contains_eager

from modelcenter.errors import AccessRequestNotFound, AccountNotFound, Invalid, RepositoryNotFound
from modelcenter.registry import accounts, activity, lifecycle
from modelcenter.registry.access import Actor, require
from modelcenter.registry.tables import AccessRequest, AccessStatus, Account, Repository, now

STATUSES: tuple[AccessStatus, ...] = get_args(AccessStatus)
MAX_REASON = 200  # characters, as clients say


def ask(session: Session, actor: Actor, repo_id: str) -> AccessRequest:
    """Asks in the name of `actor` to read the repository's files. What was decided stays, asked again or not.

    Raises RepositoryNotFound, NotAuthenticated, AccessDenied, and Invalid where there is no gate.
    """
    repository = lifecycle.get(session, actor, repo_id)
    require(actor, "propose", repository)
    repository = _locked(session, repository)
    account = session.get_one(Account, actor.account_id)
    request = session.get(AccessRequest, (repository.id, account.id))
    if request is None:
        request = AccessRequest(repository_id=repository.id, account=account)
        session.add(request)
    elif request.status != "pending" or repository.gated != "auto":
        return request
    if repository.gated == "auto":
        request.status, request.handled_at = "accepted", now()
    session.flush()
    _record(session, actor, "ask", repository, request)
    return request


def request_of(session: Session, actor: Actor, repository: Repository) -> AccessRequest | None:
    """What `actor` has asked of the repository, if anything."""
    return None if actor.is_anonymous else session.get(AccessRequest, (repository.id, actor.account_id))


def listed(
    session: Session, actor: Actor, repo_id: str, status: AccessStatus, *, offset: int, limit: int
) -> Sequence[AccessRequest]:
    """The requests of that status, the first to ask first, for those who administer the repository.

    Raises RepositoryNotFound, NotAuthenticated, AccessDenied, and Invalid where there is no gate.
    """
    repository = _administered(session, actor, repo_id)
    return session.scalars(
        select(AccessRequest)
        .join(AccessRequest.account)
        .options(contains_eager(AccessRequest.account))
        .where(AccessRequest.repository_id == repository.id, AccessRequest.status == status)
        .order_by(AccessRequest.created_at, AccessRequest.account_id)
        .offset(offset)
        .limit(limit)
    ).all()


def waiting(session: Session, repository: Repository) -> int:
    """How many requests wait for an answer."""
    count = select(func.count()).where(
        AccessRequest.repository_id == repository.id, AccessRequest.status == "pending"
    )
    return session.scalar(count) or 0


def handle(
    session: Session,
    actor: Actor,
    repo_id: str,
    status: AccessStatus,
    *,
    user: str | None = None,
    account_id: int | None = None,
    reason: str | None = None,
) -> AccessRequest:
    """Accepts or rejects somebody's request, or lets it wait again, which takes back what was decided.

    Raises RepositoryNotFound, AccountNotFound, NotAuthenticated, AccessDenied, Invalid, and
    AccessRequestNotFound where nobody asked or it has that status already.
    """
    repository = _locked(session, _administered(session, actor, repo_id))
    if reason is not None and len(reason) > MAX_REASON:
        raise Invalid(f"The reason has {len(reason)} characters; expected at most {MAX_REASON}.")
    account = accounts.find(session, user) if user else session.get(Account, account_id or 0)
    who = user or f"{account_id or 0:024x}"
    request = session.get(AccessRequest, (repository.id, account.id)) if account else None
    if request is None or request.status == status:
        raise AccessRequestNotFound(repository.repo_id, who, request.status if request else None)
    _decide(session, actor, repository, request, status, reason)
    return request


def grant(session: Session, actor: Actor, repo_id: str, user: str) -> AccessRequest:
    """Lets somebody in who may not have asked.

    Raises RepositoryNotFound, AccountNotFound, NotAuthenticated, AccessDenied, and Invalid where there is no
    gate or they are in already.
    """
    repository = _locked(session, _administered(session, actor, repo_id))
    account = accounts.find(session, user)
    if account.is_organization:
        raise AccountNotFound(user)
    request = session.get(AccessRequest, (repository.id, account.id))
    if request is None:
        request = AccessRequest(repository_id=repository.id, account=account)
        session.add(request)
    elif request.status == "accepted":
        raise Invalid(f"{account.name} has access to {repository.repo_id} already.")
    _decide(session, actor, repository, request, "accepted", None)
    return request


def _decide(
    session: Session,
    actor: Actor,
    repository: Repository,
    request: AccessRequest,
    status: AccessStatus,
    reason: str | None,
) -> None:
    request.status = status
    request.reason = reason if status == "rejected" else None
    request.handled_at = None if status == "pending" else now()
    request.handled_by_id = None if status == "pending" else actor.account_id
    session.flush()
    _record(session, actor, status, repository, request)


def _administered(session: Session, actor: Actor, repo_id: str) -> Repository:
    repository = lifecycle.get(session, actor, repo_id)
    require(actor, "admin", repository)
    _require_gate(repository)
    return repository


def _locked(session: Session, repository: Repository) -> Repository:
    """The repository as it is now: one decision after another."""
    locked = lifecycle.lock(session, repository.id)
    if locked is None:
        raise RepositoryNotFound(repository.repo_id)
    _require_gate(locked)
    return locked


def _require_gate(repository: Repository) -> None:
    if repository.gated is None:
        raise Invalid(f"{repository.repo_id} is not gated: whoever sees it may read its files.")


def _record(session: Session, actor: Actor, act: str, repository: Repository, request: AccessRequest) -> None:
    name = request.account.name
    activity.record(session, actor, f"access.{act}", repository.repo_id, repository, account=name)
