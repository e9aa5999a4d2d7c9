"""Repositories and commits made, changed and removed."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from modelcenter.conformance.cases import Case, expect, expect_raises, expect_that
from modelcenter.conformance.groups.read import blob_oid
from modelcenter.conformance.target import Answer, Target

NDJSON = {"Content-Type": "application/x-ndjson"}
COMMITTERS = 16


def commit(target: Target, repo: str, *operations: dict[str, Any], **header: str) -> Answer:
    """The answer to a commit on main, sent line by line as clients do."""
    lines = [{"key": "header", "value": {"summary": "Change", **header}}, *operations]
    body = "\n".join(json.dumps(line) for line in lines).encode()
    return target.request("POST", f"/api/models/{repo}/commit/main", body, headers=NDJSON)


def added(path: str, content: str) -> dict[str, Any]:
    """The line of a commit that adds a text file."""
    return {"key": "file", "value": {"path": path, "content": content, "encoding": "utf-8"}}


def paths(target: Target, repo: str, revision: str = "main") -> set[str]:
    """The files of a revision but for those that come with every repository."""
    return set(target.api.list_repo_files(repo, revision=revision)) - {".gitattributes"}


def a_repository_is_created_once(target: Target) -> None:
    """Creating what exists is 409 with its `url` in JSON, which `exist_ok` reads."""
    repo = target.new_name()
    made = target.api.create_repo(repo)
    expect("The id of what was created", made.repo_id, repo)
    expect_that(made.startswith(target.endpoint), f"`url` below {target.endpoint}", str(made))
    again = target.api.create_repo(repo, exist_ok=True)
    expect("The id of what exists", again.repo_id, repo)
    error = expect_raises(HfHubHTTPError, lambda: target.api.create_repo(repo), "Creating it again")
    expect("The status", error.response.status_code, 409)
    expect_that("url" in error.response.json(), "JSON with `url`", error.response.text)


def a_repository_is_deleted(target: Target) -> None:
    """What is deleted is not found any more, and deleting it again is 404."""
    repo = target.repository({"a.txt": b"a"})
    target.api.delete_repo(repo)
    expect_raises(RepositoryNotFoundError, lambda: target.api.model_info(repo), "Its description")
    expect_raises(RepositoryNotFoundError, lambda: target.api.delete_repo(repo), "Deleting it again")
    target.api.delete_repo(repo, missing_ok=True)


def a_repository_becomes_private(target: Target) -> None:
    """`update_repo_settings` makes a repository private, and public again."""
    repo = target.repository()
    for private in (True, False):
        target.api.update_repo_settings(repo, private=private)
        expect("private", target.api.model_info(repo).private, private)


def a_commit_has_its_address_here(target: Target) -> None:
    """`commitUrl` is on the address that the client uses: of another one it raises after it committed."""
    repo = target.repository()
    done = target.api.upload_file(path_or_fileobj=b"a", path_in_repo="a.txt", repo_id=repo)
    expect("The commit", done.oid, target.api.model_info(repo).sha)
    expect_that(done.commit_url.startswith(target.endpoint), f"below {target.endpoint}", done.commit_url)


def a_commit_does_all_at_once(target: Target) -> None:
    """One commit adds, replaces and deletes files and folders; title and description are kept."""
    repo = target.repository({"old.txt": b"1", "folder/a.txt": b"2", "folder/b.txt": b"3", "kept.txt": b"4"})
    target.api.create_commit(
        repo,
        [
            CommitOperationAdd("new/文件.txt", "新".encode()),
            CommitOperationAdd("kept.txt", b"changed"),
            CommitOperationDelete("old.txt"),
            CommitOperationDelete("folder/"),
        ],
        commit_message="一次 All",
        commit_description="What was done",
    )
    expect("The files", paths(target, repo), {"new/文件.txt", "kept.txt"})
    expect("A replaced file", target.content(repo, "kept.txt"), b"changed")
    newest = target.api.list_repo_commits(repo)[0]
    expect("Title and description", (newest.title, newest.message), ("一次 All", "What was done"))


def a_folder_is_uploaded(target: Target) -> None:
    """`upload_folder` sends a folder; what patterns name is left out or deleted."""
    repo = target.repository({"old/x.log": b"x", "old/kept.txt": b"k"})
    folder = target.folder / "upload"
    for path in ("a.txt", "sub/b.txt", "sub/c.log"):
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(path)
    target.api.upload_folder(
        repo_id=repo, folder_path=folder, ignore_patterns="sub/*.log", delete_patterns="old/*.log"
    )
    expect("The files", paths(target, repo), {"a.txt", "sub/b.txt", "old/kept.txt"})


def names_keep_their_characters(target: Target) -> None:
    """Names with spaces, `%`, `#`, `?`, `+` and Chinese come and go as they are."""
    files = {
        name: name.encode()
        for name in (
            "with space.txt",
            "100%.txt",
            "a#b.txt",
            "a?b.txt",
            "a+b.txt",
            "模型/权重.txt",
            "%2F.txt",
        )
    }
    repo = target.repository(files)
    expect("The files", paths(target, repo), set(files))
    for name, content in files.items():
        found = Path(target.api.hf_hub_download(repo, name)).read_bytes()
        expect(f"The content of {name}", found, content)


def an_empty_file_stays_empty(target: Target) -> None:
    """A file without a byte is committed and downloaded."""
    repo = target.repository({"empty.txt": b""})
    expect("Its content", Path(target.api.hf_hub_download(repo, "empty.txt")).read_bytes(), b"")


def what_changes_nothing_is_no_commit(target: Target) -> None:
    """A commit sent twice, as after a lost answer, leaves one commit, and both times tells the same id."""
    repo = target.repository()
    first = commit(target, repo, added("a.txt", "a"))
    expect("The status", first.status, 200)
    again = commit(target, repo, added("a.txt", "a"))
    expect("The status of the second", again.status, 200)
    expect("The commit of the second", again.json()["commitOid"], first.json()["commitOid"])


def what_is_there_is_recognised(target: Target) -> None:
    """`preupload` tells the hash of what is at a path, by which clients leave out what is unchanged."""
    content = b"unchanged"
    repo = target.repository({"a.txt": content})
    sample = {"path": "a.txt", "size": len(content), "sample": "dW5jaGFuZ2Vk"}
    ignored = {"path": "b.log", "size": 1, "sample": "YQ=="}
    answer = target.request(
        "POST", f"/api/models/{repo}/preupload/main", {"files": [sample, ignored], "gitIgnore": "*.log\n"}
    ).json()
    known, left_out = answer["files"]
    expect("oid", known.get("oid"), blob_oid(content))
    expect("uploadMode", known["uploadMode"], "regular")
    expect("shouldIgnore of what .gitignore names", left_out["shouldIgnore"], True)


def of_two_commits_on_one_parent_one_wins(target: Target) -> None:
    """A commit whose `parentCommit` is no longer the head is 412, and changes nothing."""
    repo = target.repository()
    parent = str(target.api.model_info(repo).sha)
    expect("The first's status", commit(target, repo, added("a.txt", "1"), parentCommit=parent).status, 200)
    expect("The second's status", commit(target, repo, added("b.txt", "2"), parentCommit=parent).status, 412)
    expect("The files", paths(target, repo), {"a.txt"})


def deleting_what_is_not_there_is_told(target: Target) -> None:
    """A commit that deletes a missing file is refused as EntryNotFound, whole."""
    repo = target.repository()
    lines = [added("a.txt", "a"), {"key": "deletedFile", "value": {"path": "missing.txt"}}]
    answer = commit(target, repo, *lines)
    expect("Status and code", (answer.status, answer.header("X-Error-Code")), (404, "EntryNotFound"))
    expect("The files", paths(target, repo), set())


def metadata_is_validated_in_json(target: Target) -> None:
    """`validate-yaml` answers JSON whatever it is given: 200 with warnings, 400 with errors."""
    for content, status in (("---\nlicense: mit\n---\n", 200), ("---\na: [1\n---\n", 400)):
        answer = target.request(
            "POST", "/api/validate-yaml", {"content": content, "repoType": "model"}, token=None
        )
        expect(f"The status of {content!r}", answer.status, status)
        expect_that(isinstance(answer.json().get("errors"), list), "`errors` as a list", answer.body)


def wrong_metadata_is_not_uploaded(target: Target) -> None:
    """A README whose metadata is no YAML raises before anything is sent; a right one arrives."""
    repo = target.repository()
    target.api.upload_file(
        path_or_fileobj=b"---\nlicense: mit\n---\n# A", path_in_repo="README.md", repo_id=repo
    )

    def send() -> None:
        target.api.upload_file(
            path_or_fileobj=b"---\nlicense: [mit\n---\n", path_in_repo="README.md", repo_id=repo
        )

    expect_raises(ValueError, send, "Uploading it")
    expect("README.md", target.content(repo, "README.md"), b"---\nlicense: mit\n---\n# A")


def a_moved_repository_is_found(target: Target) -> None:
    """A repository that moved is found by its old id too, by API and download."""
    repo, new = target.repository({"a.txt": b"a"}), target.new_name()
    target.api.move_repo(repo, new)
    expect("The id", target.api.model_info(repo).id, new)
    expect("A file by the old id", Path(target.api.hf_hub_download(repo, "a.txt")).read_bytes(), b"a")


def ids_have_no_case(target: Target) -> None:
    """Ids are matched without regard to case."""
    repo = target.repository()
    expect("The id", target.api.model_info(repo.upper()).id, repo)


def many_commit_at_once(target: Target) -> None:
    """Sixteen clients that commit at the same time all succeed, and nothing is lost."""
    repo = target.repository()
    problems: list[str] = []

    def work(number: int) -> None:
        try:
            target.api.upload_file(path_or_fileobj=b"%d" % number, path_in_repo=f"{number}.txt", repo_id=repo)
        except Exception as error:  # noqa: BLE001 - told below, with the others
            problems.append(f"{type(error).__name__}: {error}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(COMMITTERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expect("The clients' errors", problems, [])
    expect("The files", paths(target, repo), {f"{number}.txt" for number in range(COMMITTERS)})
    expect("The number of commits", len(target.api.list_repo_commits(repo)), COMMITTERS + 1)


CASES = (
    Case(a_repository_is_created_once),
    Case(a_repository_is_deleted),
    Case(a_repository_becomes_private),
    Case(a_commit_has_its_address_here),
    Case(a_commit_does_all_at_once),
    Case(a_folder_is_uploaded),
    Case(names_keep_their_characters),
    Case(an_empty_file_stays_empty),
    Case(what_changes_nothing_is_no_commit),
    Case(what_is_there_is_recognised),
    Case(of_two_commits_on_one_parent_one_wins),
    Case(deleting_what_is_not_there_is_told),
    Case(metadata_is_validated_in_json),
    Case(wrong_metadata_is_not_uploaded),
    Case(a_moved_repository_is_found, required=False),
    Case(ids_have_no_case, required=False),
    Case(many_commit_at_once, long=True),
)
