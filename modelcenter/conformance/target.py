"""The server that is asked, with the clients of those who ask it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from huggingface_hub import HfApi

from modelcenter.conformance.cases import Skipped, Wrong

SECONDS = 120  # for one request of ours, or one program


@dataclass(frozen=True)
class Answer:
    """An HTTP answer as it came: redirects not followed, nothing unpacked."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        """The body as JSON. Raises Wrong."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Wrong(f"Expected JSON with status {self.status}, found {self.body[:200]!r}.") from error

    def header(self, name: str) -> str:
        """A header's value; empty where there is none."""
        return self.headers.get(name) or ""


@dataclass
class Target:
    """A server, two people who use it, and a folder for what is being sent and fetched.

    Repositories that cases make are called after a random number, and are deleted after each case.
    """

    endpoint: str  # without a trailing slash
    token: str
    other_token: str | None
    folder: Path
    made: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.api = HfApi(endpoint=self.endpoint, token=self.token)
        self.anonymous = HfApi(endpoint=self.endpoint, token=False)

    @property
    def other(self) -> HfApi:
        """The second person's client. Raises Skipped."""
        if self.other_token is None:
            raise Skipped("It takes a second person: give --token2.")
        return HfApi(endpoint=self.endpoint, token=self.other_token)

    @cached_property
    def name(self) -> str:
        """What the first person is called."""
        return str(self.api.whoami()["name"])

    @cached_property
    def other_name(self) -> str:
        """What the second person is called."""
        return str(self.other.whoami()["name"])

    def new_name(self) -> str:
        """An id that nobody has, deleted after the case if it exists by then."""
        repo_id = f"{self.name}/conformance-{secrets.token_hex(6)}"
        self.made.append(repo_id)
        return repo_id

    def repository(self, files: Mapping[str, bytes] | None = None, *, private: bool = False) -> str:
        """A new repository with `files`, committed at once; small text files travel as regular ones."""
        from huggingface_hub import CommitOperationAdd

        repo_id = self.new_name()
        self.api.create_repo(repo_id, private=private)
        if files:
            self.api.create_commit(
                repo_id,
                [CommitOperationAdd(path, self.file(content)) for path, content in files.items()],
                commit_message="Files",
            )
        return repo_id

    def file(self, content: bytes) -> str:
        """The path of a new file that holds `content`."""
        path = self.folder / secrets.token_hex(8)
        path.write_bytes(content)
        return str(path)

    def clean(self) -> None:
        """Delete what the case made. What cannot be deleted shows in the case that deletes."""
        while self.made:
            with contextlib.suppress(Exception):
                self.api.delete_repo(self.made.pop(), missing_ok=True)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | Mapping[str, Any] | None = None,
        *,
        token: str | None = "",
        headers: Mapping[str, str] | None = None,
        most: int | None = None,
    ) -> Answer:
        """The answer to a request sent byte for byte as given; a mapping travels as JSON.

        path: below the endpoint, already quoted, or an absolute address. token: the first person's unless
        given; None: nobody's. most: bytes after which the connection is cut.
        """
        address = urlsplit(path if path.startswith(("http://", "https://")) else self.endpoint + path)
        kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
        connection = kind(address.netloc, timeout=SECONDS)
        sent = dict(headers or {})
        if token is not None:
            sent.setdefault("Authorization", f"Bearer {token or self.token}")
        if isinstance(body, Mapping):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        target = address.path + (f"?{address.query}" if address.query else "")
        try:
            connection.request(method, target, body, sent)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read(most))
        finally:
            connection.close()

    def content(self, repo_id: str, path: str, revision: str = "main", token: str | None = "") -> bytes:
        """A file's bytes, fetched as the client does: by a GET that follows redirects to storage."""
        place = f"/{repo_id}/resolve/{quote(revision, safe='')}/{quote(path)}"
        answer = self.request("GET", place, token=token)
        for _ in range(3):
            if answer.status not in (301, 302, 303, 307, 308):
                break
            location = answer.header("Location")
            answer = self.request("GET", location, token=token if location.startswith("/") else None)
        if answer.status != 200:
            raise Wrong(f"GET {place}: expected 200, found {answer.status} {answer.body[:200]!r}.")
        return answer.body

    def program(self, source: str, *arguments: str) -> subprocess.Popen[str]:
        """A Python process of its own, in this process's environment, with a cache of its own."""
        environment = {**os.environ, "HF_HOME": str(self.folder / secrets.token_hex(8))}
        return subprocess.Popen(
            [sys.executable, "-c", source, *arguments],
            env={**environment, "HF_TOKEN": self.token},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, command: Sequence[str], folder: Path, *, fails: bool = False) -> str:
        """What a program prints. Raises Wrong where it fails, or with `fails` where it does not."""
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        said = f"{done.stdout}{done.stderr}"
        if (done.returncode != 0) != fails:
            wanted = "fail" if fails else "succeed"
            raise Wrong(
                f"{' '.join(command)}: expected it to {wanted}, found status {done.returncode}: {said}"
            )
        return said
