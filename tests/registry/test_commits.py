from __future__ import annotations

import hashlib
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from modelcenter.errors import (
    AccessDenied,
    Conflict,
    EntryNotFound,
    Invalid,
    NotAuthenticated,
    RepositoryNotFound,
    RevisionNotFound,
)
from modelcenter.registry import objects, repositories
from modelcenter.registry.access import ANONYMOUS
from modelcenter.registry.blobs.interface import Blob
from modelcenter.registry.repositories import AddFile, AddLfs, Delete, DeleteFolder
from modelcenter.registry.tables import Activity, Commit, GitObject, Job
from tests.registry.test_objects import CLEAN
from tests.support.registry import commit, person, upload


@pytest.fixture
def ann(hub):
    ann = person(hub, "ann")
    repositories.create(hub, ann, "ann/m")
    return ann


def contents(hub, revision="main", repo_id="ann/m") -> dict[str, bytes]:
    """All files of a revision but `.gitattributes`."""
    with hub.database.session() as session:
        repository = repositories.get(session, ANONYMOUS, repo_id)
        head = repositories.resolve(session, repository, revision)
    files = repositories.RevisionFiles(hub, repository, head)
    return {name: files.read(name) for name in files.names() if name != ".gitattributes"}


def titles(hub, revision="main") -> list[str]:
    with hub.database.session() as session:
        repository = repositories.get(session, ANONYMOUS, "ann/m")
        page, total = repositories.log(
            session, repositories.resolve(session, repository, revision), limit=1000
        )
        assert total == len(page)
        return [row.title for row in page]


def apply(hub, actor, *operations, revision="main", title="Change", expected_head=None):
    return repositories.commit(
        hub, actor, "ann/m", revision, operations, title=title, expected_head=expected_head
    )


def test_adds_changes_and_deletes(hub, ann):
    commit(
        hub, ann, "ann/m", {"a.txt": b"1", "sub/b.txt": b"2", "sub/deep/c.txt": b"3", "模型/说明.md": b"4"}
    )
    apply(hub, ann, AddFile("a.txt", b"new"), Delete("sub/b.txt"), AddFile("d", b""))
    assert contents(hub) == {"a.txt": b"new", "sub/deep/c.txt": b"3", "模型/说明.md": b"4", "d": b""}
    apply(hub, ann, DeleteFolder("sub/"), Delete("模型"))
    assert contents(hub) == {"a.txt": b"new", "d": b""}
    assert titles(hub) == ["Change", "Change", "Add files", "initial commit"]


def test_the_whole_history_is_what_git_reads(hub, ann, tmp_path):
    """Every object written into a real repository: git finds all of it sound, and the same files."""
    commit(hub, ann, "ann/m", {"a.b": b"1", "a/b": b"2"}, large={"w/model.bin": b"large"})
    head = apply(hub, ann, AddFile("a-/c", b"3"), Delete("a.b"), title="标题").oid
    run = lambda *arguments, data=b"": subprocess.run(  # noqa: E731
        ["git", *arguments], cwd=tmp_path, env=CLEAN, input=data, capture_output=True, check=True
    ).stdout.decode()
    run("init", "-q")
    with hub.database.session() as session:
        for stored in session.scalars(select(GitObject)):
            assert (
                run("hash-object", "-w", "-t", stored.kind, "--stdin", data=stored.data).strip() == stored.oid
            )
    with hub.database.session() as session:
        repository = repositories.get(session, ANONYMOUS, "ann/m")
        page, _ = repositories.log(session, repositories.resolve(session, repository))
        for row in page:
            for entry in repositories.tree(session, repository, row, recursive=True):
                if entry.kind == "file":
                    assert entry.sha256 is not None
                    with hub.blobs.open(entry.sha256) as file:
                        data = objects.pointer(entry.sha256, entry.size) if entry.is_lfs else file.read()
                    assert run("hash-object", "-w", "--stdin", data=data).strip() == entry.oid
    run("update-ref", "refs/heads/main", head)
    run("fsck", "--strict", "--full")
    assert run("log", "--format=%s|%an", "main") == "标题|ann\nAdd files|ann\ninitial commit|ann\n"
    assert run("ls-tree", "-r", "--name-only", "main").split() == [
        ".gitattributes",
        "a-/c",
        "a/b",
        "w/model.bin",
    ]


