"""Large files by parts and by S3: sent and fetched by real clients, whatever store lies behind."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import math
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import HfApi, hf_hub_download

from modelcenter.registry import fsck
from tests.support.databases import postgresql_database
from tests.support.s3 import CREDENTIALS, new_bucket
from tests.support.server import Server, new_server, wait_for

PART = 6 * 10**6  # the least that a hub sends files in


@pytest.fixture(scope="module", params=["local", "s3", "s3 behind the hub"])
def stored(request, tmp_path_factory) -> Iterator[Server]:
    """A hub with small parts, on each kind of store."""
    server = new_server(tmp_path_factory.mktemp("hub"))
    server.environment["MODELCENTER_PART_MB"] = "6"
    if request.param != "local":
        bucket = new_bucket(request.getfixturevalue("s3"))
        bucket = dataclasses.replace(bucket, redirect=request.param == "s3")
        server.environment |= {**CREDENTIALS, **bucket.environment()}
        server.settings = dataclasses.replace(server.settings, s3=bucket)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def alice(stored) -> HfApi:
    api = HfApi(endpoint=stored.url, token=stored.token)
    api.create_repo("alice/m", exist_ok=True)
    return api


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def batch(server, content: bytes, transfers=("basic", "multipart")) -> dict:
    """The object of an LFS batch."""
    oid = hashlib.sha256(content).hexdigest()
    answer = server.request(
        "POST",
        "/alice/m.git/info/lfs/objects/batch",
        server.token,
        json={
            "operation": "upload",
            "transfers": list(transfers),
            "objects": [{"oid": oid, "size": len(content)}],
            "ref": {"name": "main"},
        },
    ).json()
    (item,) = answer["objects"]
    return item | {"transfer": answer["transfer"]}


def verify(server, content: bytes) -> httpx2.Response:
    body = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content)}
    return server.request("POST", "/alice/m.git/info/lfs/objects/verify", server.token, json=body)


@pytest.mark.parametrize("size", [100_000, 2 * PART + 5])
def test_what_a_client_sends_it_gets_back(stored, alice, tmp_path, size):
    content = noise(size, size)
    alice.upload_file(path_or_fileobj=content, path_in_repo="重量.bin", repo_id="alice/m")
    fetched = hf_hub_download(
        "alice/m", "重量.bin", endpoint=stored.url, token=stored.token, cache_dir=tmp_path
    )
    assert Path(fetched).read_bytes() == content
    with stored.hub() as hub:
        assert list(hub.staging) == []
        assert [problem for problem in fsck.check_all(hub, deep=True) if problem] == []


def test_metadata_is_the_hubs_wherever_the_bytes_are(stored, alice):
    content = noise(1, 100_000)
    alice.upload_file(path_or_fileobj=content, path_in_repo="w.bin", repo_id="alice/m")
    oid = hashlib.sha256(content).hexdigest()
    for method in ("HEAD", "GET"):
        answer = stored.request(method, "/alice/m/resolve/main/w.bin")
        assert answer.headers["X-Linked-Size"] == "100000"
        assert answer.headers["X-Linked-Etag"] == answer.headers["ETag"] == f'"{oid}"'
        assert answer.headers["X-Repo-Commit"]
        if method == "HEAD":
            assert (answer.status_code, answer.headers["Content-Length"]) == (200, "100000")
    redirects = stored.settings.s3 is not None and stored.settings.s3.redirect
    assert answer.status_code == (302 if redirects else 200)
    assert stored.get("/alice/m/resolve/main/.gitattributes").status_code == 200
    ranged = httpx2.get(
        f"{stored.url}/alice/m/resolve/main/w.bin", headers={"Range": "bytes=10-19"}, follow_redirects=True
    )
    assert (ranged.status_code, ranged.content) == (206, content[10:20])
    assert ranged.headers["Content-Range"] == "bytes 10-19/100000"
    assert ranged.headers["Content-Disposition"] == "attachment; filename*=UTF-8''w.bin"
    behind = stored.get("/alice/m/resolve/main/w.bin", headers={"Range": "bytes=100000-"})
    assert (behind.status_code, behind.headers["Content-Range"]) == (416, "bytes */100000")


def test_parts_in_any_order_a_spoilt_one_again(stored, alice):
    content = noise(2, 2 * PART + 5)
    item = batch(stored, content)
    upload = item["actions"]["upload"]
    size = int(upload["header"]["chunk_size"])
    links = {int(number): link for number, link in upload["header"].items() if number.isdigit()}
    assert item["transfer"] == "multipart"
    assert sorted(links) == list(range(1, math.ceil(len(content) / size) + 1))

    def send(number: int) -> dict:
        part = content[(number - 1) * size : number * size]
        answer = httpx2.put(links[number], content=part, timeout=60)
        assert answer.status_code == 200
        return {"partNumber": number, "etag": answer.headers["ETag"]}

    assert httpx2.put(links[2], content=b"x" * size, timeout=60).status_code == 200
    with ThreadPoolExecutor(3) as pool:
        parts = list(pool.map(send, reversed(links)))[::-1]
    body = {"oid": item["oid"], "parts": parts}
    assert httpx2.post(upload["href"], json=body | {"parts": parts[:2]}, timeout=60).status_code == 400
    for _ in range(2):  # who does not get the answer asks again
        assert httpx2.post(upload["href"], json=body, timeout=60).status_code == 200
    assert verify(stored, content).status_code == 200
    assert "actions" not in batch(stored, content)


def test_other_bytes_than_announced_become_no_file(stored, alice):
    content = noise(3, 100_000)
    item = batch(stored, content, ["basic"])
    assert item["transfer"] == "basic"
    sent = httpx2.put(item["actions"]["upload"]["href"], content=content[::-1])
    assert verify(stored, content).status_code == 400
    assert sent.status_code == (200 if "Signature" in item["actions"]["upload"]["href"] else 400)
    with stored.hub() as hub:
        assert item["oid"] not in set(hub.blobs)
    assert "actions" in batch(stored, content)


def test_the_next_owner_of_an_address_is_nobody(stored, alice):
    content = noise(4, 100_000)
    href = batch(stored, content)["actions"]["upload"]["href"]
    other = stored.request(
        "POST",
        "/alice/m.git/info/lfs/objects/verify",
        stored.other_token,
        json={"oid": hashlib.sha256(content).hexdigest(), "size": len(content)},
    )
    assert other.status_code in (400, 403)
    assert httpx2.put(href, content=content).status_code == 200
    assert verify(stored, content).status_code == 200


def test_a_quota_is_told_before_bytes_are_taken(stored, alice):
    from modelcenter.registry import accounts, quotas

    def limit(count: int | None) -> None:
        with stored.hub() as hub, hub.database.transaction() as session:
            quotas.set_quota(session, accounts.find(session, "alice"), count)

    limit(10)
    try:
        answer = stored.request(
            "POST",
            "/alice/m.git/info/lfs/objects/batch",
            stored.token,
            json={"operation": "upload", "objects": [{"oid": "0" * 64, "size": 5}], "ref": {"name": "main"}},
        )
        assert answer.status_code == 403
        assert "alice may store 10 bytes and has stored" in answer.json()["error"]
    finally:
        limit(None)


def is_gone(server) -> bool:
    """Whether the hub says that the file was damaged."""
    with contextlib.suppress(httpx2.RemoteProtocolError):
        return server.get("/alice/m/resolve/main/spoilt.bin").status_code == 410
    return False


def test_spoilt_bytes_are_not_served_to_the_end(stored, alice):
    """Where Python streams them; what leaves by sendfile or from the bucket is for the periodic check."""
    content = noise(5, 300_000)
    alice.upload_file(path_or_fileobj=content, path_in_repo="spoilt.bin", repo_id="alice/m")
    bucket, oid = stored.settings.s3, hashlib.sha256(content).hexdigest()
    with stored.hub() as hub:
        if bucket is None:
            path = hub.blobs.path(oid)
            assert path is not None
            path.chmod(0o644)
            path.write_bytes(content[::-1])
            fsck.suspect(hub, oid)
        else:
            key = f"{bucket.prefix}blobs/{oid}"
            hub.blobs.bucket.client.put_object(Bucket=bucket.bucket, Key=key, Body=content[::-1])
            if bucket.redirect:
                fsck.suspect(hub, oid)
            else:
                with pytest.raises(httpx2.RemoteProtocolError):
                    stored.get("/alice/m/resolve/main/spoilt.bin")
        # The job worker checks it, having been told by whoever noticed.
        wait_for(lambda: is_gone(stored))
        alice.upload_file(path_or_fileobj=content, path_in_repo="spoilt.bin", repo_id="alice/m")
    fetched = httpx2.get(f"{stored.url}/alice/m/resolve/main/spoilt.bin", follow_redirects=True)
    assert fetched.content == content
    shutil.rmtree(stored.data / "blobs" / "damaged", ignore_errors=True)


@pytest.mark.slow
def test_two_servers_on_one_database_and_store_are_one_hub(s3, postgresql, tmp_path):
    """An upload begun at one ends at the other, addresses and all."""
    bucket = new_bucket(s3)
    with postgresql_database(postgresql) as url:
        first = new_server(tmp_path / "first", database_url=url)
        first.environment |= {**CREDENTIALS, **bucket.environment()}
        first.environment |= {"MODELCENTER_SECRET_KEY": "shared", "MODELCENTER_S3_REDIRECT": "off"}
        second = dataclasses.replace(first, data=tmp_path / "second")
        try:
            for server in (first, second):
                server.start()
            api = HfApi(endpoint=first.url, token=first.token)
            api.create_repo("alice/m")
            content = noise(6, 100_000)
            href = batch(first, content)["actions"]["upload"]["href"]
            assert httpx2.put(href.replace(first.url, second.url), content=content).status_code == 200
            assert verify(second, content).status_code == 200

            def commit(number: int) -> None:
                server = (first, second)[number % 2]
                HfApi(endpoint=server.url, token=server.token).upload_file(
                    path_or_fileobj=content if number == 0 else b"%d" % number,
                    path_in_repo=f"{number}.bin",
                    repo_id="alice/m",
                )

            with ThreadPoolExecutor(6) as pool:
                list(pool.map(commit, range(6)))
            for server in (first, second):
                names = HfApi(endpoint=server.url, token=server.token).list_repo_files("alice/m")
                assert {f"{number}.bin" for number in range(6)} < set(names)
                assert server.get("/alice/m/resolve/main/0.bin").content == content
        finally:
            for server in (first, second):
                if server.process is not None:
                    server.kill()


@pytest.mark.slow
def test_a_worker_stays_small_while_all_its_threads_send_to_a_bucket(s3, tmp_path):
    server = new_server(tmp_path)
    bucket = dataclasses.replace(new_bucket(s3), redirect=False)
    server.environment |= {**CREDENTIALS, **bucket.environment()}
    server.start()
    try:
        HfApi(endpoint=server.url, token=server.token).create_repo("alice/m")

        def send(seed: int) -> int:
            content = noise(seed, 12 * 10**6)
            action = batch(server, content, ["basic"])["actions"]["upload"]
            path = action["href"].removeprefix(server.url)
            return server.request("PUT", path, content=content, headers=action["header"]).status_code

        before = server.peak_memory()
        with ThreadPoolExecutor(16) as threads:
            assert set(threads.map(send, range(48))) == {200}
        assert server.peak_memory() - before < 150_000_000
    finally:
        server.kill()


@pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed")
def test_git_lfs_sends_and_fetches(stored, alice, tmp_path):
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
    }

    def git(*words: str, cwd=tmp_path) -> None:
        subprocess.run(["git", *words], cwd=cwd, env=environment, check=True, capture_output=True)

    alice.create_repo("alice/by-git", exist_ok=True)
    place = stored.url.replace("://", f"://alice:{stored.token}@") + "/alice/by-git.git"
    git("config", "--global", "user.email", "alice@example.org")
    git("config", "--global", "user.name", "alice")
    git("lfs", "install")
    git("clone", place, "m")
    content = noise(7, 2 * PART + 5)
    (tmp_path / "m" / "w.safetensors").write_bytes(content)
    git("add", ".", cwd=tmp_path / "m")
    git("commit", "-m", "Add", cwd=tmp_path / "m")
    git("push", "origin", "HEAD:main", cwd=tmp_path / "m")
    git("clone", place, "again")
    assert (tmp_path / "again" / "w.safetensors").read_bytes() == content
