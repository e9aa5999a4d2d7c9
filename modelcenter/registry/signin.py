"""Signing in to the pages: by password, with a limit to guessing, or by a provider of OpenID Connect."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, contains_eager

from modelcenter.errors import (
    AccountNotFound,
    AlreadyExists,
    Invalid,
    NotAuthenticated,
    NotFound,
    TooManyAttempts,
)
from modelcenter.registry import accounts, activity, organizations
from modelcenter.registry.access import Actor, require_self
from modelcenter.registry.hub import Hub
from modelcenter.registry.names import MAX_NAME
from modelcenter.registry.tables import Account, Identity, Role, SignInFailure, now

WINDOW = timedelta(minutes=15)
MOST_BY_NAME, MOST_BY_ADDRESS = 10, 50  # wrong passwords in the window
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9]+")


def by_password(hub: Hub, name: str, password: str, address: str) -> Actor:
    """Who signs in, from the network address `address`.

    Raises NotAuthenticated, and TooManyAttempts where the name or the address was wrong too often, without
    looking at the password then.
    """
    keys = {f"name:{name.lower()[:MAX_NAME]}": MOST_BY_NAME, f"address:{address[:MAX_NAME]}": MOST_BY_ADDRESS}
    with hub.database.session() as session:
        _require_patience(session, keys)
        try:
            return accounts.authenticate_password(session, name, password)
        except NotAuthenticated:
            pass
    with hub.database.transaction() as session:
        session.execute(delete(SignInFailure).where(SignInFailure.at < now() - WINDOW))
        session.add_all(SignInFailure(key=key) for key in keys)
    raise NotAuthenticated("The name or the password is wrong.")


def _require_patience(session: Session, keys: Mapping[str, int]) -> None:
    since = now() - WINDOW
    counts = session.execute(
        select(SignInFailure.key, func.count(), func.min(SignInFailure.at))
        .where(SignInFailure.key.in_(list(keys)), SignInFailure.at >= since)
        .group_by(SignInFailure.key)
    )
    for key, count, first in counts:
        if count >= keys[key]:
            raise TooManyAttempts(max(1, round((first - since).total_seconds())))


def again(session: Session, account_id: int, since: datetime) -> Actor | None:
    """Who signed in at `since` as that account, as long as that counts."""
    account = session.get(Account, account_id)
    if account is None or account.disabled_at is not None or account.is_organization:
        return None
    if account.signed_out_at is not None and since <= account.signed_out_at:
        return None
    return accounts.actor_of(session, account)


def by_identity(
    session: Session, issuer: str, subject: str, *, name: str, fullname: str | None = None
) -> Account:
    """The account of somebody whom a provider vouches for; made at the first time, under a name like `name`.

    An account of that name that is there already is somebody else's. Raises NotAuthenticated where the
    account was disabled.
    """
    identity = session.get(Identity, (issuer, subject))
    if identity is None:
        account = _new_account(session, name, fullname)
        identity = Identity(issuer=issuer, subject=subject, account=account)
        try:
            with session.begin_nested():
                session.add(identity)
        except IntegrityError:  # the same person twice at once: the other was first
            session.delete(account)
            session.flush()
            identity = session.get_one(Identity, (issuer, subject), populate_existing=True)
    if identity.account.disabled_at is not None:
        raise NotAuthenticated(f"The account {identity.account.name} is disabled. Ask who runs the hub.")
    return identity.account


def identities(session: Session, account: Account | None = None) -> Sequence[Identity]:
    """Whom providers vouch for: as `account`, or as anybody."""
    found = select(Identity).join(Identity.account).options(contains_eager(Identity.account))
    if account is not None:
        found = found.where(Identity.account_id == account.id)
    return session.scalars(found.order_by(Account.key, Identity.issuer, Identity.subject)).all()


def link(session: Session, actor: Actor | None, name: str, issuer: str, subject: str) -> None:
    """Lets somebody of a provider's, who is known to be the user `name`, sign in as that.

    actor: the user themself; None: who runs the hub, who may take the identity from another account. Raises
    AccountNotFound, NotAuthenticated, AccessDenied, and Invalid where the identity is another account's.
    """
    account = _own(session, actor, name)
    identity = session.get(Identity, (issuer, subject))
    if identity is None:
        session.add(Identity(issuer=issuer, subject=subject, account=account))
    elif identity.account_id == account.id:
        return
    elif actor is not None:
        raise Invalid(
            f"You sign in so as {identity.account.name} already. Who runs the hub can change it: "
            f"modelcenter admin link-identity {account.name} {issuer} {subject}"
        )
    else:
        identity.account = account
    session.flush()
    activity.record(session, actor, "identity.link", account.name, issuer=issuer, person=subject)


def unlink(session: Session, actor: Actor | None, name: str, issuer: str, subject: str) -> None:
    """Lets somebody of a provider's no longer sign in as the user `name`; arguments as of `link`.

    Raises as `link`, and Invalid where they do not, or where users would lock themselves out.
    """
    account = _own(session, actor, name)
    known = identities(session, account)
    identity = next((each for each in known if (each.issuer, each.subject) == (issuer, subject)), None)
    if identity is None:
        raise Invalid(f"{subject!r:.100} of {issuer!r:.100} does not sign in as {account.name}.")
    if actor is not None and account.password is None and len(known) == 1:
        raise Invalid("This is the one way in to your account, which has no password. Ask who runs the hub.")
    session.delete(identity)
    activity.record(session, actor, "identity.unlink", account.name, issuer=issuer, person=subject)


def _own(session: Session, actor: Actor | None, name: str) -> Account:
    """The account of the user `name`, that of `actor` where there is one."""
    if actor is not None:
        require_self(actor)
    account = accounts.find(session, name)
    if account.is_organization or (actor is not None and account.id != actor.account_id):
        raise AccountNotFound(name)
    return account


def set_roles(session: Session, account: Account, roles: Mapping[str, Role | None]) -> None:
    """Gives `account` these roles by organisation, None takes one away; as a provider says at each sign-in.

    Organisations that are missing are made for their administrators; the last administrator of one stays.
    """
    for name, role in sorted(roles.items()):
        known = session.scalar(select(Account.id).where(Account.key == name.lower()))
        if known is None and role == "admin":
            organizations.found(session, accounts.actor_of(session, account), name)
        elif known is not None:
            try:
                with session.begin_nested():
                    organizations.set_role(session, None, name, account.name, role)
            except NotFound:
                continue  # there was no role to take away
            except Invalid as error:
                why = str(error)
                activity.record(session, None, "organization.kept", name, account=account.name, why=why)


def _new_account(session: Session, wanted: str, fullname: str | None) -> Account:
    """A new person with the first free of the names `wanted`, `wanted-2`, `wanted-3` …"""
    base = _NOT_IN_NAMES.sub("-", wanted).strip("-")[: MAX_NAME - 8].strip("-") or "user"
    for number in range(1, 10_000):
        try:
            return accounts.create_user(
                session, base if number == 1 else f"{base}-{number}", fullname=fullname
            )
        except (AlreadyExists, Invalid):  # taken, or one of the hub's own words
            continue
    raise AlreadyExists("Account", base)
