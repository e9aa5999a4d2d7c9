from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from modelcenter.errors import (
    AccessDenied,
    AlreadyExists,
    Invalid,
    NotAuthenticated,
    NotHosted,
    RevisionNotFound,
)
from modelcenter.registry import repositories
from modelcenter.registry.access import ANONYMOUS
from modelcenter.registry.tables import GitObject, Ref
from tests.support.registry import commit, person


@pytest.fixture
def ann(hub):
    ann = person(hub, "ann")
    repositories.create(hub, ann, "ann/m")
    return ann


@pytest.fixture
def head(hub, ann):
    return commit(hub, ann, "ann/m", {"a": b"1"}).oid


def resolve(hub, revision: str) -> str:
    with hub.database.session() as session:
        repository = repositories.get(session, ANONYMOUS, "ann/m")
        return repositories.resolve(session, repository, revision).oid


def test_revisions_are_branches_tags_refs_and_commit_ids(hub, ann, head):
    with hub.database.transaction() as session:
        repositories.create_branch(session, ann, "ann/m", "feature/x")
        repositories.create_tag(session, ann, "ann/m", "v1.0")
    later = commit(hub, ann, "ann/m", {"b": b"2"}).oid
    for revision in (
        "feature/x",
        "v1.0",
        "refs/heads/feature/x",
        "refs/tags/v1.0",
        head,
        head[:7],
        head[:20],
        head.upper(),
    ):
        assert resolve(hub, revision) == head
    for revision in ("main", "refs/heads/main", "heads/main", later):
        assert resolve(hub, revision) == later


def test_pull_requests_are_revisions(hub, ann, head):
    with hub.database.transaction() as session:
        repository = repositories.get(session, ann, "ann/m")
        session.add(Ref(repository_id=repository.id, name="refs/pr/1", target=head))
    assert resolve(hub, "refs/pr/1") == head
    moved = commit(hub, ann, "ann/m", {"b": b"2"}, revision="refs/pr/1").oid
    assert resolve(hub, "refs/pr/1") == moved
    assert resolve(hub, "main") == head


@pytest.mark.parametrize(
    "revision",
    ["nowhere", "", "refs/heads/nowhere", "refs/pr/1", "0" * 40, "0" * 7, "v1", "main/", "HEAD", "模型"],
)
def test_what_is_no_revision_is_not_found(hub, ann, head, revision):
    with pytest.raises(RevisionNotFound, match="ann/m has no branch"):
        resolve(hub, revision)


def test_six_digits_are_too_few(hub, ann, head):
    with pytest.raises(RevisionNotFound):
        resolve(hub, head[:6])


def test_a_branch_goes_before_a_tag_and_a_commit_id_before_both(hub, ann, head):
    first = commit(hub, ann, "ann/m", {"b": b"2"}).oid
    with hub.database.transaction() as session:
        repositories.create_branch(session, ann, "ann/m", "same", head)
        repositories.create_tag(session, ann, "ann/m", "same", first)
        with pytest.raises(Invalid):
            repositories.create_branch(session, ann, "ann/m", first)
    assert resolve(hub, "same") == head
    assert resolve(hub, "refs/tags/same") == first
    assert resolve(hub, first[:8]) == resolve(hub, first) == first


def test_commits_of_other_repositories_are_no_revisions(hub, ann, head):
    repositories.create(hub, ann, "ann/secret", private=True)
    secret = commit(hub, ann, "ann/secret", {"s": b"s"}).oid
    for revision in (secret, secret[:7]):
        with pytest.raises(RevisionNotFound):
            resolve(hub, revision)


def test_branches_come_and_go(hub, ann, head):
    with hub.database.transaction() as session:
        assert repositories.create_branch(session, ann, "ann/m", "dev").short_name == "dev"
        assert repositories.create_branch(session, ann, "ann/m", "old", head[:8]).target == head
        with pytest.raises(AlreadyExists, match="Reference refs/heads/dev already exists"):
            repositories.create_branch(session, ann, "ann/m", "dev")
        with pytest.raises(RevisionNotFound):
            repositories.create_branch(session, ann, "ann/m", "other", "nowhere")
    with hub.database.transaction() as session:
        names = [ref.name for ref in repositories.refs(session, repositories.get(session, ann, "ann/m"))]
        assert names == ["refs/heads/dev", "refs/heads/main", "refs/heads/old"]
        repositories.delete_branch(session, ann, "ann/m", "dev")
        with pytest.raises(RevisionNotFound):
            repositories.delete_branch(session, ann, "ann/m", "dev")
        with pytest.raises(AccessDenied, match="Cannot delete refs/heads/main"):
            repositories.delete_branch(session, ann, "ann/m", "main")


def test_commits_of_a_deleted_branch_stay_readable(hub, ann, head):
    with hub.database.transaction() as session:
        repositories.create_branch(session, ann, "ann/m", "dev")
    lost = commit(hub, ann, "ann/m", {"c": b"3"}, revision="dev").oid
    with hub.database.transaction() as session:
        repositories.delete_branch(session, ann, "ann/m", "dev")
    assert resolve(hub, lost) == lost


