"""Servers that are killed, stopped and restarted; uploads that begin again."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from huggingface_hub import HfApi
from sqlalchemy import func, select

from modelcenter.registry.tables import Commit, File, LargeFile, Ref, Repository
from tests.support.server import Server, client_environment, new_server, running_server, wait_for

REPO = "alice/interrupted"
UPLOAD = """
import sys
from huggingface_hub import HfApi
HfApi().upload_folder(folder_path=sys.argv[1], repo_id=sys.argv[2])
"""

HOP_BY_HOP = ("connection", "transfer-encoding", "content-encoding")

pytestmark = pytest.mark.slow


@pytest.fixture
def server(tmp_path):
    """A hub of this test's own, to be killed."""
    with running_server(tmp_path / "data") as running:
        yield running


def rows(server: Server) -> dict[str, int]:
    """How many rows the tables of content have."""
    with server.hub() as hub, hub.database.session() as session:
        tables = (Repository, Commit, Ref, File, LargeFile)
        return {
            table.__tablename__: session.scalar(select(func.count()).select_from(table)) or 0
            for table in tables
        }


def blobs(server: Server) -> set[str]:
    with server.hub() as hub:
        return set(hub.blobs)


def begin_upload(server: Server, content: bytes, sent: int) -> socket.socket:
    """A connection on which `sent` bytes of an LFS upload have been sent, and no more."""
    oid = hashlib.sha256(content).hexdigest()
    answer = server.request(
        "POST",
        f"/{REPO}.git/info/lfs/objects/batch",
        server.token,
        json={"operation": "upload", "objects": [{"oid": oid, "size": len(content)}]},
    )
    where = urlsplit(answer.json()["objects"][0]["actions"]["upload"]["href"])
    connection = socket.create_connection((where.hostname, where.port))
    head = [
        f"PUT {where.path}?{where.query} HTTP/1.1",
        f"Host: {where.netloc}",
        f"Content-Length: {len(content)}",
    ]
    connection.sendall("\r\n".join([*head, "", ""]).encode() + content[:sent])
    return connection


def partial_bytes(server: Server) -> int:
    return sum(path.stat().st_size for path in (server.data / "blobs" / "tmp").iterdir())


def test_a_killed_server_leaves_nothing_of_an_unfinished_upload(server):
    HfApi(endpoint=server.url, token=server.token).create_repo(REPO)
    before, stored = rows(server), blobs(server)
    content = random.Random(1).randbytes(8_000_000)
    connection = begin_upload(server, content, 6_000_000)
    wait_for(lambda: partial_bytes(server) > 1_000_000)
    server.kill()
    connection.close()
    assert rows(server) == before
    assert blobs(server) == stored
    server.start()
    assert partial_bytes(server) == 0
    HfApi(endpoint=server.url, token=server.token).upload_file(
        path_or_fileobj=content, path_in_repo="w.bin", repo_id=REPO
    )
    assert server.get(f"/{REPO}/resolve/main/w.bin").content == content


def test_a_retried_folder_sends_only_what_had_not_arrived(server, tmp_path):
    api = HfApi(endpoint=server.url, token=server.token)
    api.create_repo(REPO)
    folder = tmp_path / "model"
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}.bin").write_bytes(random.Random(number).randbytes(2_000_000))
    (folder / "config.json").write_text("{}")
    proxy = CountingProxy(server, stop_after=3)
    environment = client_environment(server, tmp_path / "home", server.token) | {
        "HF_ENDPOINT": proxy.url,
        "HF_HUB_DISABLE_XET": "1",
    }
    command = [sys.executable, "-c", UPLOAD, str(folder), REPO]
    client = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    proxy.reached.wait(60)
    server.kill()
    client.kill()
    client.wait()
    acknowledged = set(proxy.sent)
    server.start(port=urlsplit(server.url).port or 0)
    assert api.list_repo_files(REPO) == [".gitattributes"]
    proxy.sent.clear()
    proxy.stop_after = None
    subprocess.run(command, env=environment, check=True, capture_output=True)
    proxy.close()
    assert len(acknowledged) >= 3
    assert not acknowledged & set(proxy.sent)
    assert set(api.list_repo_files(REPO)) == {
        ".gitattributes",
        "config.json",
        *(f"{n}.bin" for n in range(6)),
    }