def test_large_files_are_read_through_their_pointers(hub, ann):
    data = b"weights" * 1000
    result = commit(hub, ann, "ann/m", {}, large={"model.safetensors": data})
    assert contents(hub) == {"model.safetensors": data}
    with hub.database.session() as session:
        repository = repositories.get(session, ANONYMOUS, "ann/m")
        entry = repositories.entry(
            session, repository, repositories.resolve(session, repository, result.oid), "model.safetensors"
        )
    sha256 = hashlib.sha256(data).hexdigest()
    assert (entry.sha256, entry.size, entry.is_lfs, entry.etag) == (sha256, 7000, True, sha256)
    assert entry.oid == objects.file_oid(objects.pointer(sha256, 7000))
    assert entry.pointer_size == len(objects.pointer(sha256, 7000))


def test_a_large_file_that_was_not_uploaded_is_refused(hub, ann):
    with pytest.raises(Invalid, match="has not been uploaded here"):
        apply(hub, ann, AddLfs("model.bin", "0" * 64, 5))
    with pytest.raises(Invalid, match="no SHA-256"):
        apply(hub, ann, AddLfs("model.bin", "../../etc/passwd", 5))
    blob = upload(hub, ann, "ann/m", b"12345")
    with pytest.raises(Invalid, match="has not been uploaded here"):
        apply(hub, ann, AddLfs("model.bin", blob.sha256, 6))
    assert titles(hub) == ["initial commit"]


def test_a_large_file_is_copied_without_its_size(hub, ann):
    commit(hub, ann, "ann/m", {}, large={"model.bin": b"12345"})
    apply(hub, ann, AddLfs("copy.bin", hashlib.sha256(b"12345").hexdigest()))
    assert contents(hub) == {"model.bin": b"12345", "copy.bin": b"12345"}


def test_knowing_the_hash_of_a_private_file_gives_nothing(hub, ann):
    """Neither as a large file, nor by sending its pointer as a regular file."""
    repositories.create(hub, ann, "ann/secret", private=True)
    commit(hub, ann, "ann/secret", {}, large={"model.bin": b"secret weights"})
    bob = person(hub, "bob")
    repositories.create(hub, bob, "bob/m")
    sha256 = hashlib.sha256(b"secret weights").hexdigest()
    with pytest.raises(Invalid, match="has not been uploaded here"):
        repositories.commit(hub, bob, "bob/m", "main", [AddLfs("model.bin", sha256, 14)], title="t")
    pointer = objects.pointer(sha256, 14)
    with pytest.raises(Invalid, match="has not been uploaded here"):
        repositories.commit(hub, bob, "bob/m", "main", [AddFile("model.bin", pointer)], title="t")
    repositories.commit(hub, bob, "bob/m", "main", [AddFile("model.txt", pointer)], title="t")
    assert contents(hub, repo_id="bob/m") == {"model.txt": pointer}
    with hub.database.session() as session:
        repository = repositories.get(session, bob, "bob/m")
        entry = repositories.entry(
            session, repository, repositories.resolve(session, repository), "model.txt"
        )
        assert not entry.is_lfs
    commit(hub, bob, "bob/m", {"other": b""}, large={"model.bin": b"secret weights"})  # now bob has sent them
    assert contents(hub, repo_id="bob/m")["model.bin"] == b"secret weights"


def test_a_pointer_sent_as_a_regular_file_is_the_large_file_where_that_is_known(hub, ann):
    """As a push from Git would: the tree cannot tell the two apart, so neither does the hub."""
    blob = upload(hub, ann, "ann/m", b"weights")
    pointer = objects.pointer(blob.sha256, blob.size)
    apply(hub, ann, AddFile("early", pointer))
    assert contents(hub) == {"early": pointer}
    apply(hub, ann, AddFile("before", pointer), AddLfs("m.bin", blob.sha256), AddFile("after", pointer))
    assert contents(hub) == dict.fromkeys(("early", "before", "m.bin", "after"), b"weights")
    apply(hub, ann, AddFile("later", pointer))
    assert contents(hub)["later"] == b"weights"


