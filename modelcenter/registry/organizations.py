"""Organisations: who belongs to them in which role, and what their new repositories are unless said.

Where an actor is asked for, None is the hub's operator, who needs no rights.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session, contains_eager

from modelcenter.errors import AccountNotFound, Invalid, NotFound
from modelcenter.registry import accounts, activity
from modelcenter.registry.access import Actor, require_organization, require_self
from modelcenter.registry.tables import Account, Membership, Role

ROLES: tuple[Role, ...] = ("read", "contributor", "write", "admin")
MAX_FULLNAME = 200  # characters


def create(session: Session, actor: Actor, name: str, *, fullname: str | None = None) -> Account:
    """A new organisation that `actor` administers.

    Raises AlreadyExists, Invalid, NotAuthenticated, AccessDenied.
    """
    require_self(actor)
    return found(session, actor, name, fullname=fullname)


def found(session: Session, actor: Actor, name: str, *, fullname: str | None = None) -> Account:
    """A new organisation that `actor` administers. Asks no rights. Raises AlreadyExists, Invalid."""
    if fullname is not None and len(fullname) > MAX_FULLNAME:
        raise Invalid(f"A full name has at most {MAX_FULLNAME} characters; found {len(fullname)}.")
    organization = accounts.add(session, name, "organization", fullname)
    session.add(Membership(organization_id=organization.id, account_id=actor.account_id, role="admin"))
    activity.record(session, actor, "organization.create", organization.name)
    return organization


def get(session: Session, name: str) -> Account:
    """The organisation of that name. Raises AccountNotFound, also where it is a person's."""
    account = accounts.find(session, name)
    if not account.is_organization:
        raise AccountNotFound(name)
    return account


def members(
    session: Session, organization: Account, *, offset: int = 0, limit: int | None = None
) -> Sequence[Membership]:
    """Who belongs to the organisation, by name, with their accounts."""
    return session.scalars(
        select(Membership)
        .join(Membership.account)
        .options(contains_eager(Membership.account))
        .where(Membership.organization_id == organization.id)
        .order_by(Account.key)
        .offset(offset)
        .limit(limit)
    ).all()


def of(session: Session, actor: Actor) -> Sequence[Membership]:
    """Where `actor` belongs, as far as their token goes, by name and with the organisations."""
    known = {name.lower() for name in actor.organizations}
    return session.scalars(
        select(Membership)
        .join(Membership.organization)
        .options(contains_eager(Membership.organization))
        .where(Membership.account_id == actor.account_id, Account.key.in_(known))
        .order_by(Account.key)
    ).all()


def set_role(
    session: Session, actor: Actor | None, organization: str, member: str, role: Role | None
) -> None:
    """Gives `member` a role in `organization`; None takes it away. For its administrators and the hub's.

    Whoever belongs to it may also leave. Raises AccountNotFound, NotFound for who does not belong, Invalid,
    also where nobody would be left to administer it, NotAuthenticated, AccessDenied.
    """
    if role is not None and role not in ROLES:
        raise Invalid(f"{role!r} is no role: expected one of {', '.join(ROLES)}.")
    if actor is not None and not (
        role is None and actor.name.lower() == member.lower() and actor.scope == "admin"
    ):
        require_organization(actor, organization)
    group, account = accounts.find(session, organization), accounts.find(session, member)
    if not group.is_organization or account.is_organization:
        raise Invalid(f"{member} cannot belong to {organization}: expected a person and an organisation.")
    # Its row is their turn: of two administrators who leave at once the second stays.
    session.execute(select(Account.id).where(Account.id == group.id).with_for_update(key_share=True))
    membership = session.get(Membership, (group.id, account.id), populate_existing=True)
    if membership is not None and membership.role == "admin" and role != "admin":
        _require_another_admin(session, group, account)
    if role is None:
        if membership is None:
            raise NotFound(f"{account.name} does not belong to {group.name}.")
        session.delete(membership)
    elif membership is not None:
        membership.role = role
    else:
        session.add(Membership(organization_id=group.id, account_id=account.id, role=role))
    session.flush()
    activity.record(session, actor, "organization.role", group.name, member=account.name, role=role)


def set_default_visibility(session: Session, actor: Actor | None, name: str, *, private: bool) -> Account:
    """Makes new repositories of the organisation, or of one's own account, private or public unless said.

    Raises AccountNotFound, NotAuthenticated, AccessDenied.
    """
    if actor is not None:
        require_organization(actor, name)
    account = accounts.find(session, name)
    account.private_by_default = private
    activity.record(session, actor, "account.visibility", account.name, private=private)
    return account


def _require_another_admin(session: Session, group: Account, account: Account) -> None:
    others = select(func.count()).where(
        Membership.organization_id == group.id,
        Membership.role == "admin",
        Membership.account_id != account.id,
    )
    if not session.scalar(others):
        raise Invalid(
            f"{account.name} is the last to administer {group.name}: let somebody else administer it first."
        )