class CountingProxy:
    """A proxy in front of a hub that notes which large files arrived, and says when they are enough."""

    def __init__(self, server: Server, stop_after: int | None) -> None:
        self.sent: list[str] = []
        self.stop_after = stop_after
        self.reached = threading.Event()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length)
                headers = {name: value for name, value in self.headers.items() if name != "Connection"}
                is_upload = self.path.startswith("/api/modelcenter/uploads/")
                if is_upload and proxy.stop_after is not None and len(proxy.sent) >= proxy.stop_after:
                    proxy.reached.set()
                    self.close_connection = True
                    return
                try:
                    answer = httpx2.request(
                        self.command, server.url + self.path, headers=headers, content=body, timeout=60
                    )
                except httpx2.HTTPError:
                    self.close_connection = True
                    return
                if is_upload and answer.status_code == 200:
                    proxy.sent.append(urlsplit(self.path).path.rpartition("/")[2])
                self.send_response(answer.status_code)
                for name, value in answer.headers.items():
                    if name.lower() not in HOP_BY_HOP:
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.content)

            do_GET = do_POST = do_PUT = do_HEAD = forward  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.httpd.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.httpd.server_port}"
        threading.Thread(target=self.httpd.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.httpd.shutdown()
        self.httpd.server_close()


def test_a_stopped_server_finishes_what_it_has_begun(server):
    HfApi(endpoint=server.url, token=server.token).create_repo(REPO)
    content = random.Random(2).randbytes(8_000_000)
    connection = begin_upload(server, content, 6_000_000)
    wait_for(lambda: partial_bytes(server) > 0)
    assert server.process is not None
    server.process.send_signal(signal.SIGTERM)
    connection.sendall(content[6_000_000:])
    assert connection.recv(100).startswith(b"HTTP/1.1 200")
    connection.close()
    assert server.join() == 0


def test_stopping_leaves_no_process_behind(server):
    assert server.process is not None
    group = server.process.pid
    wait_for(lambda: len(members(group)) >= 3)  # arbiter, worker, job worker
    assert server.stop() == 0
    assert members(group) == []


def test_a_dead_job_worker_is_replaced(server):
    assert server.process is not None
    group = server.process.pid
    (first,) = wait_for(lambda: job_workers(group))
    os.kill(first, signal.SIGKILL)
    (second,) = wait_for(lambda: [pid for pid in job_workers(group) if pid != first])
    api = HfApi(endpoint=server.url, token=server.token)
    api.create_repo(REPO)
    wait_for(lambda: verdict(server)["status"] != "pending")
    assert second in members(group)


def test_an_orphaned_job_worker_ends_itself(server):
    assert server.process is not None
    group = server.process.pid
    (worker,) = wait_for(lambda: job_workers(group))
    server.process.kill()
    server.process.wait()
    wait_for(lambda: worker not in members(group))


def test_the_verdict_survives_a_kill(tmp_path):
    server = new_server(tmp_path / "data")
    server.start()
    api = HfApi(endpoint=server.url, token=server.token)
    api.create_repo(REPO)
    api.upload_file(path_or_fileobj=b'{"model_type": "bert"}', path_in_repo="config.json", repo_id=REPO)
    server.kill()
    server.start()
    try:
        assert wait_for(lambda: (found := verdict(server))["status"] != "pending" and found)
    finally:
        server.kill()


def verdict(server: Server) -> dict:
    return server.get(f"/api/modelcenter/{REPO}/verdict/main").json()


def members(group: int) -> list[int]:
    """The living processes of a group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, their_group, *_ = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(their_group) == group and state != "Z":
            found.append(int(stat.parent.name))
    return found


def job_workers(group: int) -> list[int]:
    """Those of them that do jobs."""
    found = []
    for pid in members(group):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if b"hub_web.worker" in command:
            found.append(pid)
    return found
