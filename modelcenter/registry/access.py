"""Who may do what: the one door. Knows actors and repositories, asks no database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from sqlalchemy import ColumnElement, or_, true

from modelcenter.errors import AccessDenied, Gated, NotAuthenticated, RepositoryNotFound
from modelcenter.registry.tables import Repository, Role, Scope

Verb = Literal["read", "write", "admin"]  # admin: settings, deletion

_NONE: Mapping[str, Role] = MappingProxyType({})
_NO_IDS: Mapping[int, Role] = MappingProxyType({})


@dataclass(frozen=True)
class Actor:
    """Somebody who acts, as far as their token goes.

    organizations: role by the organisation's name; roles: by account id, one's own account included.
    scope: what the token allows at most: `read`; `write`, content and settings of repositories; `admin`, all.
    """

    account_id: int | None
    name: str
    is_admin: bool = False
    scope: Scope = "read"
    organizations: Mapping[str, Role] = field(default_factory=lambda: _NONE)
    roles: Mapping[int, Role] = field(default_factory=lambda: _NO_IDS)
    fullname: str | None = None
    token_id: int | None = None
    token_name: str | None = None

    @property
    def is_anonymous(self) -> bool:
        """Whether nobody is known to act."""
        return self.account_id is None

    @property
    def may_write(self) -> bool:
        """Whether the scope goes beyond reading."""
        return not self.is_anonymous and self.scope != "read"

    def role_in(self, namespace: str) -> Role | None:
        """The role in the account called `namespace`: admin in one's own, None where one does not belong."""
        key = namespace.lower()
        if not self.is_anonymous and key == self.name.lower():
            return "admin"
        return next((role for name, role in self.organizations.items() if name.lower() == key), None)


ANONYMOUS = Actor(None, "")


def may(actor: Actor, verb: Verb, repository: Repository) -> bool:
    """Whether `actor` may do this to `repository`.

    |             | reads private | writes, administers            | creates |
    | read        | yes           | no                             | no      |
    | contributor | yes           | what they created              | yes     |
    | write       | yes           | yes                            | yes     |
    | admin       | yes           | yes, and members               | yes     |
    """
    role = actor.role_in(repository.namespace)
    if verb == "read":
        return not repository.private or role is not None or actor.is_admin
    if not actor.may_write:
        return False
    if role == "contributor":
        return actor.is_admin or repository.created_by_id == actor.account_id
    return actor.is_admin or role in ("write", "admin")


def require(actor: Actor, verb: Verb, repository: Repository) -> None:
    """Raises unless `actor` may: RepositoryNotFound before all, then NotAuthenticated, AccessDenied."""
    if may(actor, verb, repository):
        return
    if not may(actor, "read", repository):
        raise RepositoryNotFound(repository.repo_id)
    _refuse(actor, f"change {repository.repo_id}", repository.namespace)


def require_files(actor: Actor, repository: Repository) -> None:
    """Raises Gated unless `actor`, who may see the repository, may also read its files."""
    if repository.gated and not actor.is_admin and actor.role_in(repository.namespace) is None:
        raise Gated(repository.repo_id)


def require_create(actor: Actor, namespace: str) -> None:
    """Raises NotAuthenticated or AccessDenied unless `actor` may create repositories in `namespace`."""
    if not actor.may_write or not (
        actor.is_admin or actor.role_in(namespace) in ("contributor", "write", "admin")
    ):
        _refuse(actor, f"create repositories in {namespace}", namespace)


def require_self(actor: Actor) -> None:
    """Raises unless `actor` may change accounts: organisations, members, tokens."""
    if actor.is_anonymous:
        raise NotAuthenticated("Log in to change accounts.")
    if actor.scope == "read":
        raise AccessDenied(f"This token of {actor.name} may only read; changing accounts needs more.")


def visible(actor: Actor) -> ColumnElement[bool]:
    """The condition that leaves the repositories that `actor` may read."""
    if actor.is_admin:
        return true()
    return or_(Repository.private.is_(False), Repository.owner_id.in_(list(actor.roles)))


def _refuse(actor: Actor, act: str, namespace: str) -> None:
    if actor.is_anonymous:
        raise NotAuthenticated(f"Log in to {act}.")
    if not actor.may_write:
        raise AccessDenied(f"This token of {actor.name} may only read; to {act} needs one of scope write.")
    role = actor.role_in(namespace)
    found = f"has the role {role} in {namespace}" if role else f"is not {namespace} and does not belong to it"
    raise AccessDenied(f"{actor.name} may not {act}: {actor.name} {found}.")
