"""A revision's files on a hub, read in ranges: `modelcenter verify NAME` fetches headers, not weights."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from modelcenter.client import logins
from modelcenter.client.telling import get, told
from modelcenter.client.withdrawn import warn_if_withdrawn
from modelcenter.errors import CheckpointDamaged, EntryNotFound, NotHosted

if TYPE_CHECKING:
    import httpx2

CUTS = 4  # of a connection, while a part of a file is read


def remote_files(
    name: str, revision: str | None = None, endpoint: str | None = None, token: str | None = None
) -> RemoteFiles:
    """The files of `name` at one commit. Raises RepositoryNotFound, RevisionNotFound, HubError."""
    place = logins.endpoint(endpoint)
    return RemoteFiles(name, revision, place, logins.token(token, place))


class RemoteFiles:
    """`checkpoint.source.Files` over HTTP: one listing, then a Range request for each read.

    The revision is resolved once, so that all reads see one commit while the branch may move on.
    """

    def __init__(
        self, name: str, revision: str | None, endpoint: str, token: str | None, *, warns: bool = True
    ) -> None:
        """warns: where the revision is a commit that was withdrawn."""
        self.warns = warns
        self.name, self.revision, self.endpoint = name, revision or "main", endpoint
        self.token = token

    def __repr__(self) -> str:
        return f"{self.name} on {self.endpoint}"

    def names(self) -> Collection[str]:
        """All paths, '/'-separated."""
        return self._listing[1].keys()

    def size(self, name: str) -> int:
        """The file's length in bytes."""
        try:
            return self._listing[1][name].size
        except KeyError:
            raise EntryNotFound(self.name, self.revision, name, self.commit) from None

    def content(self, name: str) -> str:
        """What names the file's content: the SHA-256 of a large file, the Git id of another."""
        return self._listing[1][name].content

    def address(self, name: str) -> str:
        """Where the file is."""
        return f"{self.endpoint}/{quote(self.name)}/resolve/{self.commit}/{quote(name)}"

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        """The bytes `start:stop` of the file; fewer where it ends before."""
        stop = min(self.size(name), self.size(name) if stop is None else stop)
        if start >= stop:
            return b""
        # Compressed, the range would be one of the compressed bytes.
        headers = {"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
        with told(self.endpoint, self.name, self.revision):
            response = patient(lambda: get(self.address(name), self.token, headers=headers))
            content = response.content
        if response.status_code != 206:  # a server or proxy that knows no ranges sends the whole file
            content = content[start:stop]
        if len(content) != stop - start:
            raise CheckpointDamaged(
                name, f"{self.endpoint} sent {len(content)} of the {stop - start} bytes asked for"
            )
        return content

    @property
    def commit(self) -> str:
        """The commit that the revision was when it was first looked at."""
        return self._listing[0]

    @cached_property
    def _listing(self) -> tuple[str, Mapping[str, Listed]]:
        address = f"{self.endpoint}/api/models/{quote(self.name)}/revision/{quote(self.revision, safe='')}"
        with told(self.endpoint, self.name, self.revision):
            found = get(address, self.token, query={"blobs": "true"}).json()
        if self.warns:
            warn_if_withdrawn(self.endpoint, self.token, self.name, self.revision)
        known = found.get("modelcenter", {})
        if known.get("status") == "linked":
            raise NotHosted(self.name, known.get("upstream", self.name))
        return found["sha"], {file["rfilename"]: Listed.of(file) for file in found.get("siblings", ())}


def patient(ask: Callable[[], httpx2.Response]) -> httpx2.Response:
    """The answer, asked for again where the connection was cut on the way."""
    import httpx2

    for _ in range(CUTS):
        with contextlib.suppress(httpx2.ReadError, httpx2.RemoteProtocolError):
            return ask()
    return ask()


@dataclass(frozen=True, slots=True)
class Listed:
    """What a listing says of a file: its length in bytes, and what names its content."""

    size: int
    content: str

    @classmethod
    def of(cls, file: Mapping[str, Any]) -> Listed:
        """From the hub's words."""
        return cls(file.get("size") or 0, (file.get("lfs") or {}).get("sha256") or file.get("blobId") or "")
