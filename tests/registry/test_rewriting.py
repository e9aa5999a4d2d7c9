from __future__ import annotations

import hashlib

import pytest
from sqlalchemy import select

from modelcenter.errors import AccessDenied, RevisionNotFound
from modelcenter.registry import repositories
from modelcenter.registry.access import ANONYMOUS
from modelcenter.registry.tables import Commit, LargeFile
from tests.support.registry import commit, person


@pytest.fixture
def ann(hub):
    return person(hub, "ann")


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def titles(hub, repo_id, revision):
    with hub.database.session() as session:
        repository = repositories.get(session, ANONYMOUS, repo_id)
        page, _ = repositories.log(session, repositories.resolve(session, repository, revision))
        return [each.title for each in page]


def paths(hub, repo_id, revision="main"):
    with hub.database.session() as session:
        repository = repositories.get(session, ANONYMOUS, repo_id)
        at = repositories.resolve(session, repository, revision)
        return {entry.path for entry in repositories.tree(session, repository, at, recursive=True)}


def test_a_squashed_branch_has_one_commit_and_the_same_files(hub, ann):
    repositories.create(hub, ann, "ann/m")
    commit(hub, ann, "ann/m", {"a.txt": b"a"}, title="one")
    with hub.database.transaction() as session:
        repositories.create_branch(session, ann, "ann/m", "dev")
    before = commit(hub, ann, "ann/m", {"a.txt": b"b"}, large={"w.bin": b"w"}, title="two").oid
    with hub.database.transaction() as session:
        repositories.squash(session, ann, "ann/m", "main", "all of it\n\nand why")
    assert titles(hub, "ann/m", "main") == ["all of it"]
    assert titles(hub, "ann/m", "dev") == ["one", "initial commit"]
    assert titles(hub, "ann/m", before)[0] == "two"
    assert paths(hub, "ann/m") == {".gitattributes", "a.txt", "w.bin"}


def test_squashing_asks_for_a_branch_and_the_right_to_write(hub, ann):
    repositories.create(hub, ann, "ann/m")
    with hub.database.transaction() as session:
        repositories.create_tag(session, ann, "ann/m", "v1")
    for revision in ("v1", "nothing"):
        with pytest.raises(RevisionNotFound), hub.database.transaction() as session:
            repositories.squash(session, ann, "ann/m", revision, "title")
    bob = person(hub, "bob")
    with pytest.raises(AccessDenied), hub.database.transaction() as session:
        repositories.squash(session, bob, "ann/m", "main", "title")


@pytest.fixture
def history(hub, ann):
    """Three commits with large files, a branch and an annotated tag."""
    repositories.create(hub, ann, "ann/m")
    commit(hub, ann, "ann/m", {"a.txt": b"a"}, large={"deep/er/w.bin": b"first"}, title="one")
    with hub.database.transaction() as session:
        repositories.create_tag(session, ann, "ann/m", "v1", message="the first")
        repositories.create_branch(session, ann, "ann/m", "dev")
    commit(hub, ann, "ann/m", {}, large={"deep/er/w.bin": b"second", "keep.bin": b"kept"}, title="two")
    commit(hub, ann, "ann/m", {"d.txt": b"d"}, revision="dev", large={"dev.bin": b"third"}, title="three")
    return "ann/m"


def test_large_files_are_listed_with_a_place_each(hub, ann, history):
    with hub.database.session() as session:
        found = {use.sha256: (use.path, use.ref) for use in repositories.large_files(session, ann, history)}
    assert found == {
        sha(b"first"): ("deep/er/w.bin", "refs/heads/dev"),
        sha(b"second"): ("deep/er/w.bin", "refs/heads/main"),
        sha(b"kept"): ("keep.bin", "refs/heads/main"),
        sha(b"third"): ("dev.bin", "refs/heads/dev"),
    }


def test_forgotten_files_are_in_no_commit_and_the_rest_is_as_it_was(hub, ann, history):
    with hub.database.session() as session:
        old = set(session.scalars(select(Commit.oid)))
    repositories.forget_large_files(hub, ann, history, [sha(b"first"), sha(b"second")])
    assert paths(hub, history) == {".gitattributes", "a.txt", "keep.bin"}
    assert paths(hub, history, "v1") == {".gitattributes", "a.txt"}
    assert paths(hub, history, "dev") == {".gitattributes", "a.txt", "d.txt", "dev.bin"}
    assert titles(hub, history, "main") == ["two", "one", "initial commit"]
    with hub.database.session() as session:
        repository = repositories.get(session, ANONYMOUS, history)
        assert {use.path for use in repositories.large_files(session, ann, history)} == {
            "keep.bin",
            "dev.bin",
        }
        kept = old & set(session.scalars(select(Commit.oid)))
        assert [session.get_one(Commit, (repository.id, oid)).title for oid in kept] == ["initial commit"]
        assert set(session.scalars(select(LargeFile.sha256))) == {sha(b"kept"), sha(b"third")}
        # The commits that touched a path are known of the new ones too.
        head = repositories.resolve(session, repository)
        last = repositories.last_commits(session, head, [("", "a.txt"), ("", "keep.bin")])
        assert {path: each.title for path, each in last.items()} == {"a.txt": "one", "keep.bin": "two"}
        tag = repositories.find_ref(session, repository, "v1")
        assert tag is not None and tag.tag is not None and tag.target != tag.tag
    commit(hub, ann, history, {}, large={"deep/er/w.bin": b"first"}, title="again")
    assert "deep/er/w.bin" in paths(hub, history)


def test_without_rewriting_the_pointers_stay_as_text(hub, ann, history):
    with hub.database.session() as session:
        head = repositories.resolve(session, repositories.get(session, ANONYMOUS, history)).oid
    repositories.forget_large_files(hub, ann, history, [sha(b"second")], rewrite_history=False)
    with hub.database.session() as session:
        repository = repositories.get(session, ANONYMOUS, history)
        at = repositories.resolve(session, repository)
        assert at.oid == head
        text = repositories.RevisionFiles(hub, repository, at).read("deep/er/w.bin")
    assert text.startswith(b"version https://git-lfs") and sha(b"second").encode() in text


def test_forgetting_is_for_those_who_administer_and_of_what_is_here(hub, ann, history):
    with pytest.raises(AccessDenied):
        repositories.forget_large_files(hub, person(hub, "bob"), history, [sha(b"first")])
    repositories.forget_large_files(hub, ann, history, [sha(b"unknown")])
    assert titles(hub, history, "main") == ["two", "one", "initial commit"]
