"""Rights to send bytes that the hub hands out itself, signed with its secret, until they expire.

Each was given to a token, whose fingerprint it carries: it is good for as long as that, and for no more.

Clients of the LFS protocol send bytes without a token: their address carries the right to send one blob.
Clients of Xet ask for a token of its own: it is the right to send any number of files to one repository.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from modelcenter.errors import AccessDenied, Invalid, InvalidToken, NotAuthenticated
from modelcenter.registry.access import Actor
from modelcenter.registry.blobs.interface import Blob, address

VALID_SECONDS = 24 * 3600  # until the first byte; the sending may last longer
XET_SECONDS = 3600  # clients ask for a new one in time


@dataclass(frozen=True)
class Permit:
    """The right to send one blob to one repository in somebody's name; `expires` in seconds since 1970."""

    repo_id: str
    account: str
    token: str
    sha256: str
    size: int
    expires: int

    @classmethod
    def new(cls, repo_id: str, actor: Actor, blob: Blob) -> Permit:
        """A permit that is valid from now. Raises NotAuthenticated without a token."""
        expires = int(time.time()) + VALID_SECONDS
        return cls(repo_id, actor.name, _token(actor), blob.sha256, blob.size, expires)

    @classmethod
    def read(cls, sha256: str, query: Mapping[str, str], secret: str) -> Permit:
        """The permit of an address. Raises Invalid, and AccessDenied where it is not ours or has expired."""
        try:
            permit = cls(
                query["repository"],
                query["account"],
                query["token"],
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
                "token": self.token,
                "size": self.size,
                "expires": self.expires,
                "signature": self.signature(secret),
            }
        )

    def signature(self, secret: str) -> str:
        """What proves that this hub issued it."""
        said = [self.repo_id, self.account, self.token, self.sha256, str(self.size), str(self.expires)]
        return signed(secret, "upload", *said)


@dataclass(frozen=True)
class XetPermit:
    """The right to send files to one repository by Xet in somebody's name; `expires` as in Permit."""

    repo_id: str
    account: str
    token: str
    expires: int

    @classmethod
    def new(cls, repo_id: str, actor: Actor) -> XetPermit:
        """A permit that is valid from now. Raises NotAuthenticated without a token."""
        return cls(repo_id, actor.name, _token(actor), int(time.time()) + XET_SECONDS)

    @classmethod
    def read(cls, token: str | None, secret: str) -> XetPermit:
        """The permit of a token. Raises InvalidToken where it is not ours or has expired."""
        said, _, signature = (token or "").partition(".")
        if not hmac.compare_digest(signed(secret, "xet", said).encode(), signature.encode(errors="replace")):
            raise InvalidToken("This is no Xet token of this hub. Ask for a new one.")
        try:
            permit = cls(*json.loads(base64.urlsafe_b64decode(said + "==")))
        except (binascii.Error, ValueError, TypeError) as error:
            raise InvalidToken(
                "This Xet token is of another version of this hub. Ask for a new one."
            ) from error
        if time.time() > permit.expires:
            raise InvalidToken("This Xet token has expired. Ask for a new one.")
        return permit

    def spelled(self, secret: str) -> str:
        """What the client presents."""
        fields = [self.repo_id, self.account, self.token, self.expires]
        encoded = base64.urlsafe_b64encode(json.dumps(fields).encode())
        said = encoded.decode().rstrip("=")  # in a header it would begin a parameter
        return f"{said}.{signed(secret, 'xet', said)}"


def _token(actor: Actor) -> str:
    if actor.fingerprint is None:
        raise NotAuthenticated("Files are sent with a token. Send yours.")
    return actor.fingerprint


def signed(secret: str, *said: str) -> str:
    """What only this hub can say of these words."""
    return hmac.new(secret.encode(), "\n".join(said).encode(), hashlib.sha256).hexdigest()
