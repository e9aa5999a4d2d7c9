"""What happened, what is still to do, and what was downloaded."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from sqlalchemy import BigInteger, CheckConstraint, Date, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from modelcenter.registry.tables.base import Base, Id, now

JobState = Literal["queued", "running", "done", "failed"]


class Activity(Base):
    """One act on the hub. Outlives what it speaks of: names are kept beside the keys."""

    __tablename__ = "activities"
    __table_args__ = (Index(None, "repository_id", "id"), Index(None, "account_id", "id"))

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    at: Mapped[datetime] = mapped_column(default=now)
    account_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id", ondelete="SET NULL"))
    actor: Mapped[str] = mapped_column(
        String(96), comment="the account's name at the time; empty: the hub itself"
    )
    verb: Mapped[str] = mapped_column(String(40), comment="such as repository.create, commit, branch.delete")
    repository_id: Mapped[int | None] = mapped_column(ForeignKey("repositories.id", ondelete="SET NULL"))
    subject: Mapped[str] = mapped_column(String(200), comment="namespace/name or account")
    private: Mapped[bool | None] = mapped_column(
        comment="whether the repository was private at the time; NULL: not known, or there was none"
    )
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)


class Job(Base):
    """Work that follows an act, queued in its transaction; begun under a lease, repeated until done."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint("state IN ('queued', 'running', 'done', 'failed')", name="state"),
        CheckConstraint("(state = 'running') = (lease_until IS NOT NULL)", name="running_has_lease"),
        # Unique among the jobs not yet begun only: what changes after a job began is looked at again.
        Index(
            "uq_jobs_key_queued",
            "key",
            unique=True,
            sqlite_where=text("state = 'queued'"),
            postgresql_where=text("state = 'queued'"),
        ),
        Index(None, "state", "run_after"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    kind: Mapped[str] = mapped_column(String(40))
    payload: Mapped[dict[str, Any]]
    key: Mapped[str | None] = mapped_column(String(200))
    state: Mapped[JobState] = mapped_column(String(16), default="queued")
    attempts: Mapped[int] = mapped_column(default=0)
    run_after: Mapped[datetime] = mapped_column(default=now)
    lease_owner: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[datetime | None]
    error: Mapped[str | None] = mapped_column(Text, comment="of the last attempt")
    created_at: Mapped[datetime] = mapped_column(default=now)
    finished_at: Mapped[datetime | None]


class DownloadCount(Base):
    """Downloads of a repository on one day (UTC)."""

    __tablename__ = "download_counts"

    repository_id: Mapped[int] = mapped_column(
        ForeignKey("repositories.id", ondelete="CASCADE"), primary_key=True
    )
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger, default=0)


class Webhook(Base):
    """An address that wants to hear of what happens to an account's repositories, or to one of them."""

    __tablename__ = "webhooks"
    __table_args__ = (Index(None, "account_id"), Index(None, "watched"))

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    account_id: Mapped[int] = mapped_column(
        ForeignKey("accounts.id", ondelete="CASCADE"), comment="who set it up, and with whose eyes it sees"
    )
    watched: Mapped[str] = mapped_column(String(193), comment="lower case `org` or `org/name`")
    url: Mapped[str] = mapped_column(Text)
    secret: Mapped[str] = mapped_column(String(100), comment="whsec_…: signs what is sent")
    events: Mapped[list[str]] = mapped_column(comment="such as repo.content; empty: all")
    disabled_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=now)


class Delivery(Base):
    """What came of telling one webhook of one activity."""

    __tablename__ = "deliveries"
    __table_args__ = (Index(None, "webhook_id", "id"), Index(None, "created_at"))

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    webhook_id: Mapped[int] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    activity_id: Mapped[int] = mapped_column(ForeignKey("activities.id", ondelete="CASCADE"), index=True)
    attempts: Mapped[int] = mapped_column(default=0)
    status: Mapped[int | None] = mapped_column(comment="of the last answer; NULL: none came")
    problem: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=now)
    delivered_at: Mapped[datetime | None]
