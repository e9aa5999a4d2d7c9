"""Who may do what: the one door. Knows actors and repositories, asks no database."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from sqlalchemy import ColumnElement, and_, func, or_, true

from modelcenter.errors import AccessDenied, Gated, NotAuthenticated, RepositoryNotFound
from modelcenter.registry.tables import AccessStatus, Repository, Role, Scope

# propose: discussions, likes, pull requests; admin: settings, deletion
Verb = Literal["read", "propose", "write", "admin"]

_NONE: Mapping[str, Role] = MappingProxyType({})
_NO_IDS: Mapping[int, Role] = MappingProxyType({})
_NO_REQUESTS: Mapping[int, AccessStatus] = MappingProxyType({})


@dataclass(frozen=True)
class Actor:
    """Somebody who acts, as far as their token goes.

    organizations: role by the organisation's name; roles: by account id, one's own account included.
    scope: what the token allows at most: `read`; `write`, content and settings of repositories; `admin`, all.
    is_admin: administers the hub, by a token that is not limited.
    resources: the accounts and repositories that the token is good for, in lower case; None: all.
    requests: what became of their wishes to read gated repositories, by the repository's id.
    fingerprint: tells the token from all others, past and to come, and does not give it away.
    """

    account_id: int | None
    name: str
    is_admin: bool = False
    scope: Scope = "read"
    organizations: Mapping[str, Role] = field(default_factory=lambda: _NONE)
    roles: Mapping[int, Role] = field(default_factory=lambda: _NO_IDS)
    resources: frozenset[str] | None = None
    requests: Mapping[int, AccessStatus] = field(default_factory=lambda: _NO_REQUESTS)
    fullname: str | None = None
    token_id: int | None = None
    fingerprint: str | None = None
    token_name: str | None = None

    @property
    def is_anonymous(self) -> bool:
        """Whether nobody is known to act."""
        return self.account_id is None and not self.is_admin

    @property
    def may_write(self) -> bool:
        """Whether the scope goes beyond reading."""
        return not self.is_anonymous and self.scope != "read"

    @property
    def reach(self) -> str:
        """The same for all tokens that are limited to the same accounts and repositories; empty: to none."""
        if self.resources is None:
            return ""
        return hashlib.sha256("\n".join(sorted(self.resources)).encode()).hexdigest()

    def is_good_for(self, namespace: str, name: str | None = None) -> bool:
        """Whether the token reaches all of the account called `namespace`, or its repository `name`."""
        if self.resources is None:
            return True
        key = namespace.lower()
        return key in self.resources or (name is not None and f"{key}/{name.lower()}" in self.resources)

    def reaches_into(self, namespace: str) -> bool:
        """Whether the token is good for the account called `namespace` or something of it."""
        key = namespace.lower()
        return self.resources is None or any(each.partition("/")[0] == key for each in self.resources)

    def role_in(self, namespace: str, name: str | None = None) -> Role | None:
        """The role in the account called `namespace`, or as to its repository `name`.

        Admin in one's own and for the hub's administrators everywhere; None where one does not belong or the
        token is not good for it.
        """
        if self.is_anonymous or not self.is_good_for(namespace, name):
            return None
        key = namespace.lower()
        if self.is_admin or key == self.name.lower():
            return "admin"
        return next((role for each, role in self.organizations.items() if each.lower() == key), None)


ANONYMOUS = Actor(None, "")
THE_HUB = Actor(None, "", is_admin=True, scope="admin")  # for what it does unasked; nobody signs in as it


def may(actor: Actor, verb: Verb, repository: Repository) -> bool:
    """Whether `actor` may do this to `repository`.

    |             | reads private | writes, administers            | creates |
    | read        | yes           | no                             | no      |
    | contributor | yes           | what they created              | yes     |
    | write       | yes           | yes                            | yes     |
    | admin       | yes           | yes, and members               | yes     |

    Whoever may read proposes, unless their token only reads. What a token is not good for is as anybody's who
    does not belong there: read where it is public, and no more.
    """
    role = actor.role_in(repository.namespace, repository.name)
    is_reader = not repository.private or role is not None
    if verb == "read":
        return is_reader
    if not actor.may_write:
        return False
    if verb == "propose":
        return is_reader and actor.is_good_for(repository.namespace, repository.name)
    if role == "contributor":
        return repository.created_by_id == actor.account_id
    return role in ("write", "admin")


def require(actor: Actor, verb: Verb, repository: Repository) -> None:
    """Raises unless `actor` may: RepositoryNotFound before all, then NotAuthenticated, AccessDenied."""
    if may(actor, verb, repository):
        return
    if not may(actor, "read", repository):
        raise RepositoryNotFound(repository.repo_id)
    act = "take part in" if verb == "propose" else "change"
    _refuse(actor, f"{act} {repository.repo_id}", repository.namespace, repository.name)


def require_files(actor: Actor, repository: Repository) -> None:
    """Raises Gated unless `actor`, who may see the repository, may also read its files.

    They may who belong to its owner, and whose request was accepted.
    """
    if not repository.gated or actor.role_in(repository.namespace, repository.name) is not None:
        return
    if actor.is_anonymous:
        raise Gated(repository.repo_id, "login")
    if not actor.is_good_for(repository.namespace, repository.name):
        raise Gated(repository.repo_id, "resource")
    status = actor.requests.get(repository.id)
    if status != "accepted":
        raise Gated(repository.repo_id, status or "request")


def require_create(actor: Actor, namespace: str) -> None:
    """Raises NotAuthenticated or AccessDenied unless `actor` may create repositories in `namespace`."""
    if not actor.may_write or actor.role_in(namespace) not in ("contributor", "write", "admin"):
        _refuse(actor, f"create repositories in {namespace}", namespace)


def require_self(actor: Actor) -> None:
    """Raises unless `actor` may act for their account as a whole: make organisations, tokens."""
    if actor.is_anonymous:
        raise NotAuthenticated("Log in to change accounts.")
    if actor.scope != "admin":
        raise AccessDenied(
            f"This token of {actor.name} has the scope {actor.scope}; to change accounts needs scope admin."
        )
    if actor.resources is not None:
        raise AccessDenied(
            f"This token of {actor.name} is {_limited(actor)}; changing accounts needs another."
        )


def require_organization(actor: Actor, name: str) -> None:
    """Raises unless `actor` may change the organisation called `name`: its members and settings."""
    if actor.is_anonymous:
        raise NotAuthenticated("Log in to change organisations.")
    if actor.scope != "admin":
        raise AccessDenied(
            f"This token of {actor.name} has the scope {actor.scope}; to change {name} needs scope admin."
        )
    if actor.role_in(name) != "admin":
        _refuse(actor, f"administer {name}", name)


def visible(actor: Actor) -> ColumnElement[bool]:
    """The condition that leaves the repositories that `actor` may read."""
    return or_(Repository.private.is_(False), owned(actor))


def owned(actor: Actor) -> ColumnElement[bool]:
    """The condition that leaves the repositories that `actor` would read were they private."""
    if actor.is_admin:
        return true()
    return and_(Repository.owner_id.in_(list(actor.roles)), reached(actor))


def reached(actor: Actor) -> ColumnElement[bool]:
    """The condition that leaves the repositories that the token of `actor` is good for."""
    if actor.resources is None:
        return true()
    named = sorted(actor.resources)
    return or_(func.lower(Repository.namespace).in_(named), Repository.key.in_(named))


def _limited(actor: Actor) -> str:
    return f"limited to {', '.join(sorted(actor.resources or ()))}"


def _refuse(actor: Actor, act: str, namespace: str, name: str | None = None) -> None:
    if actor.is_anonymous:
        raise NotAuthenticated(f"Log in to {act}.")
    if not actor.may_write:
        raise AccessDenied(f"This token of {actor.name} may only read; to {act} needs one of scope write.")
    if not actor.is_good_for(namespace, name):
        raise AccessDenied(f"This token of {actor.name} is {_limited(actor)}; to {act} needs another.")
    role = actor.role_in(namespace, name)
    found = f"has the role {role} in {namespace}" if role else f"is not {namespace} and does not belong to it"
    raise AccessDenied(f"{actor.name} may not {act}: {actor.name} {found}.")
