from __future__ import annotations

import pytest

from modelcenter.errors import QuotaExceeded
from modelcenter.registry import accounts, moving, quotas, repositories, uploads
from modelcenter.registry.repositories import Delete
from tests.support.registry import commit, person, upload


@pytest.fixture
def ann(hub):
    ann = person(hub, "ann")
    repositories.create(hub, ann, "ann/m")
    repositories.create(hub, ann, "ann/n")
    return ann


def used(hub) -> int:
    with hub.database.session() as session:
        return quotas.used_bytes(session, accounts.find(session, "ann").id)


def limit(hub, more: int | None) -> None:
    """Leaves `ann` room for so many bytes more."""
    quota = None if more is None else used(hub) + more
    with hub.database.transaction() as session:
        quotas.set_quota(session, accounts.find(session, "ann"), quota)


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
