"""The programs `git` and `git-lfs` themselves, against a running hub."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import os
import random
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Flask
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import BadRequestError
from werkzeug.serving import make_server

from hub_web.app import create_app
from modelcenter.registry import repositories
from modelcenter.registry.objects import pointer
from tests.support.registry import commit, person
from tests.support.server import clean_environment

numbers = itertools.count()
PEOPLE = {
    "GIT_AUTHOR_NAME": "小明",
    "GIT_AUTHOR_EMAIL": "ming@example.org",
    "GIT_COMMITTER_NAME": "Ann",
    "GIT_COMMITTER_EMAIL": "ann@example.org",
}


class Git:
    """git with a home of its own, which asks nobody for a password."""

    def __init__(self, home: Path) -> None:
        self.environment = {
            **clean_environment(),
            **PEOPLE,
            "HOME": str(home),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }
        self.run(home, "lfs", "install", "--skip-repo")
        self.run(home, "config", "--global", "init.defaultBranch", "main")

    def run(self, folder: Path, *arguments: str, fails: bool = False, stdin: str = "") -> str:
        """What git says, on both channels."""
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env=self.environment,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert (done.returncode != 0) == fails, done.stdout
        return done.stdout

    def commit(self, folder: Path, files: dict[str, bytes], title: str = "Change") -> str:
        """Writes the files and commits all there is; the commit's id."""
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        self.run(folder, "add", "--all")
        self.run(folder, "commit", "--quiet", "--message", title)
        return self.head(folder)

    def head(self, folder: Path) -> str:
        """The id of the commit that is checked out."""
        return self.run(folder, "rev-parse", "HEAD").strip()


@pytest.fixture
def git(tmp_path) -> Git:
    home = tmp_path / "home"
    home.mkdir()
    return Git(home)


@pytest.fixture
def api(server) -> HfApi:
    return HfApi(endpoint=server.url, token=server.token)


@pytest.fixture
def repo(api) -> str:
    repo_id = f"alice/git-{next(numbers)}-{os.getpid()}"
    api.create_repo(repo_id)
    return repo_id


def address(server, repo: str, token: str | None = None, name: str = "alice") -> str:
    """Where git finds the repository, as somebody or nobody."""
    return f"{server.url}/{repo}.git".replace("//", f"//{name}:{token}@", 1 if token else 0)


def cloned(git: Git, server, repo: str, folder: Path, *options: str) -> Path:
    """A clone by alice."""
    git.run(folder.parent, "clone", *options, address(server, repo, server.token), folder.name)
    return folder


def test_a_push_is_a_commit_of_the_api(git, server, api, repo, tmp_path):
    work = cloned(git, server, repo, tmp_path / "work")
    message = "加上说明\n\nMore words."
    oid = git.commit(work, {"模型/说明 一.txt": "你好".encode(), "config.json": b"{}"}, message)
    git.run(work, "push")
    newest, first = api.list_repo_commits(repo)
    assert (newest.commit_id, newest.title, newest.message) == (oid, "加上说明", "More words.")
    assert newest.authors == ["小明"]
    assert first.commit_id == git.run(work, "rev-parse", "HEAD^").strip()
    assert set(api.list_repo_files(repo)) == {".gitattributes", "config.json", "模型/说明 一.txt"}
    found = hf_hub_download(
        repo, "模型/说明 一.txt", endpoint=server.url, token=server.token, cache_dir=tmp_path / "cache"
    )
    assert Path(found).read_text() == "你好"
    assert api.get_paths_info(repo, "模型", expand=True)[0].last_commit.oid == oid


