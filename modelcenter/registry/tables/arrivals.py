"""Bytes on their way: parts of large uploads, and the xorbs of Xet with where their chunks came to lie."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from modelcenter.registry.tables.base import SHA256, Base, now

XET = 64  # hexadecimal digits of a Xet hash, as the protocol prints it


class UploadPart(Base):
    """A part of a large file that arrives in several; its bytes wait in the staging store."""

    __tablename__ = "upload_parts"
    __table_args__ = (Index(None, "created_at"),)

    upload: Mapped[str] = mapped_column(String(64), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, comment="from 1")
    sha256: Mapped[str] = mapped_column(String(SHA256))
    size: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(default=now)


class Xorb(Base):
    """A pack of chunks, accepted once. Clients refer to it for ever: its row outlives its bytes."""

    __tablename__ = "xorbs"
    __table_args__ = (Index(None, "created_at"),)

    hash: Mapped[str] = mapped_column(String(XET), primary_key=True)
    chunks: Mapped[bytes] = mapped_column(
        LargeBinary, comment="for each chunk its hash (32 bytes), raw and stored length (4 bytes each)"
    )
    sha256: Mapped[str | None] = mapped_column(
        String(SHA256), comment="of its bytes in the staging store; NULL: gone, see its places"
    )
    created_at: Mapped[datetime] = mapped_column(default=now)


class XorbSender(Base):
    """Somebody who sent this xorb, and may therefore refer to it from any repository.

    With a token that is limited they may refer to what was sent with tokens of the same `reach`.
    """

    __tablename__ = "xorb_senders"
    __table_args__ = (Index(None, "account_id"),)

    hash: Mapped[str] = mapped_column(ForeignKey("xorbs.hash", ondelete="CASCADE"), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    reach: Mapped[str] = mapped_column(
        String(SHA256), primary_key=True, comment="SHA-256 of what the token was limited to; empty: nothing"
    )


class XorbPlace(Base):
    """Chunks start to stop (excluded) of a xorb lie in a blob, one after the other, from `offset`.

    Clients refer to a xorb for three weeks after they sent it: who deletes a blob that has places leaves it
    for so long after the xorb's `created_at`.
    """

    __tablename__ = "xorb_places"
    __table_args__ = (Index(None, "sha256"),)

    hash: Mapped[str] = mapped_column(ForeignKey("xorbs.hash", ondelete="CASCADE"), primary_key=True)
    start: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    stop: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sha256: Mapped[str] = mapped_column(String(SHA256), primary_key=True)
    offset: Mapped[int] = mapped_column(BigInteger, comment="bytes")
