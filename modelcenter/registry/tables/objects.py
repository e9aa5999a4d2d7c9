"""Git objects and the files they name, each of one repository; only blobs in the store are shared."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from modelcenter.registry.tables.base import OID, SHA256, Base, now

ObjectKind = Literal["tree", "commit", "tag"]


class GitObject(Base):
    """The raw bytes (without Git's header) of a tree, commit or annotated tag."""

    __tablename__ = "git_objects"
    __table_args__ = (CheckConstraint("kind IN ('tree', 'commit', 'tag')", name="kind"),)

    repository_id: Mapped[int] = mapped_column(
        ForeignKey("repositories.id", ondelete="CASCADE"), primary_key=True
    )
    oid: Mapped[str] = mapped_column(String(OID), primary_key=True)
    kind: Mapped[ObjectKind] = mapped_column(String(8))
    data: Mapped[bytes] = mapped_column(LargeBinary)


class File(Base):
    """What a Git blob id in this repository's trees stands for.

    A large file's Git blob is its LFS pointer: `oid` is the pointer's id, sha256 and size are the content's.
    """

    __tablename__ = "files"
    __table_args__ = (CheckConstraint("size >= 0", name="size"), Index(None, "sha256"))

    repository_id: Mapped[int] = mapped_column(
        ForeignKey("repositories.id", ondelete="CASCADE"), primary_key=True
    )
    oid: Mapped[str] = mapped_column(String(OID), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(SHA256))
    size: Mapped[int] = mapped_column(BigInteger)
    is_lfs: Mapped[bool] = mapped_column(default=False)


class AwaitedFile(Base):
    """A large file of a mirror that pulls, known by its pointer alone: its content has never come.

    It gives no right to a blob of that SHA-256, which may be here as somebody else's. When the content has
    come from the upstream and was hashed, a File takes its place. `commit_oid` and `path`: where it is found.
    """

    __tablename__ = "awaited_files"
    __table_args__ = (CheckConstraint("size >= 0", name="size"),)

    is_lfs: ClassVar[bool] = True

    repository_id: Mapped[int] = mapped_column(
        ForeignKey("repositories.id", ondelete="CASCADE"), primary_key=True
    )
    oid: Mapped[str] = mapped_column(String(OID), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(SHA256))
    size: Mapped[int] = mapped_column(BigInteger)
    commit_oid: Mapped[str] = mapped_column(String(OID))
    path: Mapped[str] = mapped_column(Text)


class LargeFile(Base):
    """A blob that this repository may refer to as a large file: the right to read it here.

    Written when the bytes have arrived here, before any commit names them. One that no commit names is the
    lease of an unfinished upload and keeps its blob until it ages out.
    """

    __tablename__ = "large_files"
    __table_args__ = (CheckConstraint("size >= 0", name="size"), Index(None, "sha256"))

    repository_id: Mapped[int] = mapped_column(
        ForeignKey("repositories.id", ondelete="CASCADE"), primary_key=True
    )
    sha256: Mapped[str] = mapped_column(String(SHA256), primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    uploaded_by_id: Mapped[int | None] = mapped_column(
        ForeignKey("accounts.id", ondelete="SET NULL"), index=True
    )
    created_at: Mapped[datetime] = mapped_column(default=now)


class ProposedFile(Base):
    """A blob that somebody sent for a pull request: theirs alone to refer to, until a commit does.

    Writers share what was uploaded to a repository (LargeFile); others who know the hash gain nothing by it.
    While the row is there the content counts for them, not for the repository's owner: until somebody who may
    write merges or commits it, or it ages out (registry.proposals).
    """

    __tablename__ = "proposed_files"
    __table_args__ = (
        CheckConstraint("size >= 0", name="size"),
        Index(None, "account_id", "sha256"),
        Index(None, "sha256"),
    )

    repository_id: Mapped[int] = mapped_column(
        ForeignKey("repositories.id", ondelete="CASCADE"), primary_key=True
    )
    sha256: Mapped[str] = mapped_column(String(SHA256), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(default=now)


class BlobCheck(Base):
    """When a blob that repositories refer to was last read and hashed, and what was wrong with it."""

    __tablename__ = "blob_checks"
    __table_args__ = (Index(None, "checked_at"),)

    sha256: Mapped[str] = mapped_column(String(SHA256), primary_key=True)
    checked_at: Mapped[datetime]
    problem: Mapped[str | None] = mapped_column(Text, comment="NULL: nothing")


class BlobBlocks(Base):
    """What each block of a blob hashes to, known since the whole blob was hashed: for serving parts of it.

    Of the only block of a small blob the blob's address is the hash; it has no row.
    """

    __tablename__ = "blob_blocks"

    sha256: Mapped[str] = mapped_column(String(SHA256), primary_key=True)
    digests: Mapped[bytes] = mapped_column(LargeBinary, comment="SHA-256 of each MiB, 32 bytes each")