@pytest.mark.parametrize("version", [0, 2])
def test_commits_of_the_api_are_pulled(git, server, api, repo, tmp_path, version):
    speaking = ("-c", f"protocol.version={version}")
    work = tmp_path / "work"
    git.run(tmp_path, *speaking, "clone", f"{server.url}/{repo}", "work")  # anonymous, and without .git
    for number in range(3):
        made = api.upload_file(path_in_repo=f"深/{number}.txt", path_or_fileobj=b"%d" % number, repo_id=repo)
    api.create_branch(repo, branch="feature/x")
    api.create_tag(repo, tag="v1", tag_message="First")
    git.run(work, *speaking, "pull", "--tags")
    assert git.head(work) == made.oid
    assert (work / "深/2.txt").read_text() == "2"
    assert git.run(work, "branch", "--remotes").split()[-2:] == ["origin/feature/x", "origin/main"]
    assert git.run(work, "tag", "--list", "--format=%(contents:subject)").strip() == "First"
    assert git.run(work, "fsck", "--strict") == ""
    assert git.run(work, *speaking, "fetch") == ""


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_clone_counts_as_one_download_and_a_fetch_as_none(git, hub, tmp_path):
    ann = person(hub, "ann")
    repositories.create(hub, ann, "ann/m")
    commit(hub, ann, "ann/m", {"a.txt": b"one"})
    app = create_app(hub.settings)
    ledger = app.extensions["modelcenter_ledger"]

    def downloads() -> int:
        ledger.flush()
        with hub.database.session() as session:
            return repositories.get(session, ann, "ann/m").downloads

    with serving(app) as url:
        for number, options in enumerate(([], ["--depth", "1"]) * 2):
            speaking = ("-c", f"protocol.version={2 * (number < 2)}")
            git.run(tmp_path, *speaking, "clone", *options, f"{url}/ann/m", f"work{number}")
            assert downloads() == number + 1
            commit(hub, ann, "ann/m", {"a.txt": b"%d" % number})
            git.run(tmp_path / f"work{number}", *speaking, "pull")
            assert downloads() == number + 1
    ledger.stop()
    app.extensions["modelcenter"].database.close()


