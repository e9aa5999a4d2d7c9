from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import update

from modelcenter.errors import Invalid, QuotaExceeded, RevisionNotFound
from modelcenter.registry import (
    accounts,
    discussions,
    merging,
    moving,
    proposals,
    pulls,
    quotas,
    repositories,
    uploads,
)
from modelcenter.registry.repositories import AddFile, AddLfs, Delete, Operation
from modelcenter.registry.tables import Discussion, ProposedFile, now
from tests.support.registry import commit, person, upload


@pytest.fixture
def ann(hub):
    ann = person(hub, "ann")
    repositories.create(hub, ann, "ann/m")
    repositories.create(hub, ann, "ann/n")
    return ann


def used(hub, name="ann") -> int:
    with hub.database.session() as session:
        return quotas.used_bytes(session, accounts.find(session, name).id)


def limit(hub, more: int | None, name="ann") -> None:
    """Leaves `ann`, or whoever is named, room for so many bytes more."""
    quota = None if more is None else used(hub, name) + more
    with hub.database.transaction() as session:
        quotas.set_quota(session, accounts.find(session, name), quota)


def test_a_content_counts_once_whatever_refers_to_it(hub, ann):
    before = used(hub)
    commit(hub, ann, "ann/m", {"a.txt": b"12345"}, large={"w.bin": b"weights"})
    commit(hub, ann, "ann/n", {"b.txt": b"12345", "c.txt": b"123"}, large={"v.bin": b"weights"})
    commit(hub, ann, "ann/n", {}, large={"v.bin": b"weights"}, title="Again")

    assert used(hub) == before + 5 + 3 + 7


def test_what_goes_beyond_is_refused_before_it_is_taken(hub, ann):
    limit(hub, 10)
    upload(hub, ann, "ann/m", b"weights")
    stored = set(hub.blobs)
    with pytest.raises(QuotaExceeded, match=r"ann may store .* no room for 4 bytes more"):
        upload(hub, ann, "ann/n", b"more")
    assert set(hub.blobs) == stored
    upload(hub, ann, "ann/n", b"weights")  # counted already
    limit(hub, None)
    upload(hub, ann, "ann/n", b"more")


def test_a_commit_beyond_it_changes_nothing_and_a_full_account_may_still_delete(hub, ann):
    commit(hub, ann, "ann/m", {"a.txt": b"12345"})
    limit(hub, 3)
    with pytest.raises(QuotaExceeded):
        commit(hub, ann, "ann/m", {"b.txt": b"1234"})
    limit(hub, -1)
    repositories.commit(hub, ann, "ann/m", "main", [Delete("a.txt")], title="Delete")
    commit(hub, ann, "ann/m", {"again.txt": b"12345"})


def test_others_are_not_limited(hub, ann):
    limit(hub, 0)
    bob = person(hub, "bob")
    repositories.create(hub, bob, "bob/m")
    upload(hub, bob, "bob/m", b"weights")


def test_what_moves_in_or_is_copied_or_lent_needs_room_too(hub, ann):
    bob = person(hub, "bob")
    repositories.create(hub, bob, "bob/m")
    blob = upload(hub, bob, "bob/m", b"weights")
    commit(hub, bob, "bob/m", {}, large={"w.bin": b"weights"})
    boss = person(hub, "boss", is_admin=True)
    limit(hub, 6)
    with pytest.raises(QuotaExceeded), hub.database.transaction() as session:
        moving.duplicate(session, ann, "bob/m", "ann/copy")
    with pytest.raises(QuotaExceeded), hub.database.transaction() as session:
        moving.move(session, boss, "bob/m", "ann/moved")
    with pytest.raises(QuotaExceeded), hub.database.transaction() as session:
        uploads.lend(session, ann, "bob/m", "ann/n", [blob.sha256])
    limit(hub, 7)
    with hub.database.transaction() as session:
        moving.duplicate(session, ann, "bob/m", "ann/copy")
    with hub.database.transaction() as session:
        moving.move(session, boss, "bob/m", "ann/moved")  # the same bytes: counted already


def test_uploads_that_end_at_once_stay_within_it_together(hub, ann):
    limit(hub, 7)

    def send(number: int) -> bool:
        try:
            upload(hub, ann, f"ann/{'mn'[number % 2]}", b"load-%d." % number)
        except QuotaExceeded:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(send, range(4))) == 1


@pytest.fixture
def bob(hub, ann):
    return person(hub, "bob")


def propose(hub, actor, files, large=()) -> int:
    blobs = [upload(hub, actor, "ann/m", content) for content in large]
    operations: list[Operation] = [
        *(AddFile(path, content) for path, content in files.items()),
        *(AddLfs(f"{blob.sha256[:8]}.bin", blob.sha256, blob.size) for blob in blobs),
    ]
    result = repositories.commit(hub, actor, "ann/m", "main", operations, title="Propose", proposes=True)
    assert result.request is not None
    return result.request


