"""Large files on their way: who may send which bytes where, and what has arrived. No commit names them yet.

A row of `large_files` is written when a blob has arrived whole, so a retry need not send it again. It belongs to
one repository: knowing the SHA-256 of somebody else's file gives no right to it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelcenter.errors import AccessDenied, Invalid, RepositoryNotFound
from modelcenter.registry.blobs.interface import Blob
from modelcenter.registry.database import insert_missing
from modelcenter.registry.tables import LargeFile, Repository

VALID_SECONDS = 24 * 3600  # from the answer of the batch to the first byte; the sending may last longer
AT_ONCE = 500  # addresses in one statement
ADDRESS = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Permit:
    """The right to send one blob to one repository in somebody's name, until it expires (seconds since 1970)."""

    repository_id: int
    account_id: int
    sha256: str
    size: int
    expires: int

    def signature(self, secret: str) -> str:
        """What proves that this hub issued the permit."""
        said = (
            f"upload {self.repository_id} {self.account_id} {self.sha256} {self.size} {self.expires}"
        ).encode()
        return hmac.new(secret.encode(), said, hashlib.sha256).hexdigest()

    def check(self, secret: str, signature: str) -> None:
        """Raises AccessDenied unless the signature is ours and still valid."""
        if not hmac.compare_digest(self.signature(secret).encode(), signature.encode("utf-8", "replace")):
            raise AccessDenied("This upload address was not issued by this hub. Ask for a new one.")
        if time.time() > self.expires:
            raise AccessDenied("This upload address has expired. Ask for a new one.")


def permit(repository: Repository, account_id: int, sha256: str, size: int) -> Permit:
    """A new permit, valid from now."""
    return Permit(repository.id, account_id, sha256, size, int(time.time()) + VALID_SECONDS)


def checked_address(sha256: object) -> str:
    """The address, if it is one. Raises Invalid."""
    if not isinstance(sha256, str) or not ADDRESS.fullmatch(sha256):
        raise Invalid(f"{sha256!r:.100} is no SHA-256; expected 64 lower-case hexadecimal digits.")
    return sha256


def arrived(session: Session, repository: Repository, addresses: Iterable[str]) -> dict[str, int]:
    """The sizes of those blobs that have arrived in this repository, by address."""
    wanted = sorted(set(addresses))
    found: dict[str, int] = {}
    for start in range(0, len(wanted), AT_ONCE):
        rows = session.execute(
            select(LargeFile.sha256, LargeFile.size).where(
                LargeFile.repository_id == repository.id,
                LargeFile.sha256.in_(wanted[start : start + AT_ONCE]),
            )
        )
        found.update(dict(rows.tuples().all()))
    return found


def record(session: Session, permit: Permit, blob: Blob) -> None:
    """Note that the blob has arrived. Raises RepositoryNotFound where its repository was deleted meanwhile."""
    if session.get(Repository, permit.repository_id) is None:
        raise RepositoryNotFound(f"number {permit.repository_id}")
    row = {
        "repository_id": permit.repository_id,
        "sha256": blob.sha256,
        "size": blob.size,
        "uploaded_by_id": permit.account_id,
    }
    insert_missing(session, LargeFile, [row])
