from __future__ import annotations

import pytest

from modelcenter.errors import (
    AccessDenied,
    AllWithdrawn,
    Conflict,
    Frozen,
    Invalid,
    NotAuthenticated,
    RevisionNotFound,
)
from modelcenter.registry import describing, repositories, revisions, search, withdrawals
from modelcenter.registry.access import ANONYMOUS
from modelcenter.registry.handlers import HANDLERS
from modelcenter.registry.jobs import Worker
from modelcenter.registry.repositories import AddFile
from modelcenter.registry.tables import Model, Ref
from tests.support.registry import commit, person


@pytest.fixture
def ann(hub):
    return person(hub, "ann")


@pytest.fixture
def history(hub, ann):
    """The ids of three commits of ann/m, the first one first."""
    repositories.create(hub, ann, "ann/m")
    with hub.database.session() as session:
        first = repositories.resolve(session, repositories.get(session, ann, "ann/m")).oid
    return [first, *(commit(hub, ann, "ann/m", {"a": b"%d" % number}).oid for number in range(2))]


def at(hub, actor, revision="main", **options) -> str:
    with hub.database.session() as session:
        return repositories.resolve(
            session, repositories.get(session, actor, "ann/m"), revision, **options
        ).oid


def withdraw(hub, actor, revision, reason="it leaks") -> None:
    with hub.database.transaction() as session:
        withdrawals.withdraw(session, actor, "ann/m", revision, reason)


def freeze(hub, actor, name, *, frozen=True) -> Ref:
    with hub.database.transaction() as session:
        return revisions.freeze(session, actor, "ann/m", name, frozen=frozen)


def test_refs_pass_over_what_is_withdrawn(hub, ann, history):
    first, second, third = history
    with hub.database.transaction() as session:
        repositories.create_tag(session, ann, "ann/m", "v1")
    withdraw(hub, ann, "main")
    assert [at(hub, ann, name) for name in ("main", "v1", "refs/heads/main")] == [second] * 3
    assert at(hub, ann, third) == at(hub, ann, third[:9]) == third
    assert at(hub, ann, "main", as_it_is=True) == third
    withdraw(hub, ann, second, "and this")
    assert at(hub, ann) == first
    withdraw(hub, ann, first)
    with pytest.raises(AllWithdrawn, match="Name another revision"):
        at(hub, ann)
    with hub.database.transaction() as session:
        withdrawals.restore(session, ann, "ann/m", second)
    assert at(hub, ann) == second
    with hub.database.transaction() as session, pytest.raises(Invalid, match="not withdrawn"):
        withdrawals.restore(session, ann, "ann/m", second)


def test_what_is_said_of_the_model_is_of_what_stands(hub, ann, history):
    worker = Worker(hub, HANDLERS)
    worker.run_all()
    withdraw(hub, ann, "main")
    with hub.database.session() as session:
        repository = repositories.get(session, ann, "ann/m")
        assert describing.heads(session, [repository]) == {repository.id: history[1]}
    worker.run_all()
    with hub.database.session() as session:
        assert session.get_one(Model, repository.id).commit_oid == history[1]


def test_writers_build_on_the_branch_as_it_is(hub, ann, history):
    withdraw(hub, ann, "main")
    with pytest.raises(Conflict):
        repositories.commit(
            hub, ann, "ann/m", "main", [AddFile("b", b"b")], title="Late", expected_head=history[1]
        )
    fixed = commit(hub, ann, "ann/m", {"a": b"sound"})
    assert at(hub, ann) == fixed.oid
    withdraw(hub, ann, "main")
    with hub.database.transaction() as session:
        squashed = repositories.squash(session, ann, "ann/m", "main", "One")
        before = session.get_one(type(squashed), (squashed.repository_id, history[1]))
        assert squashed.tree == before.tree


def test_withdrawals_outlive_a_rewritten_history(hub, ann):
    repositories.create(hub, ann, "ann/m")
    commit(hub, ann, "ann/m", {"a": b"a"}, large={"w.bin": b"weights"})
    before = at(hub, ann)
    commit(hub, ann, "ann/m", {"a": b"b"})
    withdraw(hub, ann, "main")
    with hub.database.session() as session:
        (large,) = repositories.large_files(session, ann, "ann/m")
    repositories.forget_large_files(hub, ann, "ann/m", [large.sha256])
    assert at(hub, ann) not in (before, at(hub, ann, as_it_is=True))


def test_who_may_withdraw_and_freeze(hub, ann, history):
    bob = person(hub, "bob")
    for act in (withdraw, freeze):
        with pytest.raises(AccessDenied):
            act(hub, bob, "main")
        with pytest.raises(NotAuthenticated):
            act(hub, ANONYMOUS, "main")
        with pytest.raises(RevisionNotFound):
            act(hub, ann, "nowhere")
    for reason in ("", " ", "x" * 1001):
        with pytest.raises(Invalid, match="Say why"):
            withdraw(hub, ann, "main", reason)


def test_what_is_frozen_stays_whoever_wants_to_move_it(hub, ann, history):
    root = person(hub, "root", is_admin=True)
    with hub.database.transaction() as session:
        repositories.create_branch(session, ann, "ann/m", "release")
        repositories.create_tag(session, ann, "ann/m", "v1")
    for name in ("main", "release", "v1"):
        assert freeze(hub, ann, name).frozen_at
    for actor in (ann, root):
        for branch in ("main", "release"):
            with pytest.raises(Frozen, match="frozen"):
                commit(hub, actor, "ann/m", {"a": b"new"}, revision=branch)
            with hub.database.transaction() as session, pytest.raises(Frozen):
                repositories.squash(session, actor, "ann/m", branch, "One")
        with hub.database.transaction() as session, pytest.raises(Frozen):
            repositories.delete_branch(session, actor, "ann/m", "release")
        with hub.database.transaction() as session, pytest.raises(Frozen):
            repositories.delete_tag(session, actor, "ann/m", "v1")
        with pytest.raises(Frozen):
            repositories.forget_large_files(hub, actor, "ann/m", ["0" * 64])
    assert at(hub, ann, "release") == history[-1]
    freeze(hub, ann, "main", frozen=False)
    assert commit(hub, ann, "ann/m", {"a": b"new"}).changed


def test_lists_leave_out_what_is_withdrawn_whole_but_for_its_owners(hub, ann, history):
    for oid in history[:2]:
        withdraw(hub, ann, oid)
    bob = person(hub, "bob")

    def listed(actor) -> int:
        with hub.database.session() as session:
            page = search.find(session, search.Query(), actor)
            assert len(page.rows) == page.total
            return page.total

    assert [listed(actor) for actor in (ann, bob, ANONYMOUS)] == [1, 1, 1]
    withdraw(hub, ann, history[2], "all of it leaks")
    assert [listed(actor) for actor in (ann, bob, ANONYMOUS)] == [1, 0, 0]
    with pytest.raises(AllWithdrawn, match="all of it leaks") as raised:
        at(hub, bob)
    assert raised.value.commit == history[2]
    with hub.database.transaction() as session:
        withdrawals.restore(session, ann, "ann/m", history[0])
    assert [listed(actor) for actor in (ann, bob, ANONYMOUS)] == [1, 1, 1]
