"""Repositories, their refs, and the index of their commits."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, String, Text
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.orm import Mapped, mapped_column, relationship

from modelcenter.registry.tables.accounts import Account
from modelcenter.registry.tables.base import OID, Base, Id, now

Status = Literal["hosted", "linked"]
Gate = Literal["auto", "manual"]


def _key(context: DefaultExecutionContext) -> str:
    parameters = context.get_current_parameters()  # type: ignore[no-untyped-call]
    return f"{parameters['namespace']}/{parameters['name']}".lower()


class Repository(Base):
    """A model's repository: hosted here, or a catalogue entry linked to its upstream (no files, no commits).

    Its id `namespace/name` is unique without regard to case. A linked entry reserves no name: it needs no
    account of its namespace, and becomes hosted by the first upload of somebody entitled.
    """

    __tablename__ = "repositories"
    __table_args__ = (
        CheckConstraint("key = lower(namespace || '/' || name)", name="key_is_lower_id"),
        CheckConstraint("status IN ('hosted', 'linked')", name="status"),
        CheckConstraint("status = 'linked' OR owner_id IS NOT NULL", name="hosted_has_owner"),
        CheckConstraint("status = 'hosted' OR upstream IS NOT NULL", name="linked_has_upstream"),
        CheckConstraint("gated IN ('auto', 'manual')", name="gated"),
        Index(None, "owner_id"),
        Index(None, "updated_at"),
        Index(None, "downloads"),
        Index(None, "likes"),
        Index(None, "created_at"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    namespace: Mapped[str] = mapped_column(String(96))
    name: Mapped[str] = mapped_column(String(96))
    key: Mapped[str] = mapped_column(
        String(193), unique=True, default=_key, comment="lower case namespace/name"
    )
    owner_id: Mapped[int | None] = mapped_column(
        ForeignKey("accounts.id", ondelete="RESTRICT"),
        comment="the account called namespace; NULL: linked, no account",
    )
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id", ondelete="SET NULL"))
    status: Mapped[Status] = mapped_column(String(16), default="hosted")
    upstream: Mapped[str | None] = mapped_column(
        String(193), comment="id on the Hugging Face Hub, kept when hosted"
    )
    private: Mapped[bool] = mapped_column(default=False)
    gated: Mapped[Gate | None] = mapped_column(String(16))
    default_branch: Mapped[str] = mapped_column(String(255), default="main")
    downloads: Mapped[int] = mapped_column(BigInteger, default=0)
    likes: Mapped[int] = mapped_column(BigInteger, default=0)
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now)

    owner: Mapped[Account | None] = relationship(foreign_keys=[owner_id])

    @property
    def repo_id(self) -> str:
        """`namespace/name`, as its owner spells it."""
        return f"{self.namespace}/{self.name}"

    @property
    def is_linked(self) -> bool:
        """Whether this is a catalogue entry whose files are upstream."""
        return self.status == "linked"


class Commit(Base):
    """A commit. Its generation is one more than the greatest of those before it; else it is 1."""

    __tablename__ = "commits"
    __table_args__ = (CheckConstraint("generation > 0", name="generation"),)

    repository_id: Mapped[int] = mapped_column(
        ForeignKey("repositories.id", ondelete="CASCADE"), primary_key=True
    )
    oid: Mapped[str] = mapped_column(String(OID), primary_key=True)
    tree: Mapped[str] = mapped_column(String(OID))
    generation: Mapped[int]
    author_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id", ondelete="SET NULL"), index=True)
    author: Mapped[str] = mapped_column(String(300), comment="name as in the Git object")
    title: Mapped[str] = mapped_column(Text)
    message: Mapped[str] = mapped_column(Text, default="", comment="without its title")
    created_at: Mapped[datetime]
    replaces: Mapped[str | None] = mapped_column(
        String(OID), comment="of one without parents: the head whose history was squashed into it"
    )


class CommitParent(Base):
    """The commits that a commit builds on, in order."""

    __tablename__ = "commit_parents"
    __table_args__ = (
        ForeignKeyConstraint(
            ["repository_id", "oid"], ["commits.repository_id", "commits.oid"], ondelete="CASCADE"
        ),
        ForeignKeyConstraint(
            ["repository_id", "parent"], ["commits.repository_id", "commits.oid"], ondelete="CASCADE"
        ),
        Index(None, "repository_id", "parent"),
    )

    repository_id: Mapped[int] = mapped_column(Id, primary_key=True)
    oid: Mapped[str] = mapped_column(String(OID), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    parent: Mapped[str] = mapped_column(String(OID))


class Change(Base):
    """A file or folder that a commit changed against its first parent: the last commit is read from it."""

    __tablename__ = "changes"
    __table_args__ = (
        ForeignKeyConstraint(
            ["repository_id", "oid"], ["commits.repository_id", "commits.oid"], ondelete="CASCADE"
        ),
        Index(None, "repository_id", "oid"),
    )

    repository_id: Mapped[int] = mapped_column(Id, primary_key=True)
    folder: Mapped[str] = mapped_column(Text, primary_key=True, comment="of the path; empty: the root")
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    oid: Mapped[str] = mapped_column(String(OID), primary_key=True, comment="the commit")


class Ref(Base):
    """A name that points to a commit: `refs/heads/main`, `refs/tags/v1`, `refs/pr/3`."""

    __tablename__ = "refs"
    __table_args__ = (
        ForeignKeyConstraint(["repository_id", "target"], ["commits.repository_id", "commits.oid"]),
        CheckConstraint("name LIKE 'refs/%'", name="name"),
        Index(None, "repository_id", "target"),
    )

    repository_id: Mapped[int] = mapped_column(
        ForeignKey("repositories.id", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    target: Mapped[str] = mapped_column(String(OID), comment="the commit")
    tag: Mapped[str | None] = mapped_column(
        String(OID), comment="the annotated tag object, where there is one"
    )
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now)
    frozen_at: Mapped[datetime | None] = mapped_column(comment="since when nobody may move or delete it")

    @property
    def short_name(self) -> str:
        """`main` of `refs/heads/main`."""
        return self.name.removeprefix("refs/").partition("/")[2]


class FormerId(Base):
    """An id that a repository had before it moved; asking for it leads to the repository."""

    __tablename__ = "former_ids"
    __table_args__ = (Index(None, "repository_id"),)

    key: Mapped[str] = mapped_column(String(193), primary_key=True, comment="lower case namespace/name")
    repository_id: Mapped[int] = mapped_column(ForeignKey("repositories.id", ondelete="CASCADE"))
    private: Mapped[bool] = mapped_column(comment="whether it was private when it had this id")
    created_at: Mapped[datetime] = mapped_column(default=now)


class Withdrawal(Base):
    """A commit that its owners took back: refs pass over it, who names it by its id is warned."""

    __tablename__ = "withdrawals"
    __table_args__ = (
        ForeignKeyConstraint(
            ["repository_id", "commit_oid"], ["commits.repository_id", "commits.oid"], ondelete="CASCADE"
        ),
        Index(None, "account_id"),
    )

    repository_id: Mapped[int] = mapped_column(Id, primary_key=True)
    commit_oid: Mapped[str] = mapped_column(String(OID), primary_key=True)
    reason: Mapped[str] = mapped_column(Text)
    account_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(default=now)


class Mirror(Base):
    """Where a repository is copied from. Of one that pulls, large files may be awaited (AwaitedFile)."""

    __tablename__ = "mirrors"

    repository_id: Mapped[int] = mapped_column(
        ForeignKey("repositories.id", ondelete="CASCADE"), primary_key=True
    )
    endpoint: Mapped[str] = mapped_column(Text, comment="of the upstream hub, without a trailing slash")
    upstream_id: Mapped[str] = mapped_column(String(193))
    checked_at: Mapped[datetime | None] = mapped_column(comment="when the upstream's refs were last read")
    pulls: Mapped[bool] = mapped_column(
        default=False, comment="follows the upstream by itself and fetches files when they are asked for"
    )
