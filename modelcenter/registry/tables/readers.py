"""What readers do to a repository: like it, ask to be let through its gate."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from modelcenter.registry.tables.accounts import Account
from modelcenter.registry.tables.base import Base, now

AccessStatus = Literal["pending", "accepted", "rejected"]


class Like(Base):
    """Somebody likes a repository."""

    __tablename__ = "likes"
    __table_args__ = (Index(None, "account_id", "created_at"),)

    repository_id: Mapped[int] = mapped_column(
        ForeignKey("repositories.id", ondelete="CASCADE"), primary_key=True
    )
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(default=now)


class AccessRequest(Base):
    """Somebody's wish to read a gated repository's files, and what became of it."""

    __tablename__ = "access_requests"
    __table_args__ = (
        CheckConstraint("status IN ('pending', 'accepted', 'rejected')", name="status"),
        Index(None, "account_id"),
        Index(None, "repository_id", "status"),
        Index(None, "handled_by_id"),
    )

    repository_id: Mapped[int] = mapped_column(
        ForeignKey("repositories.id", ondelete="CASCADE"), primary_key=True
    )
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    status: Mapped[AccessStatus] = mapped_column(String(16), default="pending")
    fields: Mapped[dict[str, Any]] = mapped_column(default=dict, comment="what the gate's form asked")
    reason: Mapped[str | None] = mapped_column(Text, comment="of a rejection")
    created_at: Mapped[datetime] = mapped_column(default=now)
    handled_at: Mapped[datetime | None]
    handled_by_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id", ondelete="SET NULL"))

    account: Mapped[Account] = relationship(foreign_keys=[account_id])