def days_later(hub, days: int) -> None:
    """Lets what was proposed and closed so far lie for so long, and clears up."""
    moment = now() - timedelta(days=days)
    with hub.database.transaction() as session:
        session.execute(update(ProposedFile).values(created_at=moment))
        session.execute(update(Discussion).values(updated_at=moment))
    proposals.forget_aged(hub, {})


def test_what_strangers_propose_counts_for_them_until_it_is_merged(hub, ann, bob):
    limit(hub, 0)
    before = used(hub)
    num = propose(hub, bob, {"a.txt": b"12345"}, [b"weights"])
    text = used(hub, "bob") - 5 - 7  # of .gitattributes, which names the large file
    assert (used(hub), text >= 0) == (before, True)
    with pytest.raises(QuotaExceeded, match="ann may store"), hub.database.transaction() as session:
        merging.merge(hub, session, ann, "ann/m", num)
    limit(hub, 12 + text)
    with hub.database.transaction() as session:
        merging.merge(hub, session, ann, "ann/m", num)
    assert (used(hub), used(hub, "bob")) == (before + 12 + text, 0)


def test_strangers_are_held_to_their_own_quota_and_to_a_limit_of_all_they_propose(hub, ann, bob, monkeypatch):
    limit(hub, 6, "bob")
    with pytest.raises(QuotaExceeded, match="bob may store"):
        upload(hub, bob, "ann/m", b"weights")
    limit(hub, None, "bob")
    monkeypatch.setattr(quotas, "PROPOSED_BYTES", 9)
    upload(hub, bob, "ann/m", b"weights")
    with pytest.raises(QuotaExceeded, match=r"bob may have proposed .* no room for 4 bytes more"):
        upload(hub, bob, "ann/n", b"more")
    with pytest.raises(QuotaExceeded):
        propose(hub, bob, {"a.txt": b"1234"})


def test_strangers_have_few_requests_open_at_once(hub, ann, bob, monkeypatch):
    monkeypatch.setattr(pulls, "MOST_OPEN", 1)
    propose(hub, bob, {"a.txt": b"12"})
    with pytest.raises(Invalid, match="1 open pull requests"):
        propose(hub, bob, {"a.txt": b"21"})
    propose(hub, ann, {"a.txt": b"21"})
    propose(hub, ann, {"a.txt": b"22"})


def test_what_the_repository_has_counts_for_no_stranger_and_what_writers_commit_for_the_owner(hub, ann, bob):
    commit(hub, ann, "ann/m", {"a.txt": b"12345"})
    before = used(hub)
    propose(hub, bob, {"b.txt": b"12345", "c.txt": b"123"})
    assert (used(hub), used(hub, "bob")) == (before, 3)
    commit(hub, ann, "ann/m", {"d.txt": b"123"})
    assert (used(hub), used(hub, "bob")) == (before + 3, 0)


def test_what_is_never_proposed_and_what_was_closed_ages_out(hub, ann, bob):
    before = used(hub)
    upload(hub, bob, "ann/m", b"left behind")
    closed, opened = (
        propose(hub, bob, {"a.txt": b"12345"}, [b"weights"]),
        propose(hub, bob, {"b.txt": b"1234567"}),
    )
    both = propose(hub, bob, {"a.txt": b"12345", "c.txt": b"12"})
    with hub.database.transaction() as session:
        discussions.set_status(session, bob, "ann/m", closed, "closed")
    days_later(hub, 8)
    left = used(hub, "bob")
    days_later(hub, 31)
    assert (used(hub), used(hub, "bob")) == (before, 5 + 7 + 2)
    assert left > used(hub, "bob")
    with hub.database.session() as session:
        repository = repositories.get(session, ann, "ann/m")
        with pytest.raises(RevisionNotFound):
            repositories.resolve(session, repository, pulls.ref_name(closed))
        for num in (opened, both):
            head = repositories.resolve(session, repository, pulls.ref_name(num))
            assert len(repositories.tree(session, repository, head)) > 1


def test_a_closed_request_that_others_build_on_stays(hub, ann, bob):
    num = propose(hub, bob, {"a.txt": b"12345"})
    with hub.database.transaction() as session:
        discussions.set_status(session, bob, "ann/m", num, "closed")
        repositories.create_branch(session, ann, "ann/m", "kept", pulls.ref_name(num))
    days_later(hub, 31)
    with hub.database.session() as session:
        repository = repositories.get(session, ann, "ann/m")
        head = repositories.resolve(session, repository, "kept")
        assert "a.txt" in {entry.path for entry in repositories.tree(session, repository, head)}