@pytest.mark.parametrize("stored", [False, True])
def test_a_pointer_where_large_files_are_is_one_or_is_refused(hub, ann, stored):
    """As git-lfs takes it: a clone would look for the content, and fail where there is none."""

    def text(content: bytes) -> bytes | Blob:
        pointer = objects.pointer(hashlib.sha256(content).hexdigest(), len(content))
        return hub.blobs.put([pointer]) if stored else pointer

    attributes = AddFile(".gitattributes", b"*.q filter=lfs diff=lfs merge=lfs -text")
    with pytest.raises(Invalid, match=r"a\.q names the large file .* not been uploaded"):
        apply(hub, ann, AddFile("a.q", text(b"weights")), attributes)
    with pytest.raises(Invalid, match=r"a\.bin names the large file"):
        apply(hub, ann, AddFile("a.bin", text(b"weights")))
    apply(hub, ann, AddFile("a.bin", text(b"weights")), Delete("a.bin"))
    upload(hub, ann, "ann/m", b"weights")
    wrong = objects.pointer(hashlib.sha256(b"weights").hexdigest(), 8)
    with pytest.raises(Invalid, match=r"a\.bin names the large file"):
        apply(hub, ann, AddFile("a.bin", wrong))
    apply(hub, ann, AddFile("a.bin", text(b"weights")))
    apply(hub, ann, AddFile("b.bin", text(b"weights")))
    assert contents(hub) == {"a.bin": b"weights", "b.bin": b"weights"}


def test_many_large_files_in_one_commit(hub, ann):
    names = {f"part-{number}.{'xyz' if number % 2 else 'bin'}": str(number).encode() for number in range(60)}
    commit(hub, ann, "ann/m", {}, large=names)
    assert contents(hub) == names
    assert attributes(hub).count("/part-") == 30


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("model.safetensors", None),
        ("weights.xyz", "/weights.xyz"),
        ("sub dir/权重 [1].xyz", '"/sub dir/权重 \\\\[1].xyz"'),
    ],
)
def test_gitattributes_grows_where_no_pattern_matches_a_large_file(hub, ann, path, line):
    before = attributes(hub)
    commit(hub, ann, "ann/m", {}, large={path: b"large"})
    added = attributes(hub).removeprefix(before)
    assert added == ("" if line is None else f"{line} filter=lfs diff=lfs merge=lfs -text\n")
    commit(hub, ann, "ann/m", {}, large={path: b"changed"})
    assert attributes(hub) == before + added


def attributes(hub) -> str:
    with hub.database.session() as session:
        repository = repositories.get(session, ANONYMOUS, "ann/m")
        head = repositories.resolve(session, repository)
    return repositories.RevisionFiles(hub, repository, head).read(".gitattributes").decode()


def test_gitattributes_of_the_same_commit_count(hub, ann):
    blob = upload(hub, ann, "ann/m", b"large")
    text = b"*.xyz filter=lfs diff=lfs merge=lfs -text"
    apply(
        hub, ann, AddLfs("a.xyz", blob.sha256), AddLfs("a.bin", blob.sha256), AddFile(".gitattributes", text)
    )
    assert attributes(hub).splitlines()[0] == text.decode()
    assert attributes(hub).splitlines()[1].startswith("/a.bin filter=lfs")
    apply(hub, ann, AddLfs("b.xyz", blob.sha256), Delete(".gitattributes"))
    assert attributes(hub).startswith("/b.xyz filter=lfs")
    with pytest.raises(Invalid, match="cannot be one itself"):
        apply(hub, ann, AddLfs(".gitattributes", blob.sha256))


def test_a_commit_that_changes_nothing_answers_the_head(hub, ann):
    first = commit(hub, ann, "ann/m", {"a": b"1"}, large={"m.xyz": b"large"})
    again = commit(hub, ann, "ann/m", {"a": b"1"}, large={"m.xyz": b"large"})
    assert (again.oid, again.changed, first.changed) == (first.oid, False, True)
    assert apply(hub, ann, AddFile("b", b""), Delete("b")).oid == first.oid
    assert apply(hub, ann).oid == first.oid
    assert len(titles(hub)) == 2


def test_commit_refuses_a_stale_parent(hub, ann):
    first = commit(hub, ann, "ann/m", {"a": b"1"})
    second = apply(hub, ann, AddFile("b", b"2"), expected_head=first.oid)
    third = apply(hub, ann, AddFile("c", b"3"), expected_head=second.oid[:7])
    for stale in (first.oid, second.oid[:9], "0" * 40, "", third.oid[:6]):
        with pytest.raises(Conflict, match="Please refresh and try again"):
            apply(hub, ann, AddFile("d", b"4"), expected_head=stale)
    assert contents(hub) == {"a": b"1", "b": b"2", "c": b"3"}


