"""What the store lost or spoiled is found, put aside and told."""

from __future__ import annotations

import pytest

from modelcenter.errors import BlobDamaged, BlobNotFound
from modelcenter.registry import fsck, repositories, uploads
from modelcenter.registry.handlers import HANDLERS, begin_upkeep
from modelcenter.registry.jobs import Worker
from modelcenter.registry.tables import BlobCheck, Job, now
from tests.support.registry import commit, person, upload


@pytest.fixture
def ann(hub):
    ann = person(hub, "ann")
    repositories.create(hub, ann, "ann/m")
    return ann


def spoil(hub, blob) -> None:
    """Flips a bit on the disk."""
    path = hub.blobs.path(blob.sha256)
    path.chmod(0o644)
    with path.open("r+b") as file:
        first = file.read(1)[0]
        file.seek(0)
        file.write(bytes([first ^ 1]))


def damages(hub):
    with hub.database.session() as session:
        return fsck.damages(session)


def test_a_sound_store_has_nothing_to_tell(hub, ann):
    commit(hub, ann, "ann/m", {"config.json": b"{}"}, large={"w.bin": b"weights"})
    found = list(fsck.check_all(hub, deep=True))
    assert found == [None] * 3  # .gitattributes too
    assert damages(hub) == []


def test_spoilt_bytes_are_put_aside_and_named_until_they_come_again(hub, ann):
    blob = upload(hub, ann, "ann/m", b"weights")
    commit(hub, ann, "ann/m", {}, large={"w.bin": b"weights"})
    spoil(hub, blob)
    assert list(fsck.check_all(hub, deep=False)) == [None] * 2
    list(fsck.check_all(hub, deep=True))
    (damage,) = damages(hub)
    assert (damage.sha256, damage.repositories) == (blob.sha256, ("ann/m",))
    with pytest.raises(BlobDamaged, match="is stored as bytes of SHA-256"):
        fsck.opened(hub, blob.sha256)
    assert fsck.check(hub, blob.sha256) == damage.problem  # the first finding stays
    assert not uploads.has_sent(hub, ann, "ann/m", blob)
    upload(hub, ann, "ann/m", b"weights")
    list(fsck.check_all(hub, deep=False))
    assert damages(hub) == []
    with fsck.opened(hub, blob.sha256) as stream:
        assert stream.read() == b"weights"


def test_what_is_gone_is_found_without_reading(hub, ann):
    blob = upload(hub, ann, "ann/m", b"weights")
    hub.blobs.delete(blob.sha256)
    with pytest.raises(BlobNotFound):
        fsck.opened(hub, blob.sha256)
    list(fsck.check_all(hub, deep=False))
    assert [damage.problem for damage in damages(hub)] == [fsck.MISSING]


def test_a_suspected_blob_is_checked_by_a_job(hub, ann):
    blob = upload(hub, ann, "ann/m", b"weights")
    spoil(hub, blob)
    fsck.suspect(hub, blob.sha256)
    Worker(hub, HANDLERS).run_all()
    assert len(damages(hub)) == 1


def test_all_have_their_turn_within_the_period(hub, ann):
    """Of a period of 720 rounds each takes its share; here that is one, the longest unread first."""
    for number in range(3):
        upload(hub, ann, "ann/m", b"%d" % number)
    total = len(list(fsck.check_all(hub, deep=False)))
    seen = []
    for _ in range(total):
        fsck.run(hub, {})
        with hub.database.session() as session:
            seen.append(session.query(BlobCheck).count())
    assert seen == list(range(1, total + 1))
    fsck.run(hub, {})
    with hub.database.session() as session:
        assert session.query(BlobCheck).count() == total


def test_upkeep_is_queued_once_and_queues_itself_again(hub):
    kinds = sorted([fsck.KIND, "proposals", "sweep"])
    begin_upkeep(hub)
    begin_upkeep(hub)
    with hub.database.transaction() as session:
        assert sorted(job.kind for job in session.query(Job)) == kinds
        session.query(Job).update({Job.run_after: now()})
    Worker(hub, {kind: HANDLERS[kind] for kind in kinds}).run_all()
    with hub.database.session() as session:
        states = sorted((job.kind, job.state) for job in session.query(Job))
    assert states == [(kind, state) for kind in kinds for state in ("done", "queued")]
