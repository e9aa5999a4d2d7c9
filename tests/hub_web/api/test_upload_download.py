"""What goes up comes down: huggingface_hub against a running hub."""

from __future__ import annotations

import hashlib
import io
import random
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi

from tests.support.server import client_environment


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that no sample takes for text."""
    return random.Random(seed).randbytes(size)


def git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def download(api: HfApi, repo: str, name: str, tmp_path, **options) -> bytes:
    return Path(api.hf_hub_download(repo, name, cache_dir=tmp_path / "cache", **options)).read_bytes()


def test_a_file_comes_down_as_it_went_up(api, repo, tmp_path):
    commit = api.upload_file(path_or_fileobj=b'{"a": 1}', path_in_repo="config.json", repo_id=repo)
    assert commit.commit_url == f"{api.endpoint}/{repo}/commit/{commit.oid}"
    assert download(api, repo, "config.json", tmp_path) == b'{"a": 1}'
    assert api.repo_info(repo).sha == commit.oid


def test_a_large_file_comes_down_as_it_went_up(api, repo, tmp_path):
    content = noise(300_000)
    api.upload_file(path_or_fileobj=content, path_in_repo="weights/model.safetensors", repo_id=repo)
    assert download(api, repo, "weights/model.safetensors", tmp_path) == content
    (entry,) = api.get_paths_info(repo, "weights/model.safetensors")
    assert entry.lfs.sha256 == hashlib.sha256(content).hexdigest()
    assert entry.size == entry.lfs.size == len(content)
    pointer = (
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{entry.lfs.sha256}\nsize {len(content)}\n"
    )
    assert (entry.blob_id, entry.lfs.pointer_size) == (git_oid(pointer.encode()), len(pointer))


def test_a_folder_comes_down_as_it_went_up(api, repo, tmp_path):
    folder = tmp_path / "model"
    (folder / "sub" / "中文").mkdir(parents=True)
    files = {
        "config.json": b"{}",
        "empty.txt": b"",
        "model.bin": noise(50_000),
        "sub/中文/说明 一.txt": "你好".encode(),
        "sub/tokens.bin": noise(10, seed=1),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    api.upload_folder(folder_path=folder, repo_id=repo)
    snapshot = Path(api.snapshot_download(repo, cache_dir=tmp_path / "cache"))
    for name, content in files.items():
        assert (snapshot / name).read_bytes() == content
    assert set(api.list_repo_files(repo)) == {*files, ".gitattributes"}


def test_an_unchanged_upload_makes_no_commit(api, repo):
    first = api.upload_file(path_or_fileobj=b"text", path_in_repo="a.txt", repo_id=repo)
    again = api.upload_file(path_or_fileobj=b"text", path_in_repo="a.txt", repo_id=repo)
    assert again.oid == first.oid
    large = noise(20_000)
    second = api.upload_file(path_or_fileobj=large, path_in_repo="a.bin", repo_id=repo)
    assert api.upload_file(path_or_fileobj=large, path_in_repo="a.bin", repo_id=repo).oid == second.oid


def test_one_commit_adds_copies_and_deletes(api, repo, tmp_path):
    large = noise(5_000)
    api.create_commit(
        repo,
        [
            CommitOperationAdd("keep.txt", b"keep"),
            CommitOperationAdd("gone.txt", b"gone"),
            CommitOperationAdd("folder/a.txt", b"a"),
            CommitOperationAdd("folder/deep/b.txt", b"b"),
            CommitOperationAdd("large.bin", large),
        ],
        commit_message="Add",
    )
    api.create_commit(
        repo,
        [
            CommitOperationDelete("gone.txt"),
            CommitOperationDelete("folder/"),
            CommitOperationCopy("large.bin", "copies/large.bin"),
            CommitOperationCopy("keep.txt", "copies/keep.txt"),
        ],
        commit_message="Change",
        commit_description="All at once",
    )
    assert set(api.list_repo_files(repo)) == {
        ".gitattributes",
        "keep.txt",
        "large.bin",
        "copies/large.bin",
        "copies/keep.txt",
    }
    assert download(api, repo, "copies/large.bin", tmp_path) == large
    newest = api.list_repo_commits(repo)[0]
    assert (newest.title, newest.message, newest.authors) == ("Change", "All at once", ["alice"])


def test_files_ignored_by_gitignore_stay_at_home(api, repo, tmp_path):
    (tmp_path / ".gitignore").write_text("*.log\n")
    (tmp_path / "run.log").write_text("noise")
    (tmp_path / "kept.txt").write_text("kept")
    api.upload_folder(folder_path=tmp_path, repo_id=repo)
    assert set(api.list_repo_files(repo)) == {".gitattributes", ".gitignore", "kept.txt"}


def test_a_file_object_is_uploaded_like_its_bytes(api, repo, tmp_path):
    content = noise(40_000, seed=3)
    api.upload_file(path_or_fileobj=io.BytesIO(content), path_in_repo="a.bin", repo_id=repo)
    assert download(api, repo, "a.bin", tmp_path) == content


def test_a_commit_that_was_overtaken_is_refused(api, repo):
    head = api.repo_info(repo).sha
    api.upload_file(path_or_fileobj=b"1", path_in_repo="a.txt", repo_id=repo)
    with pytest.raises(Exception, match="412") as refusal:
        api.upload_file(path_or_fileobj=b"2", path_in_repo="b.txt", repo_id=repo, parent_commit=head)
    assert "The branch was updated since you opened this page" in str(refusal.value)


def test_delete_file_and_folder(api, repo):
    api.create_commit(
        repo,
        [CommitOperationAdd("a.txt", b"a"), CommitOperationAdd("f/b.txt", b"b")],
        commit_message="Add",
    )
    api.delete_file("a.txt", repo)
    api.delete_folder("f", repo)
    assert api.list_repo_files(repo) == [".gitattributes"]


def test_hf_download_fetches_a_repository(server, api, repo, tmp_path):
    content = noise(100_000, seed=5)
    api.upload_file(path_or_fileobj=content, path_in_repo="w.bin", repo_id=repo)
    subprocess.run(
        [
            sys.executable,
            "-m",
            "huggingface_hub.cli.hf",
            "download",
            repo,
            "--local-dir",
            str(tmp_path / "out"),
        ],
        env=client_environment(server, tmp_path / "home"),
        check=True,
        capture_output=True,
    )
    assert (tmp_path / "out" / "w.bin").read_bytes() == content
