"""Addresses that carry a right: whoever has one may send the one blob that it names, until it expires.

Clients of the LFS protocol send bytes without a token, so the address is signed with the hub's secret.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from modelcenter.errors import AccessDenied, Invalid
from modelcenter.registry.blobs.interface import address

VALID_SECONDS = 24 * 3600  # until the first byte; the sending may last longer


@dataclass(frozen=True)
class Permit:
    """The right to send one blob to one repository in somebody's name; `expires` in seconds since 1970."""

    repo_id: str
    account: str
    sha256: str
    size: int
    expires: int

    @classmethod
    def new(cls, repo_id: str, account: str, sha256: str, size: int) -> Permit:
        """A permit that is valid from now."""
        return cls(repo_id, account, sha256, size, int(time.time()) + VALID_SECONDS)

    @classmethod
    def read(cls, sha256: str, query: Mapping[str, str], secret: str) -> Permit:
        """The permit of an address. Raises Invalid, and AccessDenied where it is not ours or has expired."""
        try:
            permit = cls(
                query["repository"],
                query["account"],
                address(sha256),
                int(query["size"]),
                int(query["expires"]),
            )
        except (KeyError, ValueError) as error:
            raise Invalid("This is no upload address of this hub.") from error
        given = query.get("signature", "").encode(errors="replace")
        if not hmac.compare_digest(permit.signature(secret).encode(), given):
            raise AccessDenied("This upload address was not issued by this hub. Ask for a new one.")
        if time.time() > permit.expires:
            raise AccessDenied("This upload address has expired. Ask for a new one.")
        return permit

    def query(self, secret: str) -> str:
        """The query of its address."""
        return urlencode(
            {
                "repository": self.repo_id,
                "account": self.account,
                "size": self.size,
                "expires": self.expires,
                "signature": self.signature(secret),
            }
        )

    def signature(self, secret: str) -> str:
        """What proves that this hub issued it."""
        said = "\n".join(
            ["upload", self.repo_id, self.account, self.sha256, str(self.size), str(self.expires)]
        )
        return hmac.new(secret.encode(), said.encode(), hashlib.sha256).hexdigest()
