"""People and organisations, who belongs where, and the tokens they act with."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.orm import Mapped, mapped_column, relationship

from modelcenter.registry.tables.base import SHA256, Base, Id, now

if TYPE_CHECKING:
    from modelcenter.registry.tables.repositories import Repository

AccountKind = Literal["user", "organization"]
Role = Literal["read", "contributor", "write", "admin"]
Scope = Literal["read", "write", "admin"]


def _key(context: DefaultExecutionContext) -> str:
    parameters = context.get_current_parameters()  # type: ignore[no-untyped-call]
    return str(parameters["name"]).lower()


class Account(Base):
    """A person or an organisation: one namespace, compared without regard to case."""

    __tablename__ = "accounts"
    __table_args__ = (
        CheckConstraint("key = lower(name)", name="key_is_lower_name"),
        CheckConstraint("kind IN ('user', 'organization')", name="kind"),
        CheckConstraint("kind = 'user' OR password IS NULL", name="organizations_have_no_password"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(96))
    key: Mapped[str] = mapped_column(String(96), unique=True, default=_key, comment="lower case name")
    kind: Mapped[AccountKind] = mapped_column(String(16), default="user")
    fullname: Mapped[str | None] = mapped_column(String(200))
    password: Mapped[str | None] = mapped_column(
        String(300), comment="scrypt$n$r$p$salt$hash; NULL: no login"
    )
    is_admin: Mapped[bool] = mapped_column(default=False, comment="administers the whole hub")
    created_at: Mapped[datetime] = mapped_column(default=now)
    quota_bytes: Mapped[int | None] = mapped_column(
        BigInteger, comment="most that the files of its repositories may take; NULL: no limit"
    )

    private_by_default: Mapped[bool | None] = mapped_column(
        comment="whether its new repositories are private unless said; NULL: no"
    )

    disabled_at: Mapped[datetime | None] = mapped_column(comment="since when nobody may act as it")
    signed_out_at: Mapped[datetime | None] = mapped_column(
        comment="sign-ins to the pages from before count no more"
    )

    @property
    def is_organization(self) -> bool:
        """Whether this is an organisation, which people belong to and nobody logs in as."""
        return self.kind == "organization"


class Membership(Base):
    """A person's role in an organisation."""

    __tablename__ = "memberships"
    __table_args__ = (
        CheckConstraint("role IN ('read', 'contributor', 'write', 'admin')", name="role"),
        CheckConstraint("organization_id <> account_id", name="not_of_itself"),
        Index(None, "account_id"),
    )

    organization_id: Mapped[int] = mapped_column(
        ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True
    )
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    role: Mapped[Role] = mapped_column(String(16))
    created_at: Mapped[datetime] = mapped_column(default=now)

    organization: Mapped[Account] = relationship(foreign_keys=[organization_id])
    account: Mapped[Account] = relationship(foreign_keys=[account_id])


class Identity(Base):
    """Who a person is to a provider of OpenID Connect: an issuer's subject never changes, a name may."""

    __tablename__ = "identities"
    __table_args__ = (Index(None, "account_id"),)

    issuer: Mapped[str] = mapped_column(String(255), primary_key=True)
    subject: Mapped[str] = mapped_column(String(255), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(default=now)

    account: Mapped[Account] = relationship()


class SignInFailure(Base):
    """A password that was wrong: how often decides whether another is looked at."""

    __tablename__ = "sign_in_failures"
    __table_args__ = (Index(None, "key", "at"), Index(None, "at"))

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    key: Mapped[str] = mapped_column(String(200), comment="`name:` or `address:` and whose")
    at: Mapped[datetime] = mapped_column(default=now)


class Token(Base):
    """An access token. The token itself was shown once; only its digest is kept."""

    __tablename__ = "tokens"
    __table_args__ = (
        CheckConstraint("scope IN ('read', 'write', 'admin')", name="scope"),
        Index(None, "account_id"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(100))
    digest: Mapped[str] = mapped_column(String(SHA256), unique=True, comment="SHA-256 of the token")
    hint: Mapped[str] = mapped_column(String(16), comment="its last characters, to tell tokens apart")
    scope: Mapped[Scope] = mapped_column(String(16))
    resources: Mapped[list[str] | None] = mapped_column(
        comment="accounts it is good for, beside its repositories; NULL: all that its account reaches"
    )
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]

    account: Mapped[Account] = relationship()
    repositories: Mapped[list[Repository]] = relationship(secondary="token_repositories")

    @property
    def reach(self) -> list[str] | None:
        """The accounts (`org`) and repositories (`org/name`) that it is good for; None: all."""
        if self.resources is None:
            return None
        return [*self.resources, *sorted(repository.repo_id for repository in self.repositories)]


class TokenRepository(Base):
    """A repository that a token is good for, wherever it moves."""

    __tablename__ = "token_repositories"
    __table_args__ = (Index(None, "repository_id"),)

    token_id: Mapped[int] = mapped_column(ForeignKey("tokens.id", ondelete="CASCADE"), primary_key=True)
    repository_id: Mapped[int] = mapped_column(
        ForeignKey("repositories.id", ondelete="CASCADE"), primary_key=True
    )
