"""People, organisations and the tokens they act with. Passwords and tokens are kept as hashes only."""

from __future__ import annotations

import binascii
import hashlib
import hmac
import secrets
import string
from datetime import datetime, timedelta
from types import MappingProxyType

from sqlalchemy import or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, joinedload

from modelcenter.errors import (
    AccessDenied,
    AccountNotFound,
    AlreadyExists,
    Invalid,
    InvalidToken,
    NotAuthenticated,
)
from modelcenter.registry import activity
from modelcenter.registry.access import Actor, require_self
from modelcenter.registry.names import check_account
from modelcenter.registry.tables import Account, AccountKind, Membership, Role, Scope, Token, now

TOKEN_PREFIX = "mc_"  # secret scanners find leaked tokens by it  # noqa: S105
SCOPES: tuple[Scope, ...] = ("read", "write", "admin")
_ALPHABET = string.digits + string.ascii_letters
_SECRET, _CHECKSUM = 34, 6  # characters of a token after its prefix: 202 random bits, then their CRC-32
_USED_EVERY = timedelta(minutes=10)
_SCRYPT = (2**15, 8, 3)  # n, r, p: 32 MiB and some tenths of a second


def find(session: Session, name: str) -> Account:
    """The account of that name. Raises AccountNotFound."""
    account = session.scalar(select(Account).where(Account.key == name.lower()))
    if account is None:
        raise AccountNotFound(name)
    return account


def create_user(
    session: Session,
    name: str,
    *,
    password: str | None = None,
    is_admin: bool = False,
    fullname: str | None = None,
) -> Account:
    """A new person; without a password they act by tokens only. Raises AlreadyExists, Invalid."""
    account = _create(session, name, "user", fullname)
    account.is_admin = is_admin
    if password is not None:
        account.password = _hashed(password)
    activity.record(session, None, "account.create", account.name, admin=is_admin)
    return account


def create_organization(session: Session, actor: Actor, name: str, *, fullname: str | None = None) -> Account:
    """A new organisation that `actor` administers. Raises AlreadyExists, Invalid, AccessDenied."""
    require_self(actor)
    organization = _create(session, name, "organization", fullname)
    session.add(Membership(organization_id=organization.id, account_id=actor.account_id, role="admin"))
    activity.record(session, actor, "organization.create", organization.name)
    return organization


def _create(session: Session, name: str, kind: AccountKind, fullname: str | None) -> Account:
    account = Account(name=check_account(name), kind=kind, fullname=fullname)
    try:
        with session.begin_nested():
            session.add(account)
    except IntegrityError:
        raise AlreadyExists("Account", name) from None
    return account


def set_role(session: Session, actor: Actor, organization: str, member: str, role: Role | None) -> None:
    """Gives `member` a role in `organization`, None takes it away. For its administrators and the hub's."""
    require_self(actor)
    group, account = find(session, organization), find(session, member)
    if not group.is_organization or account.is_organization:
        raise Invalid(f"{member} cannot belong to {organization}: expected a person and an organisation.")
    if not actor.is_admin and actor.role_in(group.name) != "admin":
        raise AccessDenied(f"{actor.name} does not administer {group.name}.")
    membership = session.get(Membership, (group.id, account.id))
    if role is None:
        if membership is not None:
            session.delete(membership)
    elif membership is not None:
        membership.role = role
    else:
        session.add(Membership(organization_id=group.id, account_id=account.id, role=role))
    activity.record(session, actor, "organization.role", group.name, member=account.name, role=role)


def create_token(
    session: Session,
    account: Account,
    *,
    scope: Scope,
    name: str = "token",
    expires_at: datetime | None = None,
) -> str:
    """A new token of `account`, to be shown this once: only its digest is kept."""
    if scope not in SCOPES:
        raise Invalid(f"{scope!r} is no scope: expected one of {', '.join(SCOPES)}.")
    if account.is_organization:
        raise Invalid(f"{account.name} is an organisation: tokens belong to people.")
    secret = "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET))
    plain = TOKEN_PREFIX + secret + _checksum(secret)
    session.add(
        Token(
            account_id=account.id,
            name=name,
            digest=_digest(plain),
            hint=plain[-4:],
            scope=scope,
            expires_at=expires_at,
        )
    )
    activity.record(session, None, "token.create", account.name, name=name, scope=scope)
    return plain


