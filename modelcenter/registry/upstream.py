"""Another hub, read from here: what it says of a repository, its Git history, and its files in ranges.

What it sends is not trusted: whoever asks for it checks hashes. Source: the Hub protocol as huggingface_hub
speaks it; git's Documentation/gitprotocol-http.txt, spoken by dulwich.
"""

from __future__ import annotations

import base64
import io
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, Literal
from urllib.parse import quote

import httpx2
from dulwich.client import AbstractHttpGitClient
from dulwich.errors import GitProtocolError, NotGitRepository
from dulwich.object_store import ObjectStoreGraphWalker
from dulwich.objects import ObjectID

from modelcenter import __version__
from modelcenter.errors import (
    AccessDenied,
    EntryNotFound,
    HubRefused,
    Invalid,
    NotSupported,
    RepositoryNotFound,
    RevisionNotFound,
    TooLarge,
    unreachable,
)
from modelcenter.registry.blobs.interface import CHUNK, address
from modelcenter.registry.git.packs import PACK_BYTES
from modelcenter.registry.revisions import is_full_id
from modelcenter.settings import Settings

HUGGING_FACE = "https://huggingface.co"
ATTEMPTS = 5  # of a request, as long as none of them brought anything
PAUSE_SECONDS = 0.5  # before the second; each further pause is twice as long
SECONDS = 60.0  # of silence after which a connection is given up
CONNECT_SECONDS = 10.0  # in which there has to be one
_ID = re.compile(r"[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)?")


def own_token(settings: Settings, endpoint: str) -> str | None:
    """The hub's own token for the hub at `endpoint`: no other than its upstream is shown it."""
    return settings.upstream_token if endpoint == (settings.upstream or HUGGING_FACE) else None


@dataclass(frozen=True, slots=True)
class Described:
    """A repository as its hub describes it, and the commit that the revision is now."""

    repo_id: str
    commit: str
    private: bool
    gated: Literal["auto", "manual"] | None


@dataclass(frozen=True, slots=True)
class Listed:
    """A file of a commit. oid: its Git id. sha256: of a large file's content, None for others."""

    path: str
    size: int
    oid: str
    sha256: str | None