def test_who_missed_the_answer_may_send_the_commit_again(hub, ann):
    first = commit(hub, ann, "ann/m", {"a": b"1"})
    second = apply(hub, ann, AddFile("b", b"2"), expected_head=first.oid)
    assert apply(hub, ann, AddFile("b", b"2"), expected_head=first.oid).oid == second.oid
    apply(hub, ann, AddFile("c", b"3"))
    with pytest.raises(Conflict):
        apply(hub, ann, AddFile("b", b"2"), expected_head=first.oid)


def test_a_stale_parent_is_told_before_what_the_operations_lack(hub, ann):
    first = commit(hub, ann, "ann/m", {"a": b"1", "b": b"1"})
    second = apply(hub, ann, Delete("a"), AddFile("b", b"2"), expected_head=first.oid)
    lacking = (Delete("a"), DeleteFolder("c"), AddFile("b/c", b""), AddLfs("m.bin", "0" * 64, 5))
    for expected in ("0" * 40, first.oid):
        for operation in lacking[:3]:
            with pytest.raises(Conflict):
                apply(hub, ann, operation, expected_head=expected)
    with pytest.raises(Conflict):
        apply(hub, ann, lacking[3], expected_head="0" * 40)
    with pytest.raises(EntryNotFound):
        apply(hub, ann, Delete("a"), expected_head=second.oid)
    # Who missed the answer sends it again: it is done, though what it takes away is gone.
    assert apply(hub, ann, Delete("a"), AddFile("b", b"2"), expected_head=first.oid).oid == second.oid


@pytest.mark.parametrize(
    "operation", [Delete("nothing"), Delete("a/b"), DeleteFolder("nothing"), DeleteFolder("a")]
)
def test_what_is_not_there_cannot_be_deleted(hub, ann, operation):
    commit(hub, ann, "ann/m", {"a": b"1"})
    with pytest.raises(EntryNotFound):
        apply(hub, ann, AddFile("b", b"2"), operation)
    assert contents(hub) == {"a": b"1"}


def test_a_file_cannot_lie_in_a_file_nor_in_place_of_a_folder(hub, ann):
    commit(hub, ann, "ann/m", {"file": b"1", "folder/x": b"2"})
    with pytest.raises(Invalid, match="file/x cannot be added: file is a file"):
        apply(hub, ann, AddFile("file/x", b""))
    with pytest.raises(Invalid, match="folder cannot be added as a file"):
        apply(hub, ann, AddFile("folder", b""))
    with pytest.raises(Invalid):
        apply(hub, ann, AddFile("new", b""), AddFile("new/x", b""))
    apply(hub, ann, Delete("file"), AddFile("file/x", b"3"), DeleteFolder("folder"), AddFile("folder", b"4"))
    assert contents(hub) == {"file/x": b"3", "folder": b"4"}


@pytest.mark.parametrize("path", ["../x", "/x", "a//b", ".git/config", "a/../b", "", "a\0", "x/"])
def test_paths_are_checked_before_anything_is_stored(hub, ann, path):
    before = set(hub.blobs)
    for operation in (AddFile(path, b"new"), AddLfs(path, "0" * 64), Delete(path), DeleteFolder(f"{path}/")):
        with pytest.raises(Invalid):
            apply(hub, ann, AddFile("fine", b"also new"), operation)
    assert set(hub.blobs) == before


@pytest.mark.parametrize(("title", "message", "expected"), [
    ("One", "", ("One", "")),
    ("One\nTwo\n", "Three", ("One", "Two\n\nThree")),
    ("  spaced\x00  ", "a\ud800b", ("spaced\ufffd", "a\ufffdb")),
    ("标题", "正文", ("标题", "正文")),
])  # fmt: skip
def test_titles_are_one_line(hub, ann, title, message, expected):
    oid = repositories.commit(
        hub, ann, "ann/m", "main", [AddFile("a", b"")], title=title, message=message
    ).oid
    with hub.database.session() as session:
        row = session.scalars(select(Commit).where(Commit.oid == oid)).one()
        assert (row.title, row.message) == expected


@pytest.mark.parametrize("title", ["", " \n"])
def test_a_commit_needs_a_title(hub, ann, title):
    with pytest.raises(Invalid, match="title"):
        apply(hub, ann, AddFile("a", b""), title=title)