def test_tags_come_and_go_with_and_without_a_message(hub, ann, head):
    with hub.database.transaction() as session:
        plain = repositories.create_tag(session, ann, "ann/m", "v1")
        noted = repositories.create_tag(session, ann, "ann/m", "v2", head, message="第二版")
        assert (plain.target, plain.tag, noted.target) == (head, None, head)
        assert noted.tag is not None
        stored = session.scalars(select(GitObject).where(GitObject.oid == noted.tag)).one()
        assert stored.data.startswith(f"object {head}\ntype commit\ntag v2\ntagger ann ".encode())
        assert stored.data.endswith("\n\n第二版\n".encode())
        with pytest.raises(AlreadyExists):
            repositories.create_tag(session, ann, "ann/m", "v1")
        repositories.delete_tag(session, ann, "ann/m", "v1")
        with pytest.raises(RevisionNotFound):
            repositories.delete_tag(session, ann, "ann/m", "v1")
    assert resolve(hub, "v2") == head


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a..b",
        "a b",
        "a~",
        "a^",
        "a:b",
        "/a",
        "a/",
        "a//b",
        ".a",
        "a.lock",
        "a\\b",
        "@{",
        "x" * 250,
        "\ud800",
        "0" * 40,
        "HEAD",
        "-x",
        "A" * 40,
    ],
)
def test_names_that_git_refuses(hub, ann, head, name):
    with hub.database.transaction() as session:
        for create in (repositories.create_branch, repositories.create_tag):
            with pytest.raises(Invalid):
                create(session, ann, "ann/m", name)


def test_no_ref_is_a_folder_of_another(hub, ann, head):
    with hub.database.transaction() as session:
        for create in (repositories.create_branch, repositories.create_tag):
            create(session, ann, "ann/m", "a/b/c")
            for clash in ("a", "a/b", "a/b/c/d"):
                with pytest.raises(AlreadyExists, match=f"a/b/c already .* refs/[a-z]+/{clash} cannot"):
                    create(session, ann, "ann/m", clash)
            for free in ("A", "a/bb", "a/b/d", "a-b", "a0", "%"):
                create(session, ann, "ann/m", free)


def test_of_two_refs_made_at_once_that_clash_one_stands(hub, ann, head):
    def create(name: str) -> bool:
        try:
            with hub.database.transaction() as session:
                repositories.create_branch(session, ann, "ann/m", name)
        except AlreadyExists:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        for number in range(4):
            names = [f"r{number}" + "/x" * depth for depth in range(8)]
            assert sum(pool.map(create, names)) == 1


def test_no_ref_hides_a_commit(hub, ann, head):
    for name in (head[:7], head[:20].upper()):
        with hub.database.transaction() as session, pytest.raises(Invalid, match="commit's id"):
            repositories.create_tag(session, ann, "ann/m", name)
    with hub.database.transaction() as session:
        repositories.create_tag(session, ann, "ann/m", "20240101")
        repositories.create_tag(session, ann, "ann/m", head[:6])


def test_refs_are_moved_by_those_who_may_write(hub, ann, head):
    bob = person(hub, "bob")
    with hub.database.transaction() as session:
        for act in (
            repositories.create_branch,
            repositories.create_tag,
            repositories.delete_branch,
            repositories.delete_tag,
        ):
            with pytest.raises(AccessDenied):
                act(session, bob, "ann/m", "x")
            with pytest.raises(NotAuthenticated):
                act(session, ANONYMOUS, "ann/m", "x")
        repositories.link(session, "ann/linked", "up/stream")
        with pytest.raises(NotHosted):
            repositories.create_branch(session, ann, "ann/linked", "x")


def test_the_log_goes_back_from_a_revision_in_pages(hub, ann, head):
    for number in range(5):
        commit(hub, ann, "ann/m", {"n": str(number).encode()}, title=f"c{number}")
    with hub.database.transaction() as session:
        repositories.create_branch(session, ann, "ann/m", "dev", head)
    commit(hub, ann, "ann/m", {"other": b"1"}, title="on dev", revision="dev")
    with hub.database.session() as session:
        repository = repositories.get(session, ANONYMOUS, "ann/m")

        def page(revision: str, offset: int, limit: int) -> tuple[list[str], int]:
            start = repositories.resolve(session, repository, revision)
            rows, total = repositories.log(session, start, offset=offset, limit=limit)
            return [row.title for row in rows], total

        assert page("main", 0, 3) == (["c4", "c3", "c2"], 7)
        assert page("main", 3, 3) == (["c1", "c0", "Add files"], 7)
        assert page("main", 6, 3) == (["initial commit"], 7)
        assert page("main", 9, 3) == ([], 7)
        assert page("dev", 0, 9) == (["on dev", "Add files", "initial commit"], 3)
