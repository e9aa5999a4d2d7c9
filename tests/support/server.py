"""A real hub: its own process group on loopback, its own data directory, a few people with tokens.

def test_something(server):
    HfApi(endpoint=server.url, token=server.token).create_repo("alice/bert")
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx2

from modelcenter.registry import accounts
from modelcenter.registry.database import migrate
from modelcenter.registry.hub import Hub, open_hub
from modelcenter.settings import Settings

Found = TypeVar("Found")

START_SECONDS = 60
PROGRAM = """
import sys
from hub_web.serve import serve
from modelcenter.settings import Settings
serve(Settings.from_environment(sys.argv[1]), port=int(sys.argv[2]), workers=int(sys.argv[3]))
"""


@dataclass
class Server:
    """A running hub and those who use it: root (site admin), alice and bob (people)."""

    data: Path
    settings: Settings
    admin_token: str
    token: str  # alice's, may write
    read_token: str  # alice's, may only read
    other_token: str  # bob's, may write his own
    url: str = ""
    workers: int = 1
    process: subprocess.Popen[str] | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def start(self, port: int = 0) -> None:
        """Start it and wait until it answers."""
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(self.data), str(port), str(self.workers)],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**clean_environment(), **self.environment, "DATABASE_URL": self.settings.database_url},
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        match = re.search(r"http://\S+", line)
        assert match, f"The server did not say where it listens: {line!r}"
        self.url = match[0]
        assert httpx2.get(f"{self.url}/health", timeout=START_SECONDS).status_code == 200

    def stop(self) -> int:
        """Stop it as an operator would; its exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.join()

    def join(self) -> int:
        """Wait until it has ended; its exit status."""
        assert self.process is not None
        status = self.process.wait(START_SECONDS)
        self._close()
        return status

    def kill(self) -> None:
        """Kill it and all its children at once, as a power cut would."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.join()

    def _close(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None

    @contextlib.contextmanager
    def hub(self) -> Iterator[Hub]:
        """The registry behind it, to arrange or look at what no client can."""
        hub = open_hub(self.settings)
        try:
            yield hub
        finally:
            hub.database.close()

    def peak_memory(self) -> int:
        """Bytes: the largest resident set that any of its processes had."""
        assert self.process is not None
        peaks = []
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
                group = int(Path(status.parent, "stat").read_text().rsplit(")", 1)[1].split()[2])
                if group == self.process.pid:
                    peaks.append(int(fields["VmHWM"].split()[0]) * 1024)
            except (OSError, KeyError):
                continue
        return max(peaks)

    def get(self, path: str, token: str | None = None, **options: object) -> httpx2.Response:
        """A plain GET, redirects not followed."""
        return self.request("GET", path, token, **options)

    def pages(self, path: str, token: str | None = None) -> Iterator[list[dict[str, Any]]]:
        """The pages of a list, each asked for at the address that the one before it gave."""
        address: str | None = path
        while address:
            answer = self.get(address, token)
            yield answer.json()
            following = answer.links.get("next", {}).get("url")
            assert following is None or following.startswith(f"{self.url}/")
            address = following.removeprefix(self.url) if following else None

    def request(self, method: str, path: str, token: str | None = None, **options: object) -> httpx2.Response:
        """A plain request."""
        headers = dict(options.pop("headers", {}))  # type: ignore[call-overload]
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return httpx2.request(method, self.url + path, headers=headers, timeout=60, **options)  # type: ignore[arg-type]


def new_server(data: Path, *, workers: int = 1, database_url: str | None = None) -> Server:
    """A server that is not started yet, on a migrated database with its people."""
    environ = {"DATABASE_URL": database_url} if database_url else {}
    settings = Settings.from_environment(data, environ)
    hub = open_hub(settings)
    migrate(hub.database)
    with hub.database.transaction() as session:
        root = accounts.create_user(session, "root", is_admin=True)
        alice = accounts.create_user(session, "alice", fullname="Alice Liddell")
        bob = accounts.create_user(session, "bob")
        server = Server(
            data=data,
            settings=settings,
            workers=workers,
            admin_token=accounts.create_token(session, root, scope="admin", name="root's"),
            token=accounts.create_token(session, alice, scope="write", name="alice's"),
            read_token=accounts.create_token(session, alice, scope="read", name="alice's eyes"),
            other_token=accounts.create_token(session, bob, scope="write", name="bob's"),
        )
    hub.database.close()
    return server


@contextlib.contextmanager
def running_server(data: Path, *, workers: int = 1, database_url: str | None = None) -> Iterator[Server]:
    """A server that runs until the block ends."""
    server = new_server(data, workers=workers, database_url=database_url)
    try:
        server.start()
        yield server
    finally:
        if server.process is not None:
            server.kill()


def clean_environment() -> dict[str, str]:
    """This environment without what would lead a hub or a client elsewhere."""
    prefixes = ("HF_", "MODELCENTER_", "HUGGING", "TRANSFORMERS_", "DATABASE_URL")
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}


def client_environment(server: Server, home: Path, token: str | None = None) -> dict[str, str]:
    """The environment of a client process that knows this hub alone, with a cache of its own."""
    environment = {
        **clean_environment(),
        "HF_ENDPOINT": server.url,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
    if token:
        environment["HF_TOKEN"] = token
    return environment


def wait_for(what: Callable[[], Found], seconds: float = 30) -> Found:
    """The first true answer of `what`. For what another process does; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (answer := what()):
        assert time.monotonic() < deadline, "It did not happen in time."
        time.sleep(0.05)
    return answer
