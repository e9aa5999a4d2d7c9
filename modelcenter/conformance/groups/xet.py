"""Large files by Xet, as stock clients send them where hf_xet is installed."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from modelcenter.conformance.cases import Case, Missing, Skipped, expect, expect_that
from modelcenter.conformance.groups.lfs import LARGE, noise
from modelcenter.conformance.groups.write import paths
from modelcenter.conformance.target import Answer, Target


def sent(target: Target, repo: str, content: bytes, path: str = "w.bin") -> None:
    """Sends `content` from a file on the disk, which is what clients send by Xet."""
    if importlib.util.find_spec("hf_xet") is None:
        raise Skipped("This client has no hf_xet.")
    target.api.upload_file(path_or_fileobj=target.file(content), path_in_repo=path, repo_id=repo)


def permit(target: Target, repo: str, *, token: str | None = "") -> Answer:
    """The answer to a client that asks where it may send chunks, and with which token."""
    answer = target.request("GET", f"/api/models/{repo}/xet-write-token/main", token=token)
    if token == "" and answer.status in (404, 501) and not answer.header("X-Error-Code"):
        raise Missing(f"xet-write-token is answered with {answer.status}: uploads of stock clients fail.")
    return answer


def a_file_on_disk_is_uploaded(target: Target) -> None:
    """`upload_file` of a binary file works with nothing switched off, and so does its next version."""
    first = noise(1_000_000)
    second = first[:400_000] + b"changed" + first[400_500:]
    repo = target.repository()
    for content in (first, second):
        sent(target, repo, content)
        expect_that(target.content(repo, "w.bin") == content, "the bytes that were sent")
        (entry,) = target.api.get_paths_info(repo, "w.bin")
        oid = hashlib.sha256(content).hexdigest()
        expect("SHA-256", getattr(getattr(entry, "lfs", None), "sha256", None), oid)


def a_folder_of_large_files_is_uploaded(target: Target) -> None:
    """`upload_folder` sends large and small files of a folder together."""
    repo, folder = target.repository(), target.folder / "xet"
    folder.mkdir()
    large = noise()
    (folder / "a.safetensors").write_bytes(large)
    (folder / "权重.bin").write_bytes(large[::-1])
    (folder / "config.json").write_text("{}")
    target.api.upload_folder(repo_id=repo, folder_path=folder)
    expect("The files", paths(target, repo), {"a.safetensors", "权重.bin", "config.json"})
    expect_that(target.content(repo, "权重.bin") == large[::-1], "the bytes that were sent")
    expect_that(
        Path(target.api.hf_hub_download(repo, "a.safetensors")).read_bytes() == large, "the same bytes back"
    )


def earlier_chunks_may_be_referred_to(target: Target) -> None:
    """What a client sent before is not sent again, even to another repository after the first was deleted."""
    content = noise(500_000)
    repo = target.repository()
    sent(target, repo, content)
    target.api.delete_repo(repo)
    again = target.repository()
    sent(target, again, content)
    expect_that(target.content(again, "w.bin") == content, "the bytes that were sent")


def the_token_is_told_twice(target: Target) -> None:
    """The write token is in JSON, which hf_xet reads, and in headers, which Python reads."""
    repo = target.repository()
    answer = permit(target, repo)
    expect("The status", answer.status, 200)
    said = answer.json()
    headers = tuple(
        answer.header(f"X-Xet-{name}") for name in ("Access-Token", "Token-Expiration", "Cas-Url")
    )
    expect("The headers", headers, (said["accessToken"], str(said["exp"]), said["casUrl"]))


def readers_get_no_token(target: Target) -> None:
    """Who may not write gets no token to send chunks with."""
    repo = target.repository()
    answer = permit(target, repo, token=target.other_token)
    expect_that(answer.status in (401, 403), "401 or 403", answer.status)


def wrong_chunks_are_the_senders_fault(target: Target) -> None:
    """Broken xorbs and shards are 4xx, or an error of the stream: at 5xx clients go on for minutes."""
    said = permit(target, target.repository()).json()
    headers = {"Authorization": f"Bearer {said['accessToken']}"}
    for path in (f"/v1/xorbs/default/{'0' * 64}", "/v1/shards"):
        answer = target.request("POST", said["casUrl"] + path, b"no chunks", token=None, headers=headers)
        expect_that(400 <= answer.status < 500, f"4xx of {path}", answer.status)
    answer = target.request(
        "GET", f"{said['casUrl']}/v1/chunks/default/{'0' * 64}", token=None, headers=headers
    )
    expect("The status of an unknown chunk", answer.status, 404)


def large_files_travel(target: Target) -> None:
    """A file of 200 MB goes up and comes down."""
    content = noise(LARGE)
    repo = target.repository()
    sent(target, repo, content)
    found = Path(target.api.hf_hub_download(repo, "w.bin")).read_bytes()
    expect_that(found == content, f"the {LARGE} bytes that were sent", len(found))


CASES = (
    Case(a_file_on_disk_is_uploaded),
    Case(a_folder_of_large_files_is_uploaded),
    Case(earlier_chunks_may_be_referred_to),
    Case(the_token_is_told_twice),
    Case(readers_get_no_token, others=True),
    Case(wrong_chunks_are_the_senders_fault),
    Case(large_files_travel, long=True),
)
