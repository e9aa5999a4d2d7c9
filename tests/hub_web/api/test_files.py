"""Content over HTTP from the running hub: headers, ranges, conditions, safety, and what is missing."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import HfFileSystem, get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import EntryNotFoundError, RevisionNotFoundError

from tests.support.server import wait_for

LARGE = random.Random(7).randbytes(3_000_000)
TEXT = "你好, world\n".encode()


@pytest.fixture
def filled(api, repo) -> str:
    """A repository with a large file, a text and a page."""
    api.upload_file(path_or_fileobj=LARGE, path_in_repo="w.safetensors", repo_id=repo)
    api.upload_file(path_or_fileobj=TEXT, path_in_repo="文 本.txt", repo_id=repo)
    api.upload_file(path_or_fileobj=b"<script>alert(1)</script>", path_in_repo="page.html", repo_id=repo)
    return repo


def test_a_head_tells_what_clients_ask(api, filled, server):
    sha = api.model_info(filled).sha
    metadata = get_hf_file_metadata(
        hf_hub_url(filled, "w.safetensors", endpoint=server.url), endpoint=server.url, token=False
    )
    digest = hashlib.sha256(LARGE).hexdigest()
    assert (metadata.commit_hash, metadata.etag, metadata.size) == (sha, digest, len(LARGE))
    head = httpx2.head(f"{server.url}/{filled}/resolve/main/w.safetensors")
    assert head.headers["X-Linked-Etag"] == head.headers["ETag"] == f'"{digest}"'
    assert head.headers["X-Linked-Size"] == head.headers["Content-Length"] == str(len(LARGE))
    assert head.headers["X-Repo-Commit"] == sha
    assert not any(name.lower().startswith("x-xet") for name in head.headers)
    small = httpx2.head(f"{server.url}/{filled}/resolve/main/文 本.txt")
    blob = hashlib.sha1(b"blob %d\0" % len(TEXT) + TEXT).hexdigest()
    assert (small.headers["ETag"], small.headers["Content-Length"]) == (f'"{blob}"', str(len(TEXT)))
    assert "X-Linked-Etag" not in small.headers


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-99", 0, 100),
        ("bytes=1000000-1999999", 1_000_000, 2_000_000),
        ("bytes=2999990-", 2_999_990, 3_000_000),
        ("bytes=2999990-99999999", 2_999_990, 3_000_000),
        ("bytes=-10", 2_999_990, 3_000_000),
    ],
)
def test_a_range_is_served_exactly(filled, server, asked, start, stop):
    answer = server.get(f"/{filled}/resolve/main/w.safetensors", headers={"Range": asked})
    assert answer.status_code == 206
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(LARGE)}"
    assert answer.content == LARGE[start:stop]


def test_a_range_behind_the_end_is_416(filled, server):
    answer = server.get(f"/{filled}/resolve/main/w.safetensors", headers={"Range": f"bytes={len(LARGE)}-"})
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{len(LARGE)}")


def test_the_etag_is_of_the_content_not_of_the_commit(api, filled, server):
    path = f"/{filled}/resolve/main/w.safetensors"
    before = server.get(path)
    api.upload_file(path_or_fileobj=b"more", path_in_repo="more.txt", repo_id=filled)
    after = server.get(path, headers={"If-None-Match": before.headers["ETag"]})
    assert (after.status_code, after.content) == (304, b"")
    assert after.headers["X-Repo-Commit"] != before.headers["X-Repo-Commit"]


def test_one_connection_serves_many_ranges(filled, server):
    with httpx2.Client(base_url=server.url) as client:
        for start in (2_000_000, 5, 1_000_000):
            header = {"Range": f"bytes={start}-{start + 999}"}
            answer = client.get(f"/{filled}/resolve/main/w.safetensors", headers=header)
            assert answer.content == LARGE[start : start + 1000]
            assert client.head(f"/{filled}/resolve/main/w.safetensors").status_code == 200


def test_nothing_uploaded_acts_in_the_hubs_name(filled, server):
    for name in ("page.html", "w.safetensors", "文 本.txt"):
        answer = server.get(f"/{filled}/resolve/main/{name}")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Content-Type"] in ("text/plain; charset=utf-8", "application/octet-stream")
    assert server.get(f"/{filled}/resolve/main/w.safetensors").headers["Content-Disposition"] == (
        "attachment; filename*=UTF-8''w.safetensors"
    )


def test_every_answer_has_a_strict_policy_and_an_id(server):
    for path in ("/health", "/api/models", "/api/nothing", "/models"):
        answer = server.get(path, headers={"X-Amzn-Trace-Id": "abc-1"})
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert answer.headers["X-Request-Id"] == "abc-1"
    assert server.get("/health", headers={"X-Request-Id": "a b"}).headers["X-Request-Id"] != "a b"


def test_a_missing_file_says_at_which_commit(api, filled, server, tmp_path):
    sha = api.model_info(filled).sha
    for path in ("none.txt", "none/deep.txt", "w.safetensors/x", "a//b"):
        answer = httpx2.head(f"{server.url}/{filled}/resolve/main/{path}")
        assert (answer.status_code, answer.headers["X-Error-Code"]) == (404, "EntryNotFound"), path
        assert answer.headers["X-Repo-Commit"] == sha
    with pytest.raises(EntryNotFoundError):
        api.hf_hub_download(filled, "none.txt", cache_dir=tmp_path)
    assert list(tmp_path.rglob(f".no_exist/{sha}/none.txt"))
    with pytest.raises(RevisionNotFoundError):
        api.hf_hub_download(filled, "w.safetensors", revision="none", cache_dir=tmp_path)


def test_slashes_in_revisions_and_paths_are_told_apart(api, repo, server, tmp_path):
    api.create_branch(repo, branch="a/b")
    api.upload_file(path_or_fileobj=b"1", path_in_repo="c/d.txt", repo_id=repo, revision="a/b")
    downloaded = Path(api.hf_hub_download(repo, "c/d.txt", revision="a/b", cache_dir=tmp_path))
    assert downloaded.read_bytes() == b"1"
    for path in (
        f"/{repo}/resolve/a%2Fb/c/d.txt",
        f"/{repo}/resolve/a%2Fb/c%2Fd.txt",
        f"/{repo}/resolve/refs%2Fheads%2Fa%2Fb/c/d.txt",
    ):
        assert server.get(path).content == b"1"
    assert [item["path"] for item in server.get(f"/api/models/{repo}/tree/a%2Fb/c").json()] == ["c/d.txt"]


def test_long_chinese_paths_fit_the_request_line(api, repo, tmp_path):
    path = "/".join(["模型" * 20] * 8) + ".txt"
    api.upload_file(path_or_fileobj=b"deep", path_in_repo=path, repo_id=repo)
    assert Path(api.hf_hub_download(repo, path, local_dir=tmp_path)).read_bytes() == b"deep"


def test_a_file_system_reads_at_random(api, filled, server):
    files = HfFileSystem(endpoint=server.url, token=server.token, skip_instance_cache=True)
    with files.open(f"{filled}/w.safetensors", block_size=1000) as file:
        file.seek(2_500_000)
        assert file.read(10) == LARGE[2_500_000:2_500_010]


def test_downloads_are_counted_off_the_request(api, repo, server):
    api.upload_file(path_or_fileobj=b"{}", path_in_repo="config.json", repo_id=repo)
    for _ in range(3):
        assert server.get(f"/{repo}/resolve/main/config.json").status_code == 200
    server.get(f"/{repo}/resolve/main/config.json", headers={"Range": "bytes=1-"})
    wait_for(lambda: api.model_info(repo).downloads == 3)


def test_a_large_answer_is_not_held_in_memory(api, repo, server, tmp_path):
    path = tmp_path / "big.bin"
    size = 200_000_000
    with path.open("wb") as file:
        file.truncate(size)
    before = server.peak_memory()
    api.upload_file(path_or_fileobj=path, path_in_repo="big.bin", repo_id=repo)
    received = 0
    with httpx2.stream("GET", f"{server.url}/{repo}/resolve/main/big.bin") as answer:
        for chunk in answer.iter_raw():
            received += len(chunk)
    assert received == size
    assert server.peak_memory() - before < 50_000_000
