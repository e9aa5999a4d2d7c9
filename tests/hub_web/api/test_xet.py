"""Stock clients with Xet: huggingface_hub and hf_xet in processes of their own, nothing switched off."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import textwrap
import threading

import httpx2
import pytest
from sqlalchemy import delete

from hub_web.api import cas
from modelcenter.registry.tables import XorbSender
from tests.support.server import client_environment
from tests.support.xet import packed, shard

NOISE = random.Random(8).randbytes(3_000_000)
CHANGED = NOISE[:1_000_000] + b"changed" + NOISE[1_200_000:]


def run(server, home, token, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A program that finds `api` and the arguments; its client keeps what it knows in `home`."""
    environment = client_environment(server, home, token)
    start = "import json, sys\nfrom pathlib import Path\nfrom huggingface_hub import HfApi\napi = HfApi()\n"
    return subprocess.run(
        [sys.executable, "-c", start + textwrap.dedent(program), *arguments],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def fetched(server, repo, path, token=None) -> bytes:
    return server.get(f"/{repo}/resolve/main/{path}", token).content


def staged(server) -> list[str]:
    with server.hub() as hub:
        return list(hub.staging)


def test_uploads_need_no_switch(server, api, repo, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.safetensors").write_bytes(NOISE)
    (folder / "b.bin").write_bytes(b"\0" + NOISE[:500])
    (folder / "config.json").write_text("{}")
    done = run(
        server, tmp_path / "home", server.token,
        """
        repo, other, folder = sys.argv[1], sys.argv[1] + "-2", sys.argv[2]
        changed = Path(sys.argv[3]).read_bytes()
        api.upload_folder(repo_id=repo, folder_path=folder)
        api.upload_file(path_or_fileobj=changed, path_in_repo="中文/a.safetensors", repo_id=repo)
        api.create_repo(other, private=True)
        api.upload_file(path_or_fileobj=changed, path_in_repo="w.bin", repo_id=other)
        api.delete_repo(other)
        api.create_repo(other)
        api.upload_file(path_or_fileobj=changed, path_in_repo="w.bin", repo_id=other)
        """,
        repo, str(folder), str(_file(tmp_path / "changed", CHANGED)),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "HF_HUB_DISABLE_XET" not in done.stderr
    assert fetched(server, repo, "a.safetensors") == NOISE
    assert fetched(server, repo, "b.bin") == b"\0" + NOISE[:500]
    assert fetched(server, repo, "中文/a.safetensors") == CHANGED
    assert fetched(server, f"{repo}-2", "w.bin") == CHANGED
    (entry,) = api.get_paths_info(repo, "a.safetensors")
    assert entry.lfs.sha256 == hashlib.sha256(NOISE).hexdigest()


def _file(path, content):
    path.write_bytes(content)
    return path


def test_two_people_with_one_cache_do_not_meet(server, repo, bob, tmp_path):
    """What the one sent, the other may not refer to, and does not: their clients remember it apart."""
    program = """
        content = Path(sys.argv[2]).read_bytes()
        api.upload_file(path_or_fileobj=content, path_in_repo="w.bin", repo_id=sys.argv[1])
        """
    content = _file(tmp_path / "w", random.Random(repo).randbytes(300_000))
    other = f"bob/{repo.replace('/', '-')}"
    bob.create_repo(other)
    for token, name in ((server.token, repo), (server.other_token, other)):
        done = run(server, tmp_path / "home", token, program, name, str(content))
        assert done.returncode == 0, done.stderr
        assert fetched(server, name, "w.bin") == content.read_bytes()


def test_a_client_that_refers_to_what_is_not_here_is_told_what_to_do(server, api, repo, tmp_path):
    program = """
        for path in map(Path, sys.argv[2:]):
            api.upload_file(path_or_fileobj=path.read_bytes(), path_in_repo=path.name, repo_id=sys.argv[1])
        """
    content = random.Random(repo).randbytes(300_000)
    files = [str(_file(tmp_path / "a", content)), str(_file(tmp_path / "b", content + b"more"))]
    assert run(server, tmp_path / "home", server.token, program, repo, files[0]).returncode == 0
    with server.hub() as hub, hub.database.transaction() as session:
        session.execute(delete(XorbSender))
    again = run(server, tmp_path / "home", server.token, program, repo, files[1])
    assert again.returncode == 0, again.stderr  # its chunks lie in the repository's own file
    api.delete_repo(repo)
    api.create_repo(repo)
    lost = run(server, tmp_path / "home", server.token, program, repo, *files)
    assert lost.returncode != 0
    assert "Remove the folder `xet`" in lost.stderr


def token_of(server, repo, token=None) -> str:
    return server.get(f"/api/models/{repo}/xet-write-token/main", token or server.token).json()["accessToken"]


def send(server, path, token, body=b"", **headers):
    return server.request("POST", f"/cas/any{path}", token, content=body, headers=headers)


def test_a_token_says_where_and_until_when(server, repo):
    answer = server.get(f"/api/models/{repo}/xet-write-token/main", server.token)
    said = answer.json()
    assert said["casUrl"] == answer.headers["X-Xet-Cas-Url"]
    assert said["casUrl"].startswith(f"{server.url}/cas/")
    assert said["accessToken"] == answer.headers["X-Xet-Access-Token"]
    assert str(said["exp"]) == answer.headers["X-Xet-Token-Expiration"]
    assert server.get(f"/api/models/{repo}/xet-read-token/main", server.token).status_code == 404
    assert server.get(f"/api/models/{repo}/xet-write-token/none", server.token).status_code == 404


@pytest.mark.parametrize(
    ("who", "revision", "status"),
    [
        ("other_token", "main", 403),
        ("other_token", "None?create_pr=1", 200),
        ("read_token", "main", 403),
        ("read_token", "None?create_pr=1", 403),
        (None, "main", 401),
        (None, "None?create_pr=1", 401),
    ],
)
def test_who_gets_a_token(server, repo, who, revision, status):
    token = getattr(server, who) if who else None
    assert server.get(f"/api/models/{repo}/xet-write-token/{revision}", token).status_code == status


def test_a_token_serves_for_nothing_else_and_no_other_for_it(server, repo):
    name, body = packed(b"token " * 100)
    token = token_of(server, repo)
    assert server.get("/api/whoami-v2", token).status_code == 401
    said, _, signature = token.partition(".")
    for wrong in (
        None,
        "",
        server.token,
        said,
        f"{said}.{signature[:-1]}x",
        f"{said[:-4]}AAAA.{signature}",
    ):
        assert send(server, f"/v1/xorbs/default/{name}", wrong, body).status_code == 401, wrong
    assert send(server, f"/v1/xorbs/default/{name}", token, body).json() == {"was_inserted": True}


def test_a_right_that_was_lost_is_lost_for_tokens_too(server, api, repo):
    name, body = packed(b"lost " * 100)
    token = token_of(server, repo)
    api.delete_repo(repo)
    assert send(server, f"/v1/xorbs/default/{name}", token, body).status_code == 404
    assert send(server, "/v2/shards", token, shard(name, [b"lost " * 100], [(0, 1)]).read()).status_code in (
        200,
        404,
    )


def test_wrong_bodies_are_the_senders_fault(server, repo):
    """No 5xx: clients repeat those for minutes."""
    chunks = [b"fault " * 100]
    name, body = packed(*chunks)
    token, before = token_of(server, repo), staged(server)
    for path, sent in [
        (f"/v1/xorbs/default/{name}", body[:-1]),
        (f"/v1/xorbs/default/{name}", b""),
        (f"/v1/xorbs/default/{name[:-1]}", body),
        ("/v1/shards", b"no shard"),
        ("/v2/shards", b"no shard"),
        ("/v1/shards", shard(name, chunks, [(0, 1)]).read()),
    ]:
        answer = send(server, path, token, sent)
        assert answer.status_code == 400, path
        assert answer.json()["error"]
    (event,) = events(send(server, "/v2/shards", token, shard(name, chunks, [(0, 1)]).read()))
    assert (event["type"], event["retryable"]) == ("error", False)
    assert "not here" in event["message"]
    assert staged(server) == before


def events(answer) -> list[dict]:
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("application/x-ndjson")
    return [json.loads(line) for line in answer.text.splitlines()]


def test_what_is_not_offered_is_declined_politely(server, repo):
    token = token_of(server, repo)
    assert server.get(f"/cas/any/v1/chunks/default/{'0' * 64}", token).status_code == 404
    assert send(server, f"/v1/xorb-grants/default/{'0' * 64}", token, b"{}").status_code == 404
    assert send(server, f"/v1/xorb-commits/default/{'0' * 64}/grant/1", token).status_code == 404
    assert httpx2.post(f"{server.url}/v1/telemetry", json={}).status_code == 204


def test_both_versions_of_shards_and_a_xorb_are_taken(server, repo):
    chunks = [b"one " * 100, b"two " * 200]
    name, body = packed(*chunks, scheme=1)
    token = token_of(server, repo)
    assert send(server, f"/v1/xorbs/default/{name}", token, body).status_code == 200
    assert send(server, "/v1/shards", token, shard(name, chunks, [(0, 2)]).read()).json() == {"result": 1}
    answer = send(server, "/v2/shards", token, shard(name, chunks, [(1, 2), (0, 1)]).read())
    assert events(answer) == [{"type": "result", "result": 1}]
    oid = hashlib.sha256(b"".join(chunks)).hexdigest()
    lines = (
        '{"key": "header", "value": {"summary": "s"}}\n'
        f'{{"key": "lfsFile", "value": {{"path": "w.bin", "algo": "sha256", "oid": "{oid}"}}}}\n'
    )
    answer = server.request("POST", f"/api/models/{repo}/commit/main", server.token, content=lines.encode())
    assert answer.status_code == 200
    assert fetched(server, repo, "w.bin") == b"".join(chunks)


def test_a_line_is_sent_now_and_then_while_a_shard_lasts(monkeypatch):
    monkeypatch.setattr(cas, "HEARTBEAT_SECONDS", 0.01)
    beaten = threading.Event()

    def work(progress):
        progress(5)
        assert beaten.wait(30)

    lines = cas.events(work, 10)
    assert json.loads(next(lines)) == {"type": "validating", "verified": 5, "total": 10}
    beaten.set()
    assert [json.loads(line)["type"] for line in lines][-1] == "result"


def test_work_ends_when_the_client_has_gone(monkeypatch):
    monkeypatch.setattr(cas, "HEARTBEAT_SECONDS", 0.01)
    closed, stopped = threading.Event(), threading.Event()

    def work(progress):
        assert closed.wait(30)
        try:
            progress(1)
        finally:
            stopped.set()

    lines = cas.events(work, 10)
    next(lines)
    lines.close()
    closed.set()
    assert stopped.wait(30)
