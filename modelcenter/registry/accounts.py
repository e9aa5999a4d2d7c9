"""Accounts, and the tokens and passwords by which people act. These are kept as hashes only."""

from __future__ import annotations

import binascii
import hashlib
import hmac
import secrets
import string
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType

from sqlalchemy import or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, contains_eager, joinedload, selectinload

from modelcenter.errors import (
    AccountNotFound,
    AlreadyExists,
    Invalid,
    InvalidToken,
    NotAuthenticated,
    RepositoryNotFound,
)
from modelcenter.registry import activity
from modelcenter.registry.access import Actor, may, require_self
from modelcenter.registry.names import check_account, check_name
from modelcenter.registry.tables import (
    AccessRequest,
    Account,
    AccountKind,
    Membership,
    Repository,
    Role,
    Scope,
    Token,
    now,
)

TOKEN_PREFIX = "mc_"  # secret scanners find leaked tokens by it  # noqa: S105
SCOPES: tuple[Scope, ...] = ("read", "write", "admin")
MAX_TOKEN_NAME, MAX_RESOURCES = 100, 100
_ALPHABET = string.digits + string.ascii_letters
_SECRET, _CHECKSUM = 34, 6  # characters of a token after its prefix: 202 random bits, then their CRC-32
_FINGERPRINT = 16  # hexadecimal digits of a token's digest: no two tokens have them in common
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
    account = add(session, name, "user", fullname)
    account.is_admin = is_admin
    if password is not None:
        account.password = _hashed(password)
    activity.record(session, None, "account.create", account.name, admin=is_admin)
    return account


def add(session: Session, name: str, kind: AccountKind, fullname: str | None = None) -> Account:
    """The row of a new account. Raises AlreadyExists, Invalid."""
    account = Account(name=check_account(name), kind=kind, fullname=fullname)
    try:
        with session.begin_nested():
            session.add(account)
    except IntegrityError:
        raise AlreadyExists("Account", name) from None
    return account


def create_token(
    session: Session,
    account: Account,
    *,
    scope: Scope,
    name: str = "token",
    expires_at: datetime | None = None,
    resources: Iterable[str] | None = None,
) -> str:
    """A new token of `account`, to be shown this once: only its digest is kept.

    resources: the accounts (`org`) and repositories (`org/name`) that it is good for; None: all. A repository
    stays one wherever it moves. Raises Invalid, AccountNotFound, and RepositoryNotFound for one that is not
    there or that `account` may not read.
    """
    if scope not in SCOPES:
        raise Invalid(f"{scope!r} is no scope: expected one of {', '.join(SCOPES)}.")
    if account.is_organization:
        raise Invalid(f"{account.name} is an organisation: tokens belong to people.")
    name = " ".join(name.split())
    if not 0 < len(name) <= MAX_TOKEN_NAME or not name.isprintable():
        raise Invalid(f"A token needs a name of at most {MAX_TOKEN_NAME} characters, to know it by.")
    owners, repositories = (None, []) if resources is None else _resources(session, account, resources)
    secret = "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET))
    plain = TOKEN_PREFIX + secret + _checksum(secret)
    token = Token(
        account_id=account.id,
        name=name,
        digest=_digest(plain),
        hint=plain[-4:],
        scope=scope,
        expires_at=expires_at,
        resources=owners,
        repositories=repositories,
    )
    session.add(token)
    activity.record(
        session, None, "token.create", account.name, name=name, scope=scope, resources=token.reach
    )
    return plain


def _resources(
    session: Session, account: Account, resources: Iterable[str]
) -> tuple[list[str], list[Repository]]:
    """The accounts and the repositories that `account` means by `resources`."""
    wanted = list(dict.fromkeys(map(str.lower, resources)))
    if not 0 < len(wanted) <= MAX_RESOURCES:
        raise Invalid(
            f"A token is good for 1 to {MAX_RESOURCES} accounts and repositories, or for all; "
            f"found {len(wanted)}."
        )
    actor = actor_of(session, account)
    owners, repositories = [], []
    for resource in wanted:
        namespace, slash, name = resource.partition("/")
        if not slash:
            owners.append(find(session, namespace).name)
            continue
        key = f"{namespace}/{check_name(name)}"
        repository = session.scalar(select(Repository).where(Repository.key == key))
        if repository is None or not may(actor, "read", repository):
            raise RepositoryNotFound(resource)
        repositories.append(repository)
    return owners, repositories


