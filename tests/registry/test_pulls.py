"""Pull requests: opened by whoever may read, committed to by their authors, merged by those who may write."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from modelcenter.errors import (
    AccessDenied,
    Conflict,
    Gated,
    Invalid,
    MergeConflict,
    ModelCenterError,
    NotAuthenticated,
    RepositoryNotFound,
    RevisionNotFound,
)
from modelcenter.registry import discussions, merging, patches, pulls, repositories
from modelcenter.registry.access import ANONYMOUS
from modelcenter.registry.repositories import AddFile, AddLfs, Delete, Operation
from modelcenter.registry.tables import Activity, Commit, Discussion, DiscussionEvent, Ref, Repository, now
from tests.registry.test_objects import CLEAN
from tests.support.registry import commit, person, upload

FILES = {"a": b"1\n", "b": b"2\n", "folder/x": b"3\n", "folder/y": b"4\n", "gone/z": b"5\n"}


@pytest.fixture
def ann(hub):
    ann = person(hub, "ann")
    repositories.create(hub, ann, "ann/m")
    commit(hub, ann, "ann/m", FILES)
    return ann


@pytest.fixture
def bob(hub):
    return person(hub, "bob")


def propose(hub, actor, *operations: Operation, title="Propose", revision="main", parent=None, message=""):
    return repositories.commit(
        hub,
        actor,
        "ann/m",
        revision,
        operations,
        title=title,
        message=message,
        expected_head=parent,
        proposes=True,
    )


def contents(hub, revision="main") -> dict[str, bytes]:
    with hub.database.session() as session:
        repository = repositories.get(session, ANONYMOUS, "ann/m")
        files = repositories.RevisionFiles(
            hub, repository, repositories.resolve(session, repository, revision)
        )
    return {name: files.read(name) for name in files.names() if name != ".gitattributes"}


def log(hub, revision="main") -> list[Commit]:
    with hub.database.session() as session:
        repository = repositories.get(session, ANONYMOUS, "ann/m")
        return repositories.log(session, repositories.resolve(session, repository, revision))[0]


def merge(hub, actor, num, words="") -> Discussion:
    with hub.database.transaction() as session:
        return merging.merge(hub, session, actor, "ann/m", num, words)


def state(hub, num) -> tuple[str, Sequence[str], Sequence[str]]:
    """Its status, the kinds of its events and its conflicts."""
    with hub.database.session() as session:
        repository = repositories.get(session, ANONYMOUS, "ann/m")
        found = discussions.find(session, repository, num)
        at = merging.standing(session, repository, found)
        kinds = [event.kind for event in discussions.events(session, found)]
        return found.status, kinds, merging.conflicts(hub, session, repository, at) if at else ()


def test_a_reader_proposes_and_a_writer_merges(hub, ann, bob):
    before = log(hub)[0].oid
    first = propose(hub, bob, AddFile("new", b"n"), Delete("a"), title="Better", message="Because.")
    assert (first.request, first.ref) == (1, "refs/pr/1")
    assert log(hub)[0].oid == before
    repositories.commit(hub, bob, "ann/m", "refs/pr/1", [AddFile("b", b"two")], title="More")
    commit(hub, ann, "ann/m", {"folder/x": b"of ann"})
    assert state(hub, 1) == ("open", ["comment", "commit", "commit"], ())
    merged = merge(hub, ann, 1, "Thanks")
    assert contents(hub) == {
        **{name: content for name, content in FILES.items() if name != "a"},
        "new": b"n",
        "b": b"two",
        "folder/x": b"of ann",
    }
    head, *_ = log(hub)
    assert (head.oid, head.title, head.author) == (merged.merge_oid, "Better (#1)", "ann")
    assert head.message.splitlines()[0] == f"- Better ({first.oid})"
    assert head.message.endswith("Co-authored-by: bob <bob@users.noreply.modelcenter>")
    kinds = ["comment", "commit", "commit", "comment", "status-change"]
    assert state(hub, 1)[:2] == ("merged", kinds)
    with hub.database.session() as session:
        verbs = list(session.scalars(select(Activity.verb).order_by(Activity.id.desc()).limit(2)))
    assert sorted(verbs) == ["commit", "discussion.merge"]


def test_a_draft_waits_for_commits_and_to_be_opened(hub, ann, bob):
    with hub.database.transaction() as session:
        draft = pulls.request(session, bob, "ann/m", "Idea", "Soon")
    assert (draft.num, draft.status, draft.base) == (1, "draft", "refs/heads/main")
    assert contents(hub, "refs/pr/1") == FILES
    with pytest.raises(Invalid, match="is a draft"):
        merge(hub, ann, 1)
    with hub.database.transaction() as session:
        discussions.set_status(session, bob, "ann/m", 1, "open")
    with pytest.raises(Invalid, match="changes nothing"):
        merge(hub, ann, 1)
    repositories.commit(hub, bob, "ann/m", "refs/pr/1", [AddFile("new", b"n")], title="New")
    assert merge(hub, ann, 1).status == "merged"
    with pytest.raises(Invalid, match="merged"):
        merge(hub, ann, 1)
    with pytest.raises(Invalid, match="merged already"):
        repositories.commit(hub, bob, "ann/m", "refs/pr/1", [AddFile("new", b"m")], title="Late")
    with pytest.raises(Invalid, match="merged already"), hub.database.transaction() as session:
        discussions.set_status(session, ann, "ann/m", 1, "closed")


@pytest.mark.parametrize("squashed", ["main", "refs/pr/1"])
def test_squashing_brings_no_deleted_file_back(hub, ann, bob, squashed):
    first = propose(hub, bob, AddFile("new", b"n"), Delete("b"))
    repositories.commit(hub, ann, "ann/m", "main", [AddFile("later", b"l"), Delete("a")], title="Later")
    with hub.database.transaction() as session:
        repositories.squash(session, ann, "ann/m", squashed, "All of it")
        repositories.squash(session, ann, "ann/m", squashed, "All of it, again")
    commit(hub, ann, "ann/m", {"last": b"e"})
    with hub.database.session() as session:
        repository = repositories.get(session, ANONYMOUS, "ann/m")
        at = merging.standing(session, repository, discussions.find(session, repository, 1))
        assert at is not None
        changed = merging.changes(session, repository, at, limit=100)
    assert [(each.kind, each.path) for each in changed] == [("removed", "b"), ("added", "new")]
    merge(hub, ann, 1)
    left = {name: content for name, content in FILES.items() if name not in ("a", "b")}
    assert contents(hub) == {**left, "later": b"l", "last": b"e", "new": b"n"}
    named = first.oid if squashed == "main" else log(hub, "refs/pr/1")[0].oid
    assert [line.split("(")[1] for line in log(hub)[0].message.splitlines() if line.startswith("-")] == [
        f"{named})"
    ]


def test_what_has_no_commit_in_common_is_not_merged(hub, ann, bob):
    propose(hub, bob, AddFile("new", b"n"))
    with hub.database.transaction() as session:
        head = repositories.squash(session, ann, "ann/m", "main", "All of it")
        head.replaces = None  # as a forced push of another history leaves it
    with pytest.raises(Invalid, match="#1 and main have no commit in common"):
        merge(hub, ann, 1)


def test_lines_that_both_sides_add_for_large_files_are_no_conflict(hub, ann, bob):
    attributes = b"*.bin filter=lfs diff=lfs merge=lfs -text"
    commit(hub, ann, "ann/m", {".gitattributes": attributes})
    blob = upload(hub, bob, "ann/m", b"weights of bob")
    propose(hub, bob, AddLfs("theirs.weights", blob.sha256, blob.size))
    commit(hub, ann, "ann/m", {}, large={"ours.weights": b"weights of ann"})
    assert state(hub, 1)[2] == ()
    merge(hub, ann, 1)
    with hub.database.session() as session:
        repository = repositories.get(session, ANONYMOUS, "ann/m")
        files = repositories.RevisionFiles(hub, repository, repositories.resolve(session, repository))
    lines = files.read(".gitattributes").splitlines()
    assert lines == [
        attributes,
        b"/ours.weights filter=lfs diff=lfs merge=lfs -text",
        b"/theirs.weights filter=lfs diff=lfs merge=lfs -text",
    ]
    assert files.read("theirs.weights") == b"weights of bob"


def test_other_changes_of_attributes_conflict(hub, ann, bob):
    commit(hub, ann, "ann/m", {".gitattributes": b"*.bin filter=lfs\n"})
    propose(hub, bob, AddFile(".gitattributes", b"*.txt text\n"))
    commit(hub, ann, "ann/m", {".gitattributes": b"*.bin filter=lfs\n*.x text\n"})
    assert state(hub, 1)[2] == (".gitattributes",)
    with pytest.raises(MergeConflict, match="gitattributes"):
        merge(hub, ann, 1)


@pytest.mark.parametrize(
    ("theirs", "ours", "conflicts"),
    [
        ([AddFile("a", b"x")], [AddFile("a", b"y")], ("a",)),
        ([AddFile("a", b"same")], [AddFile("a", b"same")], ()),
        ([Delete("a")], [AddFile("a", b"y")], ("a",)),
        ([Delete("a")], [Delete("a"), AddFile("c", b"c")], ()),
        ([AddFile("new", b"1")], [AddFile("new", b"2")], ("new",)),
        ([AddFile("folder/x", b"x")], [AddFile("folder/y", b"y")], ()),
        ([AddFile("folder/x", b"x")], [Delete("folder")], ("folder/x",)),
        ([Delete("folder"), AddFile("folder", b"now a file")], [AddFile("folder/x", b"y")], ("folder",)),
        ([Delete("gone")], [AddFile("folder/x", b"y")], ()),
        ([AddFile("deep/er/file", b"1")], [AddFile("deep", b"a file")], ("deep",)),
        ([AddFile("deep/er/file", b"1")], [AddFile("deep/er/other", b"2")], ()),
        ([Delete("a"), AddFile("a/inside", b"1")], [Delete("a")], ()),
    ],
)  # fmt: skip
def test_merging_is_what_git_makes_of_it(hub, ann, bob, tmp_path, theirs, ours, conflicts):
    """The same three trees merged by git with whole files: the same conflicts, the same result."""
    fork = log(hub)[0].oid
    propose(hub, bob, *theirs)
    head = repositories.commit(hub, ann, "ann/m", "main", ours, title="Ours").oid
    assert state(hub, 1)[2] == conflicts
    if conflicts:
        with pytest.raises(MergeConflict, match=f"#1 cannot be merged.*{conflicts[0]}"):
            merge(hub, ann, 1)
        assert (log(hub)[0].oid, state(hub, 1)[0]) == (head, "open")
        return
    sides = {
        name: {**contents(hub, oid)}
        for name, oid in [("base", fork), ("ours", head), ("theirs", "refs/pr/1")]
    }
    merge(hub, ann, 1)

    folder = tmp_path / "git"
    folder.mkdir()

    def git(*arguments: str) -> str:
        who = ("-c", "user.name=x", "-c", "user.email=x")
        command = ["git", *who, *arguments]
        return subprocess.run(
            command, cwd=folder, env=CLEAN, capture_output=True, check=True, text=True
        ).stdout

    git("init", "-q", "-b", "base")
    for name, files in sides.items():
        if name != "base":
            git("checkout", "-q", "-b", name, "base")
        git("rm", "-rq", "--ignore-unmatch", ".")
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        git("add", "-A")
        git("commit", "-q", "--allow-empty", "-m", name)
    git("checkout", "-q", "ours")
    git("merge", "-q", "-X", "no-renames", "theirs")
    listed = git("ls-files", "-z").split("\0")[:-1]
    assert contents(hub) == {path: (folder / path).read_bytes() for path in listed}


def test_what_is_on_the_branch_already_is_merged_without_a_commit(hub, ann, bob):
    propose(hub, bob, AddFile("a", b"new"))
    head = commit(hub, ann, "ann/m", {"a": b"new"}).oid
    assert merge(hub, ann, 1).merge_oid == head == log(hub)[0].oid


def test_who_may_commit_to_a_pull_request(hub, ann, bob):
    propose(hub, bob, AddFile("a", b"new"))
    eve = person(hub, "eve")
    for actor, reason in ((eve, AccessDenied), (ANONYMOUS, NotAuthenticated)):
        with pytest.raises(reason):
            repositories.commit(hub, actor, "ann/m", "refs/pr/1", [AddFile("c", b"c")], title="t")
        with pytest.raises(reason):
            merge(hub, actor, 1)
    with pytest.raises(AccessDenied):
        merge(hub, bob, 1)
    with pytest.raises(AccessDenied):
        repositories.commit(hub, bob, "ann/m", "main", [AddFile("c", b"c")], title="t")
    for actor in (ann, bob):
        repositories.commit(hub, actor, "ann/m", "refs/pr/1", [AddFile(actor.name, b"c")], title="t")
    with pytest.raises(NotAuthenticated):
        propose(hub, ANONYMOUS, AddFile("c", b"c"))
    with pytest.raises(AccessDenied, match="may only read"):
        propose(hub, person(hub, "reader", scope="read"), AddFile("c", b"c"))
    for closed, refusal in (({"gated": "auto"}, Gated), ({"private": True}, RepositoryNotFound)):
        with hub.database.transaction() as session:
            repositories.update(session, ann, "ann/m", **closed)
        for revision, proposes in (("main", True), ("refs/pr/1", False)):
            with pytest.raises(refusal):
                repositories.commit(
                    hub, bob, "ann/m", revision, [AddFile("c", b"d")], title="t", proposes=proposes
                )


def test_a_proposal_builds_on_a_branch_or_a_commit_of_it(hub, ann, bob):
    first = log(hub)[0].oid
    commit(hub, ann, "ann/m", {"later": b"1"})
    propose(hub, bob, AddFile("c", b"c"), parent=first[:10])
    assert contents(hub, "refs/pr/1") == {**FILES, "c": b"c"}
    with hub.database.transaction() as session:
        repositories.create_branch(session, ann, "ann/m", "dev")
    propose(hub, bob, AddFile("d", b"d"), revision="dev")
    merge(hub, ann, 2)
    assert contents(hub, "dev") == {**FILES, "later": b"1", "d": b"d"}
    for revision, reason in (
        ("missing", RevisionNotFound),
        (first, RevisionNotFound),
        ("refs/pr/1", Invalid),
    ):
        with pytest.raises(reason):
            propose(hub, bob, AddFile("e", b"e"), revision=revision)
    with pytest.raises(Invalid, match="would change nothing"):
        propose(hub, bob, AddFile("a", FILES["a"]))
    with hub.database.session() as session:
        assert session.query(Discussion).count() == 2


def test_a_large_file_is_proposed_by_whoever_sent_it(hub, ann, bob):
    blob = upload(hub, bob, "ann/m", b"weights")
    eve = person(hub, "eve")
    with pytest.raises(Invalid, match="has not been uploaded here"):
        propose(hub, eve, AddLfs("model.bin", blob.sha256, 7))
    propose(hub, bob, AddLfs("model.bin", blob.sha256, 7))
    assert contents(hub, "refs/pr/1")["model.bin"] == b"weights"
    propose(hub, eve, AddLfs("copy.bin", blob.sha256))  # what is committed here is hers to read, and to name
    merge(hub, ann, 1)
    merge(hub, ann, 2)
    assert contents(hub)["model.bin"] == contents(hub)["copy.bin"] == b"weights"


def test_numbers_are_given_once_and_each_proposal_lands(hub, ann, bob):
    def one(number: int) -> int:
        if number % 2:
            return propose(hub, bob, AddFile(f"file-{number}", b"x")).request or 0
        with hub.database.transaction() as session:
            return discussions.create(session, bob, "ann/m", f"Question {number}", "?").num

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(one, range(16))) == list(range(1, 17))


def test_several_merge_at_once_and_one_request_is_merged_once(hub, ann, bob):
    for number in range(4):
        propose(hub, bob, AddFile(f"file-{number}", b"x"))

    def one(number: int) -> str:
        try:
            return merge(hub, ann, number % 4 + 1).status
        except ModelCenterError as error:
            return type(error).__name__

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(one, range(8)))
    assert sorted(answers) == ["Invalid"] * 4 + ["merged"] * 4
    assert contents(hub) == {**FILES, **{f"file-{number}": b"x" for number in range(4)}}


def test_commits_and_merges_at_once_lose_nothing(hub, ann, bob):
    propose(hub, bob, AddFile("first", b"x"))

    def push(number: int) -> str:
        try:
            repositories.commit(hub, bob, "ann/m", "refs/pr/1", [AddFile(f"p{number}", b"x")], title="t")
            return f"p{number}"
        except (Invalid, Conflict):
            return ""

    with ThreadPoolExecutor(4) as pool:
        pushed = [pool.submit(push, number) for number in range(4)]
        pool.submit(merge, hub, ann, 1).result()
        landed = {name for future in pushed if (name := future.result())}
    assert set(contents(hub, "refs/pr/1")) == {*FILES, "first", *landed}


def test_a_patch_is_what_git_applies(hub, ann, bob, tmp_path):
    blob = upload(hub, bob, "ann/m", b"\0weights")
    propose(
        hub,
        bob,
        AddFile("a", b"one\rline\nno end"),
        AddFile("新/文件", "中文\n".encode()),
        Delete("gone"),
        AddLfs("folder/x", blob.sha256),
        AddFile("binary", b"\0\1"),
    )
    with hub.database.session() as session:
        repository = session.scalars(select(Repository)).one()
        at = merging.standing(session, repository, discussions.find(session, repository, 1))
        assert at is not None
        changed = merging.changes(session, repository, at, limit=100)
        few = merging.changes(session, repository, at, limit=1)
    text = patches.patch(hub.blobs, changed)
    assert [change.path for change in few] == [".gitattributes"]
    assert "Binary files /dev/null and b/binary differ\n" in text
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / ".gitattributes").write_bytes(
        repositories.RevisionFiles(hub, repository, log(hub)[0]).read(".gitattributes")
    )
    parts = [part for part in text.split("diff --git ")[1:] if "Binary" not in part]
    patch = "".join(f"diff --git {part}" for part in parts)
    subprocess.run(
        ["git", "apply", "-"], cwd=tmp_path, env=CLEAN, input=patch.encode(), check=True, capture_output=True
    )
    assert (tmp_path / "a").read_bytes() == b"one\rline\nno end"
    assert (tmp_path / "新/文件").read_text() == "中文\n"
    assert not (tmp_path / "gone/z").exists()
    assert "oid sha256:" in (tmp_path / "folder/x").read_text()


def test_a_frozen_branch_takes_nothing(hub, ann, bob):
    propose(hub, bob, AddFile("d", b"d"))
    with hub.database.transaction() as session:
        repository = repositories.get(session, ann, "ann/m")
        session.get_one(Ref, (repository.id, "refs/heads/main")).frozen_at = now()
    with pytest.raises(AccessDenied, match="refs/heads/main is frozen"):
        merge(hub, ann, 1)
    with pytest.raises(AccessDenied, match="is frozen"):
        commit(hub, ann, "ann/m", {"e": b"e"})
    assert state(hub, 1)[0] == "open"


def test_a_deleted_branch_leaves_the_request_readable(hub, ann, bob):
    with hub.database.transaction() as session:
        repositories.create_branch(session, ann, "ann/m", "dev")
    propose(hub, bob, AddFile("d", b"d"), revision="dev")
    with hub.database.transaction() as session:
        repositories.delete_branch(session, ann, "ann/m", "dev")
    assert state(hub, 1) == ("open", ["comment", "commit"], ())
    with pytest.raises(RevisionNotFound):
        merge(hub, ann, 1)


def test_a_deleted_repository_takes_its_discussions_along(hub, ann, bob):
    propose(hub, bob, AddFile("d", b"d"))
    with hub.database.transaction() as session:
        repositories.delete(session, ann, "ann/m")
    with hub.database.session() as session:
        assert session.query(Discussion).count() == session.query(DiscussionEvent).count() == 0
