"""Branches, tags and the commits under them."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub.errors import HfHubHTTPError, RevisionNotFoundError

from modelcenter.conformance.cases import Case, expect, expect_raises, expect_that
from modelcenter.conformance.groups.write import paths
from modelcenter.conformance.target import Target


def status_of(error: HfHubHTTPError) -> int:
    """The status that made the client raise `error`."""
    return int(error.response.status_code)


def a_branch_comes_and_goes(target: Target) -> None:
    """A branch is created at a revision, listed, and deleted; twice is 409, and 404."""
    repo = target.repository({"a.txt": b"1"})
    first = str(target.api.model_info(repo).sha)
    target.api.upload_file(path_or_fileobj=b"2", path_in_repo="a.txt", repo_id=repo)
    target.api.create_branch(repo, branch="old", revision=first)
    branches = {branch.name: branch for branch in target.api.list_repo_refs(repo).branches}
    expect("The branches", set(branches), {"main", "old"})
    expect("Ref and commit", (branches["old"].ref, branches["old"].target_commit), ("refs/heads/old", first))
    expect("A file on it", target.content(repo, "a.txt", "old"), b"1")
    again = expect_raises(
        HfHubHTTPError, lambda: target.api.create_branch(repo, branch="old"), "Creating it again"
    )
    expect("The status", status_of(again), 409)
    target.api.create_branch(repo, branch="old", exist_ok=True)
    target.api.delete_branch(repo, branch="old")
    expect_raises(
        RevisionNotFoundError, lambda: target.api.model_info(repo, revision="old"), "Its description"
    )


def the_main_branch_stays(target: Target) -> None:
    """The branch `main` cannot be deleted: 403."""
    repo = target.repository()
    error = expect_raises(
        HfHubHTTPError, lambda: target.api.delete_branch(repo, branch="main"), "Deleting main"
    )
    expect("The status", status_of(error), 403)


def branches_may_have_slashes(target: Target) -> None:
    """A branch `feature/x` is committed to, listed and downloaded from: `%2F` is part of one segment."""
    repo = target.repository()
    target.api.create_branch(repo, branch="feature/x")
    target.api.upload_file(
        path_or_fileobj=b"x", path_in_repo="文件夹/f.txt", repo_id=repo, revision="feature/x"
    )
    expect("The files", paths(target, repo, "feature/x"), {"文件夹/f.txt"})
    folder = [entry.path for entry in target.api.list_repo_tree(repo, "文件夹", revision="feature/x")]
    expect("The folder", folder, ["文件夹/f.txt"])
    path = target.api.hf_hub_download(repo, "文件夹/f.txt", revision="feature/x")
    expect("The file", Path(path).read_bytes(), b"x")
    expect("main", paths(target, repo), set())
    target.api.delete_branch(repo, branch="feature/x")


def a_tag_comes_and_goes(target: Target) -> None:
    """A tag names a commit for good; twice is 409, deleting a missing one 404."""
    repo = target.repository({"a.txt": b"1"})
    sha = target.api.model_info(repo).sha
    target.api.create_tag(repo, tag="v1.0", tag_message="First")
    target.api.upload_file(path_or_fileobj=b"2", path_in_repo="a.txt", repo_id=repo)
    tags = {tag.name: (tag.ref, tag.target_commit) for tag in target.api.list_repo_refs(repo).tags}
    expect("The tags", tags, {"v1.0": ("refs/tags/v1.0", sha)})
    expect("A file at it", target.content(repo, "a.txt", "v1.0"), b"1")
    again = expect_raises(HfHubHTTPError, lambda: target.api.create_tag(repo, tag="v1.0"), "Once more")
    expect("The status", status_of(again), 409)
    target.api.delete_tag(repo, tag="v1.0")
    gone = expect_raises(
        RevisionNotFoundError, lambda: target.api.delete_tag(repo, tag="v1.0"), "Deleting it again"
    )
    expect("The status", status_of(gone), 404)


def a_commit_is_a_revision(target: Target) -> None:
    """A commit's id, a full ref's name, and the first seven digits of the id are revisions."""
    repo = target.repository({"a.txt": b"1"})
    sha = str(target.api.model_info(repo).sha)
    target.api.upload_file(path_or_fileobj=b"2", path_in_repo="a.txt", repo_id=repo)
    expect("A file at a commit", target.content(repo, "a.txt", sha), b"1")
    expect("The description of a commit", target.api.model_info(repo, revision=sha).sha, sha)
    expect("A file at a full ref", target.content(repo, "a.txt", "refs/heads/main"), b"2")
    expect("The description of a short id", target.api.model_info(repo, revision=sha[:7]).sha, sha)


def commits_are_listed(target: Target) -> None:
    """Commits come newest first, with title, authors and date."""
    repo = target.repository()
    for number in range(3):
        target.api.upload_file(
            path_or_fileobj=b"%d" % number,
            path_in_repo="a.txt",
            repo_id=repo,
            commit_message=f"第 {number} 次",
        )
    commits = target.api.list_repo_commits(repo)
    titles = [commit.title for commit in commits]
    expect("The titles", titles, ["第 2 次", "第 1 次", "第 0 次", "initial commit"])
    expect("The author", commits[0].authors, [target.name])
    expect_that(commits[0].created_at >= commits[-1].created_at, "dates that do not fall")
    formatted = target.api.list_repo_commits(repo, formatted=True)[0].formatted_title
    expect("The formatted title", formatted, "第 2 次")


def a_missing_revision_is_told(target: Target) -> None:
    """What names no revision raises RevisionNotFoundError, wherever it is given."""
    repo = target.repository({"a.txt": b"1"})
    api = target.api
    for what, call in (
        ("Its description", lambda: api.model_info(repo, revision="nowhere")),
        ("Its tree", lambda: list(api.list_repo_tree(repo, revision="nowhere"))),
        ("A file of it", lambda: api.hf_hub_download(repo, "a.txt", revision="nowhere")),
        ("Its commits", lambda: api.list_repo_commits(repo, revision="nowhere")),
        ("A tag on it", lambda: api.create_tag(repo, tag="t", revision="nowhere")),
    ):
        expect_raises(RevisionNotFoundError, call, what)


def a_history_is_squashed(target: Target) -> None:
    """`super_squash_history` leaves one commit with the files as they are."""
    repo = target.repository({"a.txt": b"1"})
    target.api.upload_file(path_or_fileobj=b"2", path_in_repo="b.txt", repo_id=repo)
    target.api.super_squash_history(repo, commit_message="One")
    expect("The titles", [commit.title for commit in target.api.list_repo_commits(repo)], ["One"])
    expect("The files", paths(target, repo), {"a.txt", "b.txt"})


CASES = (
    Case(a_branch_comes_and_goes),
    Case(the_main_branch_stays),
    Case(branches_may_have_slashes),
    Case(a_tag_comes_and_goes),
    Case(a_commit_is_a_revision),
    Case(commits_are_listed),
    Case(a_missing_revision_is_told),
    Case(a_history_is_squashed, required=False),
)