def tokens(session: Session, actor: Actor) -> Sequence[Token]:
    """The tokens of `actor`, the newest first. Raises NotAuthenticated, AccessDenied."""
    require_self(actor)
    mine = select(Token).where(Token.account_id == actor.account_id).options(selectinload(Token.repositories))
    return session.scalars(mine.order_by(Token.created_at.desc(), Token.id.desc())).all()


def revoke_token(session: Session, actor: Actor, token_id: int) -> bool:
    """Takes back one of `actor`'s tokens; False, and nothing happens, where it is not theirs.

    Whatever its scope, a token may take back itself. Raises NotAuthenticated, AccessDenied.
    """
    if actor.token_id != token_id:
        require_self(actor)
    token = session.get(Token, token_id) if 0 < token_id < 2**63 else None
    if token is None or not (token.account_id == actor.account_id or actor.is_admin):
        return False
    session.delete(token)
    activity.record(session, actor, "token.revoke", actor.name, name=token.name)
    return True


def disable(session: Session, account: Account, *, disabled: bool = True) -> None:
    """Lets nobody act as `account` any more, by token, password or provider; or again."""
    account.disabled_at = now() if disabled else None
    verb = "account.disable" if disabled else "account.enable"
    activity.record(session, None, verb, account.name)


def authenticate_token(session: Session, plain: str) -> Actor:
    """Who acts with this token. Raises InvalidToken: unknown, expired and malformed are told alike."""
    if not plain.startswith(TOKEN_PREFIX):
        raise InvalidToken
    token = session.scalar(
        select(Token).where(Token.digest == _digest(plain)).options(joinedload(Token.account))
    )
    actor = _acting(session, token)
    if actor is None:
        raise InvalidToken
    return actor


def authenticate_fingerprint(session: Session, name: str, fingerprint: str) -> Actor:
    """Who acts with the token of the account `name` that has this fingerprint, which alone proves nothing.

    Raises InvalidToken where it is no longer valid.
    """
    token = session.scalar(
        select(Token)
        .join(Token.account)
        .where(Account.key == name.lower(), Token.digest.startswith(fingerprint, autoescape=True))
        .options(contains_eager(Token.account))
    )
    actor = _acting(session, token)
    if actor is None:
        raise InvalidToken("The token that this was given to is no longer valid. Ask again with another.")
    return actor


def _acting(session: Session, token: Token | None) -> Actor | None:
    """Who acts with this token; None where it is no token, or none any more."""
    if token is None or (token.expires_at is not None and token.expires_at <= now()):
        return None
    if token.account.disabled_at is not None:
        return None
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
    is_right = _matches(password, kept or _NOBODY)
    if not is_right or account is None or kept is None or account.disabled_at is not None:
        raise NotAuthenticated("The name or the password is wrong.")
    return actor_of(session, account, "admin")


def set_password(session: Session, account: Account, password: str) -> None:
    """Replaces the password; whoever is signed in to the pages has to sign in again. Raises Invalid."""
    if account.is_organization:
        raise Invalid(f"{account.name} is an organisation: passwords belong to people.")
    account.password, account.signed_out_at = _hashed(password), now()
    activity.record(session, None, "account.password", account.name)


def actor_of(session: Session, account: Account, scope: Scope = "admin", token: Token | None = None) -> Actor:
    """`account` as somebody who acts, with its memberships as they are now."""
    memberships = session.scalars(
        select(Membership)
        .where(Membership.account_id == account.id)
        .options(joinedload(Membership.organization))
    ).all()
    requests = session.execute(
        select(AccessRequest.repository_id, AccessRequest.status).where(
            AccessRequest.account_id == account.id
        )
    )
    resources = token.reach if token else None
    roles: dict[int, Role] = {membership.organization_id: membership.role for membership in memberships}
    return Actor(
        account_id=account.id,
        name=account.name,
        is_admin=account.is_admin and resources is None,  # who limits a token wants no such power in it
        scope=scope,
        organizations=MappingProxyType({m.organization.name: m.role for m in memberships}),
        roles=MappingProxyType({**roles, account.id: "admin"}),
        resources=None if resources is None else frozenset(map(str.lower, resources)),
        requests=MappingProxyType(dict(requests.all())),
        fullname=account.fullname,
        token_id=token.id if token else None,
        fingerprint=token.digest[:_FINGERPRINT] if token else None,
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
