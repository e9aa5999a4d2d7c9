"""The same repositories by Git over HTTP, with Git LFS."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import urlsplit

from modelcenter.conformance.cases import Case, Missing, Skipped, expect, expect_that
from modelcenter.conformance.groups.lfs import noise
from modelcenter.conformance.groups.write import paths
from modelcenter.conformance.target import Target

NAMED = ("-c", "user.name=Conformance", "-c", "user.email=conformance@example.org")


def git(target: Target, folder: Path, *command: str, fails: bool = False) -> str:
    """What a git command prints, run in `folder`."""
    return target.run(["git", *NAMED, *command], folder, fails=fails)


def address(target: Target, repo: str, *, token: str | None = "") -> str:
    """The repository's address for git, with the token as the password."""
    parts = urlsplit(target.endpoint)
    person = "" if token is None else f"{target.name}:{token or target.token}@"
    return f"{parts.scheme}://{person}{parts.netloc}{parts.path}/{repo}"


def cloned(target: Target, repo: str) -> Path:
    """The folder of a new clone. Raises Skipped without git, Missing where the server does not speak it."""
    if shutil.which("git") is None or shutil.which("git-lfs") is None:
        raise Skipped("git and git-lfs are not installed here.")
    answer = target.request("GET", f"/{repo}/info/refs?service=git-upload-pack")
    if answer.status in (404, 405, 501):
        raise Missing(f"info/refs is answered with {answer.status}.")
    folder = target.folder / repo.partition("/")[2]
    git(target, target.folder, "lfs", "install", "--skip-repo")
    git(target, target.folder, "clone", "--quiet", address(target, repo), str(folder))
    return folder


def a_clone_has_the_same_files(target: Target) -> None:
    """`git clone` brings files and LFS content, under the commit ids that the API tells."""
    large = noise()
    repo = target.repository({"a.txt": b"1", "文件/b.txt": b"2", "w.bin": large})
    folder = cloned(target, repo)
    head = git(target, folder, "rev-parse", "HEAD").strip()
    expect("The commit", head, target.api.model_info(repo).sha)
    expect("A file", (folder / "文件" / "b.txt").read_bytes(), b"2")
    expect_that((folder / "w.bin").read_bytes() == large, "the bytes of the large file")


def a_push_appears(target: Target) -> None:
    """`git push` of files and LFS content appears in the API under the same commit id."""
    repo = target.repository({"a.txt": b"1"})
    folder = cloned(target, repo)
    large = noise()
    (folder / "新.txt").write_text("new")
    (folder / "w.safetensors").write_bytes(large)
    (folder / "a.txt").unlink()
    git(target, folder, "lfs", "install", "--local")
    git(target, folder, "add", "--all")
    git(target, folder, "commit", "--quiet", "-m", "By git 推送")
    git(target, folder, "push", "--quiet", "origin", "HEAD:main")
    expect("The files", paths(target, repo), {"新.txt", "w.safetensors"})
    head = git(target, folder, "rev-parse", "HEAD").strip()
    expect("The commit", target.api.model_info(repo).sha, head)
    expect("The title", target.api.list_repo_commits(repo)[0].title, "By git 推送")
    expect_that(target.content(repo, "w.safetensors") == large, "the bytes of the large file")
    (entry,) = target.api.get_paths_info(repo, "w.safetensors")
    expect_that(getattr(entry, "lfs", None), "an entry with `lfs`", entry)


def a_commit_is_pulled(target: Target) -> None:
    """What the API commits is pulled; a push beside it is refused until it was."""
    repo = target.repository({"a.txt": b"1"})
    folder = cloned(target, repo)
    target.api.upload_file(path_or_fileobj=b"2", path_in_repo="b.txt", repo_id=repo)
    (folder / "c.txt").write_text("3")
    git(target, folder, "add", "--all")
    git(target, folder, "commit", "--quiet", "-m", "Beside")
    git(target, folder, "push", "--quiet", "origin", "HEAD:main", fails=True)
    git(target, folder, "pull", "--quiet", "--rebase", "origin", "main")
    git(target, folder, "push", "--quiet", "origin", "HEAD:main")
    expect("The files", paths(target, repo), {"a.txt", "b.txt", "c.txt"})


def refs_are_pushed(target: Target) -> None:
    """Branches with slashes and tags are pushed, listed and deleted."""
    repo = target.repository({"a.txt": b"1"})
    folder = cloned(target, repo)
    git(target, folder, "push", "--quiet", "origin", "HEAD:refs/heads/feature/x", "HEAD:refs/tags/v1")
    refs = target.api.list_repo_refs(repo)
    expect("The branches", {branch.name for branch in refs.branches}, {"main", "feature/x"})
    expect("The tags", [tag.name for tag in refs.tags], ["v1"])
    git(target, folder, "push", "--quiet", "origin", ":refs/heads/feature/x")
    expect("The branches", [branch.name for branch in target.api.list_repo_refs(repo).branches], ["main"])


def git_asks_who_it_is(target: Target) -> None:
    """Nobody clones a private repository or pushes to a public one without a token."""
    private, public = target.repository({"a.txt": b"1"}, private=True), target.repository({"a.txt": b"1"})
    cloned(target, private)
    nowhere = str(target.folder / "nowhere")
    git(target, target.folder, "clone", address(target, private, token=None), nowhere, fails=True)
    folder = cloned(target, public)
    git(target, folder, "commit", "--quiet", "--allow-empty", "-m", "Empty")
    git(target, folder, "push", address(target, public, token=None), "HEAD:main", fails=True)
    if target.other_token:
        git(
            target, folder, "push", address(target, public, token=target.other_token), "HEAD:main", fails=True
        )


CASES = (
    Case(a_clone_has_the_same_files, required=False),
    Case(a_push_appears, required=False),
    Case(a_commit_is_pulled, required=False),
    Case(refs_are_pushed, required=False),
    Case(git_asks_who_it_is, required=False),
)