@contextmanager
def serving(app: Flask) -> Iterator[str]:
    """The address of an application of this process."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("version", [0, 2])
def test_a_shallow_clone_is_deepened(git, server, api, repo, tmp_path, version):
    for number in range(3):
        api.upload_file(path_in_repo=f"{number}.txt", path_or_fileobj=b"%d" % number, repo_id=repo)
        api.create_tag(repo, tag=f"v{number}")

    def depth() -> int:
        return int(git.run(work, "rev-list", "--count", "HEAD"))

    speaking = ("-c", f"protocol.version={version}")
    git.run(tmp_path, *speaking, "clone", "--depth", "1", address(server, repo, server.token), "work")
    work = tmp_path / "work"
    assert depth() == 1
    git.run(work, *speaking, "fetch", "--deepen", "1")
    assert depth() == 2
    git.environment["GIT_COMMITTER_DATE"] = "2040-01-01T00:00:00Z"
    oid = git.commit(work, {"new.txt": b"new"})
    git.run(work, "push")
    assert api.model_info(repo).sha == oid
    git.run(work, *speaking, "fetch", "--unshallow")
    assert depth() == 5
    git.run(work, *speaking, "fetch", "--no-tags", "--shallow-exclude=v0")
    assert depth() == 3
    git.run(work, *speaking, "fetch", "--no-tags", "--shallow-since=2039-01-01")
    assert depth() == 1


def test_branches_and_tags_come_move_and_go(git, server, api, repo, tmp_path):
    work = cloned(git, server, repo, tmp_path / "work")
    git.run(work, "switch", "--create", "feature/x")
    first = git.commit(work, {"a.txt": b"a"})
    git.run(work, "tag", "--annotate", "v1", "--message", "一")
    git.run(work, "push", "origin", "feature/x", "v1")
    refs = api.list_repo_refs(repo)
    assert {ref.name: ref.target_commit for ref in refs.branches}["feature/x"] == first
    assert [(ref.name, ref.target_commit) for ref in refs.tags] == [("v1", first)]
    git.run(work, "commit", "--amend", "--message", "Again")
    assert "rejected" in git.run(work, "push", "origin", "feature/x", fails=True)
    git.run(work, "push", "--force", "origin", "feature/x")
    assert api.model_info(repo, revision="feature/x").sha == git.head(work)
    assert api.model_info(repo, revision=first).sha == first  # the tag still leads to it
    git.run(work, "push", "origin", ":feature/x", ":v1")
    assert [ref.name for ref in api.list_repo_refs(repo).branches] == ["main"]
    assert not api.list_repo_refs(repo).tags


def test_large_files_travel_by_git_lfs(git, server, api, repo, tmp_path):
    api.update_repo_settings(repo, visibility="private")
    content = random.Random(1).randbytes(3_000_000)
    work = cloned(git, server, repo, tmp_path / "work")
    git.commit(work, {"model.safetensors": content})
    said = git.run(work, "push")
    assert "lock" not in said.lower()
    (entry,) = api.get_paths_info(repo, "model.safetensors")
    assert entry.lfs is not None and entry.size == len(content)
    again = cloned(git, server, repo, tmp_path / "again")
    assert (again / "model.safetensors").read_bytes() == content
    found = hf_hub_download(
        repo, "model.safetensors", endpoint=server.url, token=server.token, cache_dir=tmp_path / "cache"
    )
    assert Path(found).read_bytes() == content
    # The pointer alone gives nobody the content.
    git.environment["GIT_LFS_SKIP_SMUDGE"] = "1"
    theirs = f"bob/git-{next(numbers)}-{os.getpid()}"
    HfApi(endpoint=server.url, token=server.other_token).create_repo(theirs)
    git.run(
        again,
        "push",
        "--no-verify",
        "--force",
        address(server, theirs, server.other_token, "bob"),
        "main",
        fails=True,
    )
    answer = server.request(
        "POST",
        f"/{theirs}.git/info/lfs/objects/batch",
        server.other_token,
        json={"operation": "download", "objects": [{"oid": entry.lfs.sha256, "size": entry.size}]},
    )
    assert answer.json()["objects"][0]["error"]["code"] == 404
    oid = entry.lfs.sha256
    assert server.get(f"/{theirs}.git/info/lfs/objects/{oid}", server.other_token).status_code == 404
    part = server.get(f"/{repo}.git/info/lfs/objects/{oid}", server.token, headers={"Range": "bytes=5-9"})
    assert (part.status_code, part.content) == (206, content[5:10])


@pytest.mark.parametrize("version", [0, 2])
def test_a_fetch_of_what_is_not_here_is_refused_in_words(git, server, repo, tmp_path, version):
    work = cloned(git, server, repo, tmp_path / "work")
    said = git.run(work, "-c", f"protocol.version={version}", "fetch", "origin", "1" * 40, fails=True)
    assert f"not our ref {'1' * 40}" in said
    said = git.run(work, "-c", f"protocol.version={version}", "fetch", "--shallow-exclude=v9", fails=True)
    assert "has no branch or tag v9" in said


def test_a_push_of_too_many_refs_is_refused_in_words(git, server, repo, tmp_path):
    work = cloned(git, server, repo, tmp_path / "work")
    tags = "".join(f"create refs/tags/v{number} HEAD\n" for number in range(1001))
    git.run(work, "update-ref", "--stdin", stdin=tags)
    assert "more than 1000 refs" in git.run(work, "push", "--tags", fails=True)


def test_git_lfs_shows_the_hubs_sentences(git, server, repo, tmp_path):
    work = cloned(git, server, repo, tmp_path / "work")
    assert "This hub has no locks for files" in git.run(work, "lfs", "lock", "model.bin", fails=True)
    assert "lock" not in git.run(work, "lfs", "locks")
    git.commit(work, {"model.bin": b"large"})
    bobs = address(server, repo, server.other_token, "bob")
    assert "bob may not change" in git.run(work, "lfs", "push", bobs, "main", fails=True)
    for path, token, status in (("objects/batch", server.token, 400), ("objects/batch", "mc_nonsense", 401)):
        answer = server.request("POST", f"/{repo}.git/info/lfs/{path}", token, json={})
        assert answer.status_code == status
        assert answer.headers["Content-Type"] == "application/vnd.git-lfs+json"
        assert answer.json()["message"] == answer.json()["error"]
    answer = server.get(f"/{repo}.git/info/lfs/objects/{'0' * 64}")
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/vnd.git-lfs+json")


def test_a_pointer_that_the_api_took_as_text_hides_no_large_file(git, server, api, repo, tmp_path):
    content = random.Random(2).randbytes(5000)
    text = pointer(hashlib.sha256(content).hexdigest(), len(content))
    api.upload_file(path_in_repo="note.txt", path_or_fileobj=text, repo_id=repo)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.q").write_bytes(text)
    (folder / ".gitattributes").write_text("*.q filter=lfs diff=lfs merge=lfs -text\n")
    with pytest.raises(BadRequestError, match=r"a\.q names the large file"):
        api.upload_folder(repo_id=repo, folder_path=folder)
    work = cloned(git, server, repo, tmp_path / "work")
    git.commit(work, {"q.bin": content})
    git.run(work, "lfs", "push", "--all", "origin", "main")  # git-lfs may take the pointer for sent already
    git.run(work, "push")
    found = server.get(f"/{repo}/resolve/main/q.bin", server.token)
    assert (found.status_code, found.content) == (200, content)


def test_what_git_cannot_hold_is_refused_by_name(git, server, api, repo, tmp_path):
    work = cloned(git, server, repo, tmp_path / "work")
    head = git.head(work)
    for files, told in (
        ({"大/raw.dat": bytes(10_000_001)}, "git lfs migrate import"),
        ({"lost.bin": b"only here"}, "lost.bin is a pointer of Git LFS"),
        ({"a\\b.txt": b""}, "backslash"),
    ):
        git.commit(work, files)
        said = git.run(work, "push", "--no-verify", fails=True)
        assert "remote rejected" in said and told in said and next(iter(files))[:1] in said
        git.run(work, "reset", "--hard", head)
    git.run(work, "update-index", "--add", "--cacheinfo", f"160000,{head},sub")
    git.run(work, "commit", "--message", "Submodule")
    assert "sub is a submodule" in git.run(work, "push", fails=True)
    git.run(work, "reset", "--hard", head)
    (work / "link").symlink_to("config.json")
    (work / "run.sh").write_text("#!/bin/sh\n")
    (work / "run.sh").chmod(0o755)
    git.commit(work, {})
    git.run(work, "push")
    assert {"link", "run.sh"} <= set(api.list_repo_files(repo))
    api.upload_file(path_in_repo="more.txt", path_or_fileobj=b"more", repo_id=repo)
    again = cloned(git, server, repo, tmp_path / "again")
    assert (again / "more.txt").exists()
    assert (again / "link").is_symlink() and os.access(again / "run.sh", os.X_OK)


def test_a_file_stays_executable_when_the_api_replaces_its_content(git, server, api, repo, tmp_path):
    work = cloned(git, server, repo, tmp_path / "work")
    (work / "bin").mkdir()
    for name in ("run.sh", "bin/run", "bin/gone"):
        (work / name).write_text("#!/bin/sh\n")
        (work / name).chmod(0o755)
    (work / "link").symlink_to("run.sh")
    head = git.commit(work, {})
    git.run(work, "push")
    assert api.upload_file(path_in_repo="run.sh", path_or_fileobj=b"#!/bin/sh\n", repo_id=repo).oid == head
    api.delete_file("bin/gone", repo)
    for name in ("run.sh", "bin/run", "bin/gone", "link"):
        api.upload_file(path_in_repo=name, path_or_fileobj=b"#!/bin/bash\n", repo_id=repo)
    git.run(work, "pull")
    modes = git.run(work, "ls-tree", "-r", "--format=%(objectmode) %(path)", "HEAD").split("\n")
    executable = {"100755 run.sh", "100755 bin/run"}
    assert {"100644 bin/gone", "100644 link", *executable} <= set(modes)


def test_who_may_not_is_told_as_by_the_api(git, server, api, repo, tmp_path):
    work = cloned(git, server, repo, tmp_path / "work")
    git.commit(work, {"a.txt": b"a"})
    for token, name, told in (
        (None, "", "could not read Username"),
        ("mc_nonsense", "alice", "Authentication failed"),
        (server.read_token, "alice", "may only read"),
        (server.other_token, "bob", "bob may not change"),
    ):
        assert told in git.run(work, "push", address(server, repo, token, name), "main", fails=True)
    assert "default branch" in git.run(work, "push", "origin", ":main", fails=True)
    assert "cannot be pushed" in git.run(work, "push", "origin", "HEAD:refs/internal/x", fails=True)
    assert "not by a push" in git.run(work, "push", "origin", "HEAD:refs/pr/1", fails=True)
    api.update_repo_settings(repo, gated="manual")
    assert "could not read Username" in git.run(tmp_path, "ls-remote", address(server, repo), fails=True)
    bobs = address(server, repo, server.other_token, "bob")
    assert "restricted" in git.run(tmp_path, "ls-remote", bobs, fails=True)
    api.update_repo_settings(repo, visibility="private")
    assert "not found" in git.run(tmp_path, "ls-remote", bobs, fails=True)
    assert "could not read Username" in git.run(tmp_path, "ls-remote", address(server, repo), fails=True)
    assert "refs/heads/main" in git.run(tmp_path, "ls-remote", address(server, repo, server.read_token))
    challenge = server.get(f"/{repo}.git/info/refs?service=git-upload-pack").headers["WWW-Authenticate"]
    assert challenge.startswith("Basic")


def test_of_pushes_at_once_one_wins(git, server, api, repo, tmp_path):
    works = [cloned(git, server, repo, tmp_path / f"work{number}") for number in range(4)]
    oids = {git.commit(work, {f"{work.name}.txt": work.name.encode()}) for work in works}

    def push(work: Path) -> bool:
        done = subprocess.run(["git", "push"], cwd=work, env=git.environment, capture_output=True)
        return done.returncode == 0

    with ThreadPoolExecutor(4) as pool:
        won = list(pool.map(push, works))
    assert sum(won) == 1
    assert api.model_info(repo).sha == git.head(works[won.index(True)])
    assert len(api.list_repo_commits(repo)) == 2
    loser = works[won.index(False)]
    git.run(loser, "pull", "--rebase")
    git.run(loser, "push")
    assert not oids & {git.head(loser)}


def test_a_thousand_files_go_both_ways(git, server, api, repo, tmp_path):
    work = cloned(git, server, repo, tmp_path / "work")
    files = {f"{number % 7}/{number}.txt": b"%d" % number for number in range(1000)}
    git.commit(work, files)
    for number in range(5):
        git.commit(work, {"3/changing.txt": b"line\n" * 1000 + b"%d" % number})
    git.run(work, "push")
    again = cloned(git, server, repo, tmp_path / "again")
    assert git.head(again) == git.head(work)
    assert (again / "6/6.txt").read_bytes() == b"6"
    assert git.run(again, "fsck", "--strict") == ""
    assert len(api.list_repo_files(repo)) == 1002


@pytest.mark.parametrize("version", [0, 2])
def test_a_fetch_that_inflates_without_end_is_refused(server, repo, version):
    option = b"0ffe" + b"x" * 4090
    if version == 2:
        parts = [b"0012command=fetch\n", option * 20_000, b"0001", option * 20_000, b"0000"]
    else:
        parts = [b"0032want " + b"1" * 40 + b"\n", b"0000", (option * 50 + b"0000") * 800]
    body = gzip.compress(b"".join(parts), 1)
    before = server.peak_memory()
    headers = {"Content-Encoding": "gzip", "Git-Protocol": f"version={version}"}
    answer = server.request("POST", f"/{repo}/git-upload-pack", content=body, headers=headers)
    assert (answer.status_code, "larger than" in answer.text) == (413, True)
    assert server.peak_memory() - before < 50_000_000


def test_a_pull_request_is_pushed_by_its_author(git, server, api, repo, tmp_path):
    bob = HfApi(endpoint=server.url, token=server.other_token)
    request = bob.create_pull_request(repo, title="Better", description="")
    bobs = address(server, repo, server.other_token, "bob")
    git.run(tmp_path, "clone", bobs, "work")
    work = tmp_path / "work"
    git.run(work, "fetch", "origin", f"refs/pr/{request.num}:proposal")
    git.run(work, "switch", "proposal")
    oid = git.commit(work, {"better.txt": b"better"})
    assert "bob may not change" in git.run(work, "push", "origin", "proposal:main", fails=True)
    git.run(work, "push", "origin", f"proposal:refs/pr/{request.num}")
    assert api.model_info(repo, revision=f"refs/pr/{request.num}").sha == oid
    assert oid in [
        getattr(event, "oid", None) for event in api.get_discussion_details(repo, request.num).events
    ]
