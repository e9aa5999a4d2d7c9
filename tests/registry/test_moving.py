from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from modelcenter.errors import AccessDenied, AlreadyExists, Gated, RepositoryMoved, RepositoryNotFound
from modelcenter.registry import accounts, organizations, repositories
from modelcenter.registry.access import ANONYMOUS
from modelcenter.registry.tables import Activity, Job
from tests.support.registry import commit, person


@pytest.fixture
def ann(hub):
    return person(hub, "ann")


@pytest.fixture
def bob(hub):
    return person(hub, "bob")


def move(hub, actor, repo_id, target):
    with hub.database.transaction() as session:
        return repositories.move(session, actor, repo_id, target).repo_id


def duplicate(hub, actor, repo_id, target, **options):
    with hub.database.transaction() as session:
        return repositories.duplicate(session, actor, repo_id, target, **options).repo_id


def get(hub, actor, repo_id):
    with hub.database.session() as session:
        return repositories.get(session, actor, repo_id)


def test_of_several_moves_at_once_one_happens(hub, ann):
    repositories.create(hub, ann, "ann/old")
    start = threading.Barrier(6)

    def one(number: int) -> str:
        start.wait(60)
        try:
            return move(hub, ann, "ann/old", f"ann/new-{number}")
        except RepositoryMoved as error:
            return f"at {error.target}"

    with ThreadPoolExecutor(6) as pool:
        winner, *others = sorted(pool.map(one, range(6)))
    assert others == [f"at {winner}"] * 5
    assert get(hub, ann, winner).repo_id == winner


def test_a_moved_repository_is_found_by_its_new_id_and_named_by_its_old(hub, ann):
    repositories.create(hub, ann, "ann/old")
    oid = commit(hub, ann, "ann/old", {"a.txt": b"a"}).oid
    assert move(hub, ann, "ann/old", "ann/New") == "ann/New"
    with pytest.raises(RepositoryMoved) as moved:
        get(hub, ANONYMOUS, "Ann/OLD")
    assert moved.value.target == "ann/New"
    with hub.database.session() as session:
        repository = repositories.get(session, ANONYMOUS, "ann/new")
        assert repositories.resolve(session, repository).oid == oid
        assert session.scalars(select(Activity.verb)).all()[-1] == "repository.move"
        assert session.scalar(select(Job).order_by(Job.id.desc())).kind == "facts"


def test_old_ids_are_free_for_others_and_for_the_way_back(hub, ann):
    repositories.create(hub, ann, "ann/m")
    move(hub, ann, "ann/m", "ann/n")
    move(hub, ann, "ann/n", "ann/m")
    assert get(hub, ann, "ann/m").repo_id == "ann/m"
    with pytest.raises(RepositoryMoved):
        get(hub, ann, "ann/n")
    created = repositories.create(hub, ann, "ann/n")
    assert get(hub, ann, "ann/n").id == created.id


def test_an_old_id_that_was_used_again_leads_nowhere_when_it_is_free(hub, ann):
    """Whoever meant its last repository by it is not sent to another."""
    repositories.create(hub, ann, "ann/old")
    move(hub, ann, "ann/old", "ann/new")
    repositories.create(hub, ann, "ann/old")
    with hub.database.transaction() as session:
        repositories.delete(session, ann, "ann/old")
    with pytest.raises(RepositoryNotFound) as error:
        get(hub, ann, "ann/old")
    assert not isinstance(error.value, RepositoryMoved)
    assert get(hub, ann, "ann/new").repo_id == "ann/new"


def test_the_spelling_of_an_id_can_be_changed(hub, ann):
    repositories.create(hub, ann, "ann/m")
    assert move(hub, ann, "ann/m", "ann/M") == "ann/M"
    assert get(hub, ann, "ann/m").repo_id == "ann/M"