def test_commits_go_to_branches_and_nowhere_else(hub, ann):
    head = commit(hub, ann, "ann/m", {"a": b"1"}).oid
    with hub.database.transaction() as session:
        repositories.create_branch(session, ann, "ann/m", "dev/x")
        repositories.create_tag(session, ann, "ann/m", "v1")
    apply(hub, ann, AddFile("b", b"2"), revision="dev/x")
    apply(hub, ann, AddFile("c", b"3"), revision="refs/heads/dev/x")
    assert contents(hub, "dev/x") == {"a": b"1", "b": b"2", "c": b"3"}
    assert contents(hub) == {"a": b"1"}
    for revision in ("v1", head, "nowhere", "refs/tags/v1", "refs/pr/1"):
        with pytest.raises(RevisionNotFound):
            apply(hub, ann, AddFile("d", b""), revision=revision)


def test_rights_are_asked_before_anything_is_stored(hub, ann):
    repositories.create(hub, ann, "ann/secret", private=True)
    before = set(hub.blobs)
    bob = person(hub, "bob")
    add = [AddFile("a", b"intruder")]
    with pytest.raises(NotAuthenticated):
        repositories.commit(hub, ANONYMOUS, "ann/m", "main", add, title="t")
    with pytest.raises(AccessDenied):
        repositories.commit(hub, bob, "ann/m", "main", add, title="t")
    with pytest.raises(RepositoryNotFound):
        repositories.commit(hub, bob, "ann/secret", "main", add, title="t")
    assert set(hub.blobs) == before


def test_what_follows_is_queued_with_the_commit(hub, ann):
    head = commit(hub, ann, "ann/m", {"a": b"1"}).oid
    with hub.database.session() as session:
        payloads = [job.payload for job in session.scalars(select(Job).order_by(Job.id))]
        assert payloads[-1]["commit"] == head
        assert payloads[-1]["ref"] == "refs/heads/main"
        last = session.scalars(select(Activity).order_by(Activity.id.desc())).first()
        assert last is not None
        assert (last.actor, last.verb, last.subject, last.data["oid"]) == ("ann", "commit", "ann/m", head)


def test_a_commit_that_fails_leaves_no_rows(hub, ann):
    def rows() -> list[int]:
        with hub.database.session() as session:
            return [
                session.scalar(select(func.count()).select_from(table)) or 0
                for table in (Commit, GitObject, Job, Activity)
            ]

    before = rows()
    with pytest.raises(EntryNotFound):
        apply(hub, ann, AddFile("a/b/c", b"1"), Delete("nothing"))
    assert rows() == before


def test_concurrent_commits_to_one_branch_all_land(hub, ann):
    """16 writers, each three times, on overlapping folders: one history, every file of it there."""
    start = threading.Barrier(16)

    def write(number: int) -> list[str]:
        start.wait()
        return [
            apply(hub, ann, AddFile(f"shared/{number}-{turn}.txt", f"{number} {turn}".encode())).oid
            for turn in range(3)
        ]

    with ThreadPoolExecutor(16) as pool:
        oids = [oid for part in pool.map(write, range(16)) for oid in part]
    assert len(set(oids)) == 48
    expected = {f"shared/{n}-{t}.txt": f"{n} {t}".encode() for n in range(16) for t in range(3)}
    assert contents(hub) == expected
    assert len(titles(hub)) == 49
    with hub.database.session() as session:
        generations = session.scalars(select(Commit.generation).order_by(Commit.generation)).all()
        assert generations == list(range(1, 50))


def test_of_writers_with_the_same_parent_one_wins(hub, ann):
    head = commit(hub, ann, "ann/m", {"a": b"1"}).oid
    start = threading.Barrier(8)

    def write(number: int) -> bool:
        start.wait()
        try:
            apply(hub, ann, AddFile("b", str(number).encode()), expected_head=head)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(write, range(8))) == 1
    assert len(titles(hub)) == 3


def test_concurrent_commits_to_many_branches_and_repositories(hub, ann):
    """They share trees and files: none waits for another for ever, and none fails."""
    with hub.database.transaction() as session:
        for number in range(6):
            repositories.create_branch(session, ann, "ann/m", f"b{number}")
    start = threading.Barrier(6)

    def write(number: int) -> None:
        start.wait()
        for turn in range(3):
            files = {f"{name}/{turn}": name.encode() for name in "abcdef"}
            commit(hub, ann, "ann/m", files, large={f"{turn}.bin": b"x"}, revision=f"b{number}")

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(6)))
    found = [contents(hub, f"b{number}") for number in range(6)]
    assert all(files == found[0] for files in found)
    assert len(found[0]) == 21
