"""Discussions, and changes that are proposed before they are made."""

from __future__ import annotations

from huggingface_hub import CommitOperationAdd, CommitOperationDelete
from huggingface_hub.errors import HfHubHTTPError

from modelcenter.conformance.cases import Case, expect, expect_raises, expect_that
from modelcenter.conformance.groups.write import paths
from modelcenter.conformance.target import Target


def proposed(target: Target, repo: str, path: str, content: bytes) -> int:
    """The number of a new pull request that sets a file."""
    done = target.api.create_commit(
        repo, [CommitOperationAdd(path, content)], commit_message="提议 Change", create_pr=True
    )
    expect_that(done.pr_num, "a pull request's number in the answer", done)
    assert done.pr_num is not None
    return done.pr_num


def a_change_is_proposed_and_merged(target: Target) -> None:
    """`create_pr` leaves the branch as it is; the change is read at refs/pr/N, and there after merging."""
    repo = target.repository({"a.txt": b"1"})
    number = proposed(target, repo, "a.txt", b"2")
    expect("main before", target.content(repo, "a.txt"), b"1")
    expect("The pull request", target.content(repo, "a.txt", f"refs/pr/{number}"), b"2")
    plain = target.request("GET", f"/{repo}/resolve/refs/pr/{number}/a.txt")
    expect_that(plain.status in (200, 302), "the file at the ref with its slashes written out", plain.status)
    details = target.api.get_discussion_details(repo, number)
    expect("The title", details.title, "提议 Change")
    expect("Kind and status", (details.is_pull_request, details.status), (True, "open"))
    expect_that("+2" in (details.diff or ""), "a diff with the new line", details.diff)
    target.api.merge_pull_request(repo, number, comment="Thanks")
    expect("main after", target.content(repo, "a.txt"), b"2")
    expect("The status after", target.api.get_discussion_details(repo, number).status, "merged")


def refs_of_proposals_are_listed(target: Target) -> None:
    """`list_repo_refs(include_pull_requests=True)` lists them, and only then."""
    repo = target.repository()
    number = proposed(target, repo, "a.txt", b"1")
    refs = target.api.list_repo_refs(repo, include_pull_requests=True).pull_requests or []
    expect("The refs", [ref.ref for ref in refs], [f"refs/pr/{number}"])
    expect("Without asking", target.api.list_repo_refs(repo).pull_requests, None)


def others_propose(target: Target) -> None:
    """Whoever may read a repository may propose a change to it, and add to it; merging takes a writer."""
    repo, other = target.repository({"a.txt": b"1"}), target.other
    number = other.upload_file(
        path_or_fileobj=b"2", path_in_repo="b.txt", repo_id=repo, create_pr=True
    ).pr_num
    assert number is not None
    ref = f"refs/pr/{number}"
    other.upload_file(path_or_fileobj=b"3", path_in_repo="c.txt", repo_id=repo, revision=ref)
    expect("The files", paths(target, repo, ref), {"a.txt", "b.txt", "c.txt"})
    error = expect_raises(HfHubHTTPError, lambda: other.merge_pull_request(repo, number), "Merging it")
    expect("The status", error.response.status_code, 403)
    target.api.merge_pull_request(repo, number)
    expect("main", paths(target, repo), {"a.txt", "b.txt", "c.txt"})


def conflicts_are_told(target: Target) -> None:
    """A change to what changed meanwhile names the files in conflict, and is not merged."""
    repo = target.repository({"a.txt": b"1"})
    number = proposed(target, repo, "a.txt", b"2")
    target.api.create_commit(repo, [CommitOperationDelete("a.txt")], commit_message="Delete")
    details = target.api.get_discussion_details(repo, number)
    expect("The files in conflict", details.conflicting_files, ["a.txt"])
    expect_raises(HfHubHTTPError, lambda: target.api.merge_pull_request(repo, number), "Merging it")
    expect("main", paths(target, repo), set())


def discussions_are_held(target: Target) -> None:
    """A discussion is opened, answered, renamed, edited, closed and listed."""
    repo, api = target.repository(), target.api
    opened = api.create_discussion(repo, "Question 问题", description="Why?")
    comment = api.comment_discussion(repo, opened.num, "Because.")
    api.edit_discussion_comment(repo, opened.num, comment.id, "因为。")
    api.rename_discussion(repo, opened.num, "Answered")
    api.change_discussion_status(repo, opened.num, "closed")
    details = api.get_discussion_details(repo, opened.num)
    expect("Title and status", (details.title, details.status), ("Answered", "closed"))
    said = [str(getattr(event, "content", "")) for event in details.events if event.type == "comment"]
    expect("The comments", said, ["Why?", "因为。"])
    expect("The events", [event.type for event in details.events][2:], ["title-change", "status-change"])
    listed = [(found.num, found.is_pull_request) for found in api.get_repo_discussions(repo)]
    expect("The list", listed, [(opened.num, False)])


CASES = (
    Case(a_change_is_proposed_and_merged, required=False),
    Case(refs_of_proposals_are_listed, required=False),
    Case(others_propose, required=False, others=True),
    Case(conflicts_are_told, required=False),
    Case(discussions_are_held, required=False),
)