class Upstream:
    """The hub at `endpoint` (without a trailing slash), asked with `token`, if any.

    All methods raise HubUnreachable, HubRefused, AccessDenied, and RepositoryNotFound as far as it says so.
    """

    def __init__(
        self, endpoint: str = HUGGING_FACE, token: str | None = None, *, attempts: int = ATTEMPTS
    ) -> None:
        self.endpoint, self._token, self._attempts = endpoint.rstrip("/"), token, attempts
        self._http = httpx2.Client(
            headers={"User-Agent": f"modelcenter/{__version__}"},
            follow_redirects=True,
            timeout=httpx2.Timeout(SECONDS, connect=CONNECT_SECONDS),
        )

    def __enter__(self) -> Upstream:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def describe(self, repo_id: str, revision: str) -> Described:
        """What the upstream says of a repository. Raises RevisionNotFound, Invalid for nonsense."""
        if not _ID.fullmatch(repo_id):
            raise RepositoryNotFound(repo_id, f"on {self.endpoint}")
        found = self._json(f"/api/models/{repo_id}/revision/{quote(revision, safe='')}", repo_id, revision)
        name, commit = found.get("id"), found.get("sha")
        if not isinstance(name, str) or not _ID.fullmatch(name):
            raise self._nonsense(f"it calls {repo_id} {name!r:.100}")
        if not isinstance(commit, str) or not is_full_id(commit):
            raise self._nonsense(f"it names {commit!r:.100} as the commit of {repo_id}")
        gated = found.get("gated")
        if not isinstance(found.get("private"), bool) or gated not in (False, None, "auto", "manual"):
            raise self._nonsense(f"it does not say who may read {repo_id}")
        return Described(name, commit, found["private"], gated or None)

    def files(self, repo_id: str, commit: str) -> Iterator[Listed]:
        """All files of a commit. Raises Invalid for a list that makes no sense."""
        path: str | None = f"/api/models/{repo_id}/tree/{commit}?recursive=true&expand=false"
        while path:
            with self._answer(path, repo_id, commit) as answer:
                answer.read()
            for entry in self._list(answer):
                if entry.get("type") == "file":
                    yield self._listed(entry)
            following = answer.links.get("next", {}).get("url")
            if following and not following.startswith(f"{self.endpoint}/"):
                raise self._nonsense(f"its list goes on at {following!r:.200}")
            path = following.removeprefix(self.endpoint) if following else None

    def read(self, repo_id: str, commit: str, path: str, start: int, stop: int) -> Iterator[bytes]:
        """The bytes `start:stop` of a file, going on where a connection broke. Raises EntryNotFound.

        Fewer where the file ends before.
        """
        address, position, failures = f"/{repo_id}/resolve/{commit}/{quote(path)}", start, 0
        while position < stop:
            # Compressed, the range would be one of the compressed bytes.
            headers = {"Range": f"bytes={position}-{stop - 1}", "Accept-Encoding": "identity"}
            before = position
            try:
                with self._answer(address, repo_id, commit, path, headers) as answer:
                    past = position if answer.status_code == httpx2.codes.OK else 0  # it knows no ranges
                    for chunk in answer.iter_bytes(CHUNK):
                        kept = chunk[past:][: stop - position]
                        past = max(0, past - len(chunk))
                        position += len(kept)
                        if kept:
                            yield kept
                        if position >= stop:
                            return
                return
            except httpx2.TransportError as error:
                failures = 0 if position > before else failures + 1
                if failures == self._attempts:
                    raise unreachable(self.endpoint, error) from error
                time.sleep(PAUSE_SECONDS * 2**failures)

    def fetch(
        self,
        repo_id: str,
        choose: Callable[[Mapping[str, str]], Collection[str]],
        haves: Collection[str],
        pack: IO[bytes],
    ) -> None:
        """Writes to `pack` what Git lacks of the objects that `choose` takes from the upstream's refs.

        Writes nothing where it chooses none. Raises NotSupported where the upstream does not speak Git, and
        TooLarge for more than packs.PACK_BYTES.
        """

        def keep(data: bytes) -> int:
            if pack.tell() + len(data) > PACK_BYTES:
                raise TooLarge(
                    f"The history of {repo_id} has more than {PACK_BYTES} bytes beside large files."
                )
            return pack.write(data)

        def wants(refs: Mapping[Any, ObjectID], depth: int | None = None) -> list[ObjectID]:
            known = {name.decode("utf-8", "replace"): oid.decode() for name, oid in refs.items()}
            return [ObjectID(oid.encode()) for oid in choose(known)]

        walker = ObjectStoreGraphWalker([ObjectID(oid.encode()) for oid in haves], lambda _: [])
        try:
            _Git(self).fetch_pack(repo_id, wants, walker, keep)
        except NotGitRepository as error:
            raise NotSupported(f"{self.endpoint} does not speak Git of {repo_id}.") from error
        except httpx2.TransportError as error:
            raise unreachable(self.endpoint, error) from error
        except (GitProtocolError, ValueError, AssertionError) as error:
            raise HubRefused(self.endpoint, 200, f"Git failed: {error!s:.300}") from error

    @contextmanager
    def git_answer(
        self, url: str, headers: Mapping[str, str], data: bytes | Iterator[bytes] | None
    ) -> Iterator[httpx2.Response]:
        """The answer to a request of Git's, of which only the head has been read."""
        sent = dict(headers)
        if self._token:  # Git's servers know a token as a password
            sent["Authorization"] = f"Basic {base64.b64encode(f'token:{self._token}'.encode()).decode()}"
        method = "GET" if data is None else "POST"
        with self._http.stream(method, url, headers=sent, content=data) as answer:
            yield answer

    @contextmanager
    def _answer(
        self,
        address: str,
        repo_id: str,
        revision: str,
        path: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[httpx2.Response]:
        """The answer to a GET, of which only the head has been read; refusals are errors of ours."""
        sent = dict(headers or {})
        if self._token:
            sent["Authorization"] = f"Bearer {self._token}"
        with self._http.stream("GET", self.endpoint + address, headers=sent) as answer:
            if answer.is_success:
                yield answer
                return
            code, said = answer.headers.get("X-Error-Code"), answer.headers.get("X-Error-Message", "")
            status = answer.status_code
        if code == "RevisionNotFound":
            raise RevisionNotFound(repo_id, revision)
        if code == "EntryNotFound" and path is not None:
            raise EntryNotFound(repo_id, revision, path, revision)
        if code == "GatedRepo":
            raise AccessDenied(f"{repo_id} is gated on {self.endpoint}: its owner has to let this token in.")
        # Without a code 401 is about the token; huggingface.co tells so who sends none of what they may not
        # read. A 401 or 404 that says nothing comes from something in between, which knows of no model.
        if code == "RepoNotFound" or (status == 401 and said and not self._token):
            raise RepositoryNotFound(repo_id, f"on {self.endpoint}")
        raise HubRefused(self.endpoint, status, said or f"the request for {address[:200]} failed")

    def _json(self, address: str, repo_id: str, revision: str) -> Mapping[str, Any]:
        try:
            with self._answer(address, repo_id, revision) as answer:
                answer.read()
        except httpx2.TransportError as error:
            raise unreachable(self.endpoint, error) from error
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise self._nonsense(f"it describes {repo_id} by something else than JSON")
        return found

    def _list(self, answer: httpx2.Response) -> list[Mapping[str, Any]]:
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
            raise self._nonsense("its list of files is none")
        return found

    def _listed(self, entry: Mapping[str, Any]) -> Listed:
        large = entry.get("lfs") or {}
        found = (entry.get("path"), entry.get("size"), entry.get("oid"), large.get("oid"))
        match found:
            case (str(path), int(size), str(oid), None | str()) if size >= 0 and is_full_id(oid):
                return Listed(path, size, oid, address(found[3]) if found[3] else None)
        raise self._nonsense(f"it lists a file as {found!r:.300}")

    def _nonsense(self, what: str) -> Invalid:
        return Invalid(f"{self.endpoint} does not answer as a hub: {what}.")


class _Git(AbstractHttpGitClient):
    """dulwich's client over the same connections, proxies and certificates as all else."""

    def __init__(self, upstream: Upstream) -> None:
        super().__init__(upstream.endpoint, dumb=False)
        self._upstream = upstream

    def _http_request(
        self,
        url: str,
        headers: dict[str, str] | None = None,
        data: bytes | Iterator[bytes] | None = None,
        raise_for_status: bool = True,
    ) -> Any:
        # A server may name other addresses to fetch from.
        if not url.startswith(f"{self._upstream.endpoint}/"):
            raise GitProtocolError(f"the upstream refers to {url[:200]}")
        answer = _GitAnswer(self._upstream.git_answer(url, headers or {}, data))
        if answer.status_code != httpx2.codes.OK or not answer.content_type.startswith("application/x-git"):
            answer.close()
            raise NotGitRepository
        return answer, answer.read


class _GitAnswer:
    """An answer as dulwich reads it."""

    def __init__(self, opening: Any) -> None:
        self._opening = opening
        response: httpx2.Response = opening.__enter__()
        self.status_code = response.status_code
        self.content_type = response.headers.get("Content-Type", "")
        self.redirect_location = ""  # httpx2 followed it already; a POST begins at the first address again
        self._body = io.BufferedReader(_Stream(response.iter_bytes(CHUNK)), CHUNK)

    def read(self, size: int = -1) -> bytes:
        return self._body.read(size)

    def close(self) -> None:
        self._opening.__exit__(None, None, None)


class _Stream(io.RawIOBase):
    """Chunks as a file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._ahead = chunks, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._ahead:
            following = next(self._chunks, None)
            if following is None:
                return 0
            self._ahead = following
        taken = self._ahead[: len(buffer)]
        buffer[: len(taken)] = taken
        self._ahead = self._ahead[len(taken) :]
        return len(taken)