def revoke_token(session: Session, actor: Actor, token_id: int) -> None:
    """Takes back one of `actor`'s tokens; nothing happens where it is not theirs."""
    require_self(actor)
    token = session.get(Token, token_id)
    if token is not None and (token.account_id == actor.account_id or actor.is_admin):
        session.delete(token)
        activity.record(session, actor, "token.revoke", actor.name, name=token.name)


def authenticate_token(session: Session, plain: str) -> Actor:
    """Who acts with this token. Raises InvalidToken: unknown, expired and malformed are told alike."""
    if not plain.startswith(TOKEN_PREFIX):
        raise InvalidToken
    token = session.scalar(
        select(Token).where(Token.digest == _digest(plain)).options(joinedload(Token.account))
    )
    if token is None or (token.expires_at is not None and token.expires_at <= now()):
        raise InvalidToken
    return actor_of(session, token.account, token.scope, token)


def token_used(session: Session, actor: Actor) -> None:
    """Notes that the token of `actor` was used, to ten minutes: not every request costs a write."""
    moment = now()
    session.execute(
        update(Token)
        .where(Token.id == actor.token_id)
        .where(or_(Token.last_used_at.is_(None), Token.last_used_at < moment - _USED_EVERY))
        .values(last_used_at=moment)
        .execution_options(synchronize_session=False)
    )


def authenticate_password(session: Session, name: str, password: str) -> Actor:
    """Who logs in. Raises NotAuthenticated, after the same work whether the name or the password is wrong."""
    account = session.scalar(select(Account).where(Account.key == name.lower()))
    kept = account.password if account is not None else None
    if not _matches(password, kept or _NOBODY) or account is None or kept is None:
        raise NotAuthenticated("The name or the password is wrong.")
    return actor_of(session, account, "admin")


def set_password(session: Session, account: Account, password: str) -> None:
    """Replaces the password."""
    account.password = _hashed(password)
    activity.record(session, None, "account.password", account.name)


def actor_of(session: Session, account: Account, scope: Scope = "admin", token: Token | None = None) -> Actor:
    """`account` as somebody who acts, with its memberships as they are now."""
    memberships = session.scalars(
        select(Membership)
        .where(Membership.account_id == account.id)
        .options(joinedload(Membership.organization))
    ).all()
    roles: dict[int, Role] = {membership.organization_id: membership.role for membership in memberships}
    return Actor(
        account_id=account.id,
        name=account.name,
        is_admin=account.is_admin,
        scope=scope,
        organizations=MappingProxyType({m.organization.name: m.role for m in memberships}),
        roles=MappingProxyType({**roles, account.id: "admin"}),
        fullname=account.fullname,
        token_id=token.id if token else None,
        token_name=token.name if token else None,
    )


def _digest(plain: str) -> str:
    # A token is long and random: one pass suffices, and finds its row by an index.
    return hashlib.sha256(plain.encode(errors="surrogatepass")).hexdigest()


def _checksum(secret: str) -> str:
    """Six characters by which a scanner tells a token from what only looks like one."""
    number, digits = binascii.crc32(secret.encode()), ""
    for _ in range(_CHECKSUM):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits


def _hashed(password: str) -> str:
    if not password:
        raise Invalid("The password is empty.")
    n, r, p = _SCRYPT
    salt = secrets.token_bytes(16)
    return f"scrypt${n}${r}${p}${salt.hex()}${_scrypt(password, salt, n, r, p).hex()}"


def _matches(password: str, kept: str) -> bool:
    _, n, r, p, salt, digest = kept.split("$")
    found = _scrypt(password, bytes.fromhex(salt), int(n), int(r), int(p))
    return hmac.compare_digest(found, bytes.fromhex(digest))


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    secret = password.encode(errors="surrogatepass")
    return hashlib.scrypt(secret, salt=salt, n=n, r=r, p=p, maxmem=256 * n * r, dklen=32)


# What a login of an unknown name is compared with, so that it takes as long as any other.
_NOBODY = "$".join(("scrypt", *map(str, _SCRYPT), "00" * 16, "00" * 32))
