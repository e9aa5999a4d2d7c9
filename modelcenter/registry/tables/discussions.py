"""Discussions and pull requests of a repository: one numbering, one list of events each."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from modelcenter.registry.tables.base import OID, Base, Id, now

DiscussionStatus = Literal["draft", "open", "closed", "merged"]
EventKind = Literal["comment", "commit", "status-change", "title-change"]


class Discussion(Base):
    """A discussion, or a pull request, whose commits are at `refs/pr/NUM`."""

    __tablename__ = "discussions"
    __table_args__ = (
        CheckConstraint("status IN ('draft', 'open', 'closed', 'merged')", name="status"),
        CheckConstraint("is_pull_request OR status IN ('open', 'closed')", name="only_requests_merge"),
        Index(None, "repository_id", "status"),
        Index(None, "author_id"),
    )

    repository_id: Mapped[int] = mapped_column(
        ForeignKey("repositories.id", ondelete="CASCADE"), primary_key=True
    )
    num: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    title: Mapped[str] = mapped_column(Text)
    status: Mapped[DiscussionStatus] = mapped_column(String(16), default="open")
    is_pull_request: Mapped[bool] = mapped_column(default=False)
    author_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id", ondelete="SET NULL"))
    author: Mapped[str] = mapped_column(String(96), comment="the account's name at the time")
    base: Mapped[str | None] = mapped_column(
        String(255), comment="full name of the branch it wants to change"
    )
    merge_oid: Mapped[str | None] = mapped_column(String(OID), comment="the commit that merged it")
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now)


class DiscussionEvent(Base):
    """Something said or done in a discussion, in order.

    data: of a comment {"content", "hidden", "edits": [{"at", "content"}], "edited_at"}, edits holding the
    texts before the present one and moments being ISO 8601; of a commit {"oid", "title"}; of a status-change
    {"status"}; of a title-change {"from", "to"}.
    """

    __tablename__ = "discussion_events"
    __table_args__ = (
        CheckConstraint("kind IN ('comment', 'commit', 'status-change', 'title-change')", name="kind"),
        ForeignKeyConstraint(
            ["repository_id", "num"], ["discussions.repository_id", "discussions.num"], ondelete="CASCADE"
        ),
        Index(None, "repository_id", "num", "id"),
        Index(None, "author_id"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    repository_id: Mapped[int] = mapped_column(Id)
    num: Mapped[int]
    kind: Mapped[EventKind] = mapped_column(String(16))
    author_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id", ondelete="SET NULL"))
    author: Mapped[str] = mapped_column(String(96))
    created_at: Mapped[datetime] = mapped_column(default=now)
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)