def test_nobody_moves_onto_a_taken_id_nor_where_they_may_not_create(hub, ann, bob):
    repositories.create(hub, ann, "ann/m")
    repositories.create(hub, ann, "ann/n")
    with pytest.raises(AlreadyExists, match="A model repository called ann/n already exists"):
        move(hub, ann, "ann/m", "ann/N")
    with pytest.raises(AccessDenied):
        move(hub, ann, "ann/m", "bob/m")
    with pytest.raises(AccessDenied):
        move(hub, bob, "ann/m", "bob/m")


def test_a_private_repository_that_moved_is_not_disclosed(hub, ann, bob):
    repositories.create(hub, ann, "ann/old", private=True)
    move(hub, ann, "ann/old", "ann/new")
    with pytest.raises(RepositoryNotFound) as error:
        get(hub, bob, "ann/old")
    assert not isinstance(error.value, RepositoryMoved)
    with hub.database.transaction() as session:  # what it was called before it was shown stays theirs
        repositories.update(session, ann, "ann/new", private=False)
    assert get(hub, bob, "ann/new").repo_id == "ann/new"
    with pytest.raises(RepositoryNotFound) as error:
        get(hub, bob, "ann/old")
    assert not isinstance(error.value, RepositoryMoved)
    with pytest.raises(RepositoryMoved):
        get(hub, ann, "ann/old")


def test_a_duplicate_has_the_history_and_is_independent(hub, ann, bob):
    repositories.create(hub, ann, "ann/m")
    first = commit(hub, ann, "ann/m", {"a.txt": b"a"}, large={"w.bin": b"weights"}).oid
    with hub.database.transaction() as session:
        repositories.create_tag(session, ann, "ann/m", "v1", message="the first")
        repositories.create_branch(session, ann, "ann/m", "dev")
    assert duplicate(hub, bob, "ann/m", "bob/copy", private=True) == "bob/copy"
    later = commit(hub, bob, "bob/copy", {"b.txt": b"b"}).oid
    with hub.database.session() as session:
        copy = repositories.get(session, bob, "bob/copy")
        assert copy.private
        assert [ref.name for ref in repositories.refs(session, copy)] == [
            "refs/heads/dev",
            "refs/heads/main",
            "refs/tags/v1",
        ]
        assert [each.oid for each in repositories.log(session, repositories.resolve(session, copy))[0]][
            :2
        ] == [
            later,
            first,
        ]
        files = repositories.RevisionFiles(hub, copy, repositories.resolve(session, copy))
        assert files.read("w.bin") == b"weights"
        source = repositories.get(session, ann, "ann/m")
        assert repositories.resolve(session, source).oid == first
    with hub.database.transaction() as session:
        repositories.delete(session, ann, "ann/m")
    assert get(hub, bob, "bob/copy").repo_id == "bob/copy"


def test_what_is_gated_or_private_is_duplicated_by_its_readers_alone(hub, ann, bob):
    repositories.create(hub, ann, "ann/gated")
    repositories.create(hub, ann, "ann/private", private=True)
    with hub.database.transaction() as session:
        repositories.update(session, ann, "ann/gated", gated="manual")
    with pytest.raises(Gated):
        duplicate(hub, bob, "ann/gated", "bob/g")
    with pytest.raises(RepositoryNotFound):
        duplicate(hub, bob, "ann/private", "bob/p")
    duplicate(hub, ann, "ann/gated", "ann/g2", private=False)
    duplicate(hub, ann, "ann/private", "ann/p2")
    assert get(hub, ann, "ann/g2").gated == "manual"
    assert get(hub, ann, "ann/p2").private


def test_an_organisation_may_have_new_repositories_private(hub, ann):
    with hub.database.transaction() as session:
        organizations.found(session, ann, "lab").private_by_default = True
    with hub.database.session() as session:
        ann = accounts.actor_of(session, accounts.find(session, "ann"), "write")
    assert repositories.create(hub, ann, "lab/m").private
    assert not repositories.create(hub, ann, "lab/open", private=False).private
