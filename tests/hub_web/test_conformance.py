"""Our own hub before the suite that anybody's is put before: several workers, each database, each store."""

from __future__ import annotations

import dataclasses
import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from modelcenter.conformance import suite
from modelcenter.conformance.groups import GROUPS
from tests.support.clients import CLIENTS, interpreter
from tests.support.databases import postgresql_database
from tests.support.s3 import CREDENTIALS, new_bucket
from tests.support.server import Server, new_server

STORED = [("sqlite", "local"), ("postgresql", "s3")]  # the two know nothing of each other: not every pair
LONG = ("read", "write", "lfs", "xet")  # the groups that have long cases
OLDER = ("read", "write", "lfs", "xet", "refs")


@pytest.fixture(scope="module", params=STORED, ids="-".join)
def spoken_to(request, tmp_path_factory) -> Iterator[Server]:
    """A hub of two workers on a database and a store."""
    database, store = request.param
    data = tmp_path_factory.mktemp("hub")
    if database == "sqlite":
        yield from _running(new_server(data, workers=2), store, request)
        return
    with postgresql_database(request.getfixturevalue("postgresql")) as url:
        yield from _running(new_server(data, workers=2, database_url=url), store, request)


def _running(server: Server, store: str, request) -> Iterator[Server]:
    if store == "s3":
        bucket = new_bucket(request.getfixturevalue("s3"))
        server.environment |= {**CREDENTIALS, **bucket.environment()}
        server.settings = dataclasses.replace(server.settings, s3=bucket)
    server.start()
    yield server
    server.kill()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def problems(server: Server, group: str, **options) -> list[str]:
    """What did not pass, of a group in which something did."""
    outcomes = list(suite.run(server.url, server.token, server.other_token, groups=[group], **options))
    assert outcomes
    return [f"{o.case} {o.status}: {o.detail}" for o in outcomes if o.status not in ("passed", "skipped")]


@pytest.mark.parametrize("group", GROUPS)
def test_the_hub_speaks_the_protocol(spoken_to, group):
    assert problems(spoken_to, group) == []


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("group", LONG)
def test_the_hub_bears_large_files_and_many(spoken_to, group):
    assert problems(spoken_to, group, quick=False, long=True) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("version", CLIENTS)
@pytest.mark.parametrize("spoken_to", STORED[:1], indirect=True, ids="-".join)
def test_older_clients_are_served(spoken_to, version):
    python = interpreter(version)
    for group in OLDER:
        assert problems(spoken_to, group, python=python) == [], group


def conformance(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, as people call it."""
    return subprocess.run(
        [sys.executable, "-m", "modelcenter.cli", "conformance", *arguments],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


class Nothing(http.server.BaseHTTPRequestHandler):
    """A server that knows a person and otherwise nothing at all."""

    def do_GET(self):
        known = self.path == "/api/whoami-v2"
        body = json.dumps(
            {"name": "<b>eve</b>", "type": "user"} if known else {"error": "<i>no</i>"}
        ).encode()
        self.send_response(200 if known else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_DELETE = do_GET  # noqa: N815

    def log_message(self, *_):
        pass


@pytest.fixture
def nothing() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Nothing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_what_a_server_lacks_is_missing_and_what_it_says_wrongly_failed(nothing, tmp_path):
    page = tmp_path / "report.html"
    done = conformance(nothing, "--token", "t", "--group", "errors", "--html", str(page), "--json")
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    found = {case["case"]: case for case in report["cases"]}
    assert report["conforms"] is False
    assert found["wrong_paths_are_refused"]["status"] in ("missing", "failed")
    assert found["a_missing_repository_is_told"]["status"] == "failed"
    assert "RepositoryNotFoundError" in found["a_missing_repository_is_told"]["detail"]
    assert found["others_may_not_write"]["status"] == "skipped"
    assert "--token2" in found["others_may_not_write"]["detail"]
    html = page.read_text("utf-8")
    assert 'class="failed">failed' in html
    assert "<i>no</i>" not in html


@pytest.mark.parametrize("spoken_to", STORED[:1], indirect=True, ids="-".join)
def test_a_group_is_chosen_and_its_table_shown(spoken_to):
    done = conformance(spoken_to.url, "--token", spoken_to.token, "--group", "gating")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "a gate is opened" in done.stdout
    assert "refs" not in done.stdout.split()
    wrong = conformance("hub.example.org", "--token", "t")
    assert (wrong.returncode, "expected http://" in wrong.stderr) == (2, True)
