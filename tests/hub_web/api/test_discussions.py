"""Discussions and pull requests as huggingface_hub and `hf` have them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, hf_hub_download
from huggingface_hub.errors import (
    BadRequestError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.support.server import client_environment


def proposed(api: HfApi, repo: str, path: str = "new.txt", content: bytes = b"new", **options):
    return api.upload_file(
        repo_id=repo, path_or_fileobj=content, path_in_repo=path, create_pr=True, **options
    )


def read(api: HfApi, repo: str, path: str, revision: str, tmp_path) -> bytes:
    name = hf_hub_download(
        repo, path, revision=revision, endpoint=api.endpoint, token=api.token, cache_dir=tmp_path / "cache"
    )
    return Path(name).read_bytes()


@pytest.mark.parametrize("path", ["/uploads", "/uploads/production/me/picture.png"])
def test_attachments_are_refused_in_words(server, path):
    answer = server.request("POST", path, server.token, content=b"\x89PNG")
    assert (answer.status_code, answer.headers["Content-Type"]) == (501, "application/json")
    assert "no attachments" in answer.json()["error"]


def test_a_discussion_from_its_title_to_its_end(api, bob, repo):
    opened = bob.create_discussion(repo, " A question ! ", description="Does it **work**?")
    assert (opened.num, opened.title, opened.author, opened.status) == (1, "A question !", "bob", "open")
    assert opened.url == f"{api.endpoint}/{repo}/discussions/1"
    assert (opened.is_pull_request, opened.git_reference, opened.diff) == (False, None, None)
    assert opened == bob.get_discussion_details(repo, 1)
    assert "<strong>work</strong>" in opened.events[0].rendered
    answer = api.comment_discussion(repo, 1, "Yes. <script>alert(1)</script> 是的")
    assert (answer.author, answer.edited, answer.hidden) == ("alice", False, False)
    assert "<script" not in answer.rendered
    edited = api.edit_discussion_comment(repo, 1, answer.id, "**Edited** 🤗")
    events = api.get_discussion_details(repo, 1).events
    assert events[1] == edited
    assert (edited.edited, edited.number_of_edits, edited.last_edited_by) == (True, 1, "alice")
    renamed = bob.rename_discussion(repo, 1, "A better question")
    assert (renamed.old_title, renamed.new_title) == ("A question !", "A better question")
    closed = api.change_discussion_status(repo, 1, "closed", comment="Answered")
    assert closed.new_status == "closed"
    with pytest.warns(UserWarning, match="irreversible"):
        hidden = api.hide_discussion_comment(repo, 1, edited.id)
    assert (hidden.hidden, hidden.content, hidden.edit_history) == (True, "", [])
    kinds = [event.type for event in api.get_discussion_details(repo, 1).events]
    assert kinds == ["comment", "comment", "title-change", "comment", "status-change"]


def test_discussions_are_listed_by_kind_status_and_author(api, bob, repo):
    request = api.create_pull_request(repo, "A draft")
    for number in range(2, 54):
        bob.create_discussion(repo, f"Question {number}")
    bob.change_discussion_status(repo, 7, "closed")
    numbers = lambda **options: [found.num for found in api.get_repo_discussions(repo, **options)]  # noqa: E731
    assert numbers() == list(range(53, 0, -1))
    assert numbers(discussion_type="pull_request") == [request.num]
    assert numbers(discussion_status="closed") == [7]
    assert numbers(author="alice", discussion_status="open") == [1]
    assert numbers(author="nobody") == []


def test_a_pull_request_from_a_foreign_reader_to_its_merge(api, bob, repo, tmp_path):
    """Regular and large files, proposed by somebody who may only read; then more commits, then the merge."""
    api.upload_file(repo_id=repo, path_or_fileobj=b"old", path_in_repo="old.txt")
    result = bob.create_commit(
        repo,
        [
            CommitOperationDelete("old.txt"),
            CommitOperationAdd("regular.txt", b"content"),
            CommitOperationAdd("large.bin", b"\0weights" * 100),
        ],
        commit_message="Improve",
        commit_description="For the better.",
        create_pr=True,
    )
    assert (result.pr_num, result.pr_revision) == (1, "refs/pr/1")
    assert result.pr_url == f"{api.endpoint}/{repo}/discussions/1"
    assert result.commit_url == f"{api.endpoint}/{repo}/commit/{result.oid}"
    assert not api.file_exists(repo, "regular.txt")
    bob.upload_file(repo_id=repo, path_or_fileobj=b"more\n", path_in_repo="m.txt", revision="refs/pr/1")
    assert read(bob, repo, "large.bin", "refs/pr/1", tmp_path) == b"\0weights" * 100
    assert (
        api.model_info(repo, revision="refs/pr/1").sha
        == api.list_repo_commits(repo, revision="refs/pr/1")[0].commit_id
    )
    refs = api.list_repo_refs(repo, include_pull_requests=True).pull_requests
    assert [ref.ref for ref in refs or []] == ["refs/pr/1"]
    details = api.get_discussion_details(repo, 1)
    assert (details.target_branch, details.conflicting_files, details.merge_commit_oid) == ("main", [], None)
    assert [event.type for event in details.events] == ["comment", "commit", "commit"]
    assert (details.events[0].content, details.events[1].summary) == ("For the better.", "Improve")
    assert "+more\n" in details.diff
    assert "-old\n" in details.diff
    assert "oid sha256:" in details.diff
    with pytest.raises(HfHubHTTPError, match="403"):
        bob.merge_pull_request(repo, 1)
    api.merge_pull_request(repo, 1, comment="Thank you")
    details = api.get_discussion_details(repo, 1)
    assert details.status == "merged"
    head = api.list_repo_commits(repo)[0]
    assert (head.commit_id, head.title, head.authors) == (details.merge_commit_oid, "Improve (#1)", ["alice"])
    assert sorted(api.list_repo_files(repo)) == [".gitattributes", "large.bin", "m.txt", "regular.txt"]
    with pytest.raises(BadRequestError, match="merged"):
        bob.upload_file(repo_id=repo, path_or_fileobj=b"late", path_in_repo="m.txt", revision="refs/pr/1")


def test_what_both_changed_is_named_and_not_merged(api, bob, repo):
    proposed(bob, repo, "same.txt", b"of bob")
    api.upload_file(repo_id=repo, path_or_fileobj=b"of alice", path_in_repo="same.txt")
    assert api.get_discussion_details(repo, 1).conflicting_files == ["same.txt"]
    with pytest.raises(HfHubHTTPError, match=r"cannot be merged.*same\.txt") as refused:
        api.merge_pull_request(repo, 1)
    assert refused.value.response.status_code == 409


def test_a_draft_is_filled_opened_and_merged(api, repo):
    draft = api.create_pull_request(repo, "Idea")
    assert (draft.status, draft.git_reference, draft.diff) == ("draft", "refs/pr/1", "")
    api.create_commit(repo, [CommitOperationAdd("f", b"x")], commit_message="c", revision="refs/pr/1")
    with pytest.raises(BadRequestError, match="is a draft"):
        api.merge_pull_request(repo, 1)
    api.change_discussion_status(repo, 1, "open")
    api.merge_pull_request(repo, 1)
    assert api.get_discussion_details(repo, 1).merge_commit_oid


def test_pull_requests_are_for_branches(api, repo):
    api.create_branch(repo, branch="dev")
    assert proposed(api, repo, revision="dev").pr_num == 1
    assert api.get_discussion_details(repo, 1).target_branch == "dev"
    head = api.model_info(repo).sha
    for revision in (head, "missing"):
        with pytest.raises(RevisionNotFoundError):
            proposed(api, repo, revision=revision)
    assert len(list(api.get_repo_discussions(repo))) == 1


def test_a_folder_as_a_pull_request(bob, repo, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "说明.txt").write_text("一")
    (tmp_path / "folder" / "model.safetensors").write_bytes(b"\0" * 1000)
    result = bob.upload_folder(repo_id=repo, folder_path=tmp_path / "folder", create_pr=True)
    assert result.pr_revision == "refs/pr/1"
    assert {"说明.txt", "model.safetensors"} <= set(bob.list_repo_files(repo, revision="refs/pr/1"))


def test_a_stock_client_proposes_by_xet_and_adds_to_it(server, api, repo, tmp_path):
    """With hf_xet and nothing switched off: a folder by somebody who may only read, then another file."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"\0weights" * 1000)
    environment = client_environment(server, tmp_path / "home", server.other_token)
    program = (
        "import sys; from huggingface_hub import HfApi; api = HfApi(); repo, folder = sys.argv[1:]\n"
        "made = api.upload_folder(repo_id=repo, folder_path=folder, create_pr=True)\n"
        "api.upload_file(repo_id=repo, path_or_fileobj=b'\\0' * 2000, path_in_repo='x.bin',"
        " revision=made.pr_revision)\n"
    )
    command = [sys.executable, "-c", program, repo, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert {"model.safetensors", "x.bin"} <= set(api.list_repo_files(repo, revision="refs/pr/1"))
    assert read(api, repo, "model.safetensors", "refs/pr/1", tmp_path) == b"\0weights" * 1000


def test_what_is_private_has_no_discussions_for_others(api, bob, anonymous, repo):
    proposed(api, repo)
    with pytest.raises(HfHubHTTPError, match="401"):
        anonymous.create_discussion(repo, "Hello")
    api.update_repo_settings(repo, private=True)
    for call in (
        lambda: list(bob.get_repo_discussions(repo)),
        lambda: bob.get_discussion_details(repo, 1),
        lambda: bob.comment_discussion(repo, 1, "?"),
        lambda: proposed(bob, repo),
    ):
        with pytest.raises(RepositoryNotFoundError):
            call()


def test_what_is_gated_is_discussed_without_its_content(api, bob, repo, server):
    proposed(api, repo, "secret.txt", b"secret")
    api.update_repo_settings(repo, gated="manual")
    assert bob.comment_discussion(repo, 1, "May I?").content == "May I?"
    assert "secret" not in (bob.get_discussion_details(repo, 1).diff or "")
    with pytest.raises(HfHubHTTPError, match="403"):
        proposed(bob, repo)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/discussions/99", None, 404),
        ("GET", "/discussions/0", None, 404),
        ("GET", "/discussions?status=weird", None, 400),
        ("GET", "/discussions?p=x", None, 400),
        ("POST", "/discussions", {"title": 5}, 400),
        ("POST", "/discussions", {"title": "t", "pullRequest": "yes"}, 400),
        ("POST", "/discussions/1/comment", {}, 400),
        ("POST", "/discussions/1/comment/zzz/hide", {}, 404),
        ("POST", "/discussions/1/comment/ffffffffffffffffffff/edit", {"content": "x"}, 404),
        ("POST", "/discussions/1/status", {"status": "merged"}, 400),
        ("POST", "/discussions/1/status", {"status": "open"}, 400),
        ("POST", "/discussions/1/merge", {}, 400),
        ("POST", "/discussions/99/merge", {}, 404),
    ],
)
def test_what_cannot_be_meant_is_told(api, server, repo, method, path, body, status):
    api.create_discussion(repo, "One")
    answer = server.request(method, f"/api/models/{repo}{path}", server.token, json=body)
    assert answer.status_code == status
    assert answer.json()["error"]


def test_the_command_line(api, server, repo, tmp_path):
    environment = client_environment(server, tmp_path, server.token)

    def hf(*arguments: str) -> str:
        command = [sys.executable, "-m", "huggingface_hub.cli.hf", "discussions", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    proposed(api, repo)
    assert "+new" in hf("diff", repo, "1")
    hf("merge", repo, "1", "--yes")
    rows = json.loads(hf("list", repo, "--status", "merged", "--format", "json"))
    assert [(row["num"], row["status"]) for row in rows] == [(1, "merged")]
