"""Large files over Git LFS, as clients without Xet, open files and `git lfs` send them."""

from __future__ import annotations

import hashlib
import io
import random
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationCopy

from modelcenter.conformance.cases import Case, expect, expect_that
from modelcenter.conformance.groups.write import commit, paths
from modelcenter.conformance.target import Answer, Target

TYPE = {"Accept": "application/vnd.git-lfs+json", "Content-Type": "application/vnd.git-lfs+json"}
LARGE = 200_000_000


def noise(size: int = 100_000) -> bytes:
    """Bytes that nobody has sent before."""
    return random.SystemRandom().randbytes(size)


def batch(target: Target, repo: str, content: bytes, *, ref: bool = True, **options: Any) -> Answer:
    """The answer to the question whether `content` may be sent."""
    body = {
        "operation": "upload",
        "transfers": ["basic", "multipart"],
        "objects": [{"oid": hashlib.sha256(content).hexdigest(), "size": len(content)}],
        "hash_algo": "sha256",
        **({"ref": {"name": "main"}} if ref else {}),
    }
    return target.request("POST", f"/{repo}.git/info/lfs/objects/batch", body, headers=TYPE, **options)


def pointed(path: str, content: bytes) -> dict[str, Any]:
    """The line of a commit that adds a large file."""
    oid = hashlib.sha256(content).hexdigest()
    return {"key": "lfsFile", "value": {"path": path, "algo": "sha256", "oid": oid, "size": len(content)}}


def an_open_file_is_uploaded(target: Target) -> None:
    """A file object travels over LFS even in clients that have Xet; it is described by its SHA-256."""
    content = noise()
    repo = target.repository()
    target.api.upload_file(path_or_fileobj=io.BytesIO(content), path_in_repo="w.bin", repo_id=repo)
    expect_that(target.content(repo, "w.bin") == content, "the bytes that were sent")
    (entry,) = target.api.get_paths_info(repo, "w.bin")
    lfs: Any = getattr(entry, "lfs", None)
    expect_that(lfs, "an entry with `lfs`", entry)
    expect("SHA-256 and size", (lfs.sha256, lfs.size), (hashlib.sha256(content).hexdigest(), len(content)))
    answer = target.request("HEAD", f"/{repo}/resolve/main/w.bin")
    etag = answer.header("X-Linked-Etag") or answer.header("ETag")
    expect("The ETag", etag, f'"{hashlib.sha256(content).hexdigest()}"')


def bytes_need_no_token(target: Target) -> None:
    """The address that the batch gives takes the bytes without a token: clients send none there."""
    content, repo = noise(), target.repository()
    (told,) = batch(target, repo, content).json()["objects"]
    expect_that("upload" in told.get("actions", {}), "an upload action", told)
    upload = told["actions"]["upload"]
    if "chunk_size" in upload.get("header", {}):
        return  # in parts; the client's own upload covers them
    sent = target.request("PUT", upload["href"], content, token=None)
    expect_that(sent.status in (200, 201, 204), "the bytes taken", (sent.status, sent.body))
    verify = told["actions"].get("verify")
    if verify:
        oid = hashlib.sha256(content).hexdigest()
        answer = target.request("POST", verify["href"], {"oid": oid, "size": len(content)})
        expect("The status of verify", answer.status, 200)
    expect("The status of the commit", commit(target, repo, pointed("w.bin", content)).status, 200)
    expect_that(target.content(repo, "w.bin") == content, "the bytes that were sent")
    (again,) = batch(target, repo, content).json()["objects"]
    expect_that("upload" not in again.get("actions", {}), "no upload action for what is there", again)


def other_bytes_are_refused(target: Target) -> None:
    """Bytes of another hash than was announced are refused when sent or verified, and never committed."""
    content, repo = noise(), target.repository()
    (told,) = batch(target, repo, content).json()["objects"]
    upload, verify = told["actions"]["upload"], told["actions"].get("verify")
    if "chunk_size" in upload.get("header", {}):
        return
    answer = target.request("PUT", upload["href"], noise(len(content)), token=None)
    if answer.status < 300 and verify:  # a storage beside the server may leave the check to it
        oid = hashlib.sha256(content).hexdigest()
        answer = target.request("POST", verify["href"], {"oid": oid, "size": len(content)})
    expect_that(400 <= answer.status < 500, "4xx for other bytes", answer.status)
    answer = commit(target, repo, pointed("w.bin", content))
    expect_that(400 <= answer.status < 500, "4xx for a commit of what never came", answer.status)
    expect("The files", paths(target, repo), set())


def a_hash_is_not_the_content(target: Target) -> None:
    """Whoever knows the hash of somebody's private file cannot commit it: the bytes must be sent."""
    content = noise()
    hidden = target.repository(private=True)
    target.api.upload_file(path_or_fileobj=io.BytesIO(content), path_in_repo="w.bin", repo_id=hidden)
    other, repo = target.other, f"{target.other_name}/{hidden.partition('/')[2]}"
    other.create_repo(repo)
    try:
        theirs = Target(target.endpoint, str(target.other_token), None, target.folder)
        (told,) = batch(theirs, repo, content).json()["objects"]
        expect_that("upload" in told.get("actions", {}), "an upload action, as for what is unknown", told)
        answer = commit(theirs, repo, pointed("w.bin", content))
        expect_that(400 <= answer.status < 500, "4xx for a commit of another's bytes", answer.status)
    finally:
        other.delete_repo(repo)


def a_copy_needs_no_size(target: Target) -> None:
    """A large file is copied by its hash: the line of a copy has no size."""
    content = noise()
    repo = target.repository()
    target.api.upload_file(path_or_fileobj=io.BytesIO(content), path_in_repo="a.bin", repo_id=repo)
    target.api.create_commit(repo, [CommitOperationCopy("a.bin", "copy/a.bin")], commit_message="Copy")
    expect_that(target.content(repo, "copy/a.bin") == content, "the copied bytes")


def without_a_ref_readers_may_send(target: Target) -> None:
    """A batch without `ref` is for a pull request: readers may send; with `ref` it takes a writer."""
    content, repo = noise(), target.repository()
    token = target.other_token
    expect("The status with a ref", batch(target, repo, content, token=token).status, 403)
    answer = batch(target, repo, content, ref=False, token=token)
    expect("The status without a ref", answer.status, 200)
    (told,) = answer.json()["objects"]
    expect_that("upload" in told.get("actions", {}), "an upload action", told)


def large_files_travel(target: Target) -> None:
    """A file of 200 MB goes up and comes down."""
    content = noise(LARGE)
    repo = target.repository()
    operation = CommitOperationAdd("w.bin", io.BytesIO(content))
    target.api.create_commit(repo, [operation], commit_message="Large")
    found = target.content(repo, "w.bin")
    expect_that(found == content, f"the {LARGE} bytes that were sent", len(found))


CASES = (
    Case(an_open_file_is_uploaded),
    Case(bytes_need_no_token),
    Case(other_bytes_are_refused),
    Case(a_hash_is_not_the_content, others=True),
    Case(a_copy_needs_no_size),
    Case(without_a_ref_readers_may_send, required=False, others=True),
    Case(large_files_travel, long=True),
)
