"""What is told of a person or an organisation: counts, and who belongs where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from modelcenter.errors import AccountNotFound
from modelcenter.registry import accounts
from modelcenter.registry.access import Actor, visible
from modelcenter.registry.tables import (
    Account,
    AccountKind,
    Discussion,
    Like,
    Membership,
    Repository,
)


@dataclass(frozen=True, slots=True)
class Profile:
    """An account and its numbers, as far as the asker may see what is counted.

    organizations: of a person; members: of an organisation, how many.
    """

    account: Account
    models: int
    discussions: int
    likes: int
    organizations: Sequence[Account]
    members: int


def find(session: Session, name: str, kind: AccountKind) -> Account:
    """The person or organisation of that name. Raises AccountNotFound, also where it is of the other kind."""
    account = accounts.find(session, name)
    if account.kind != kind:
        raise AccountNotFound(name)
    return account


def profile(session: Session, actor: Actor, name: str, kind: AccountKind) -> Profile:
    """What `actor` is told of the account of that name. Raises AccountNotFound."""
    account = find(session, name, kind)
    seen = visible(actor)

    def number(*wanted: object) -> int:
        return session.scalar(select(func.count()).where(*wanted)) or 0  # type: ignore[arg-type]

    joined = Repository.id == Discussion.repository_id
    organizations = session.scalars(
        select(Account)
        .join(Membership, Membership.organization_id == Account.id)
        .where(Membership.account_id == account.id)
        .order_by(Account.key)
    ).all()
    return Profile(
        account=account,
        models=number(Repository.owner_id == account.id, seen),
        discussions=number(Discussion.author_id == account.id, joined, seen),
        likes=number(Like.account_id == account.id, Repository.id == Like.repository_id, seen),
        organizations=organizations,
        members=number(Membership.organization_id == account.id),
    )
