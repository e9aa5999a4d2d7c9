"""Files that arrive in parts: any order, lost parts again, nothing before all of it was hashed."""

from __future__ import annotations

import hashlib
import random
from datetime import timedelta

import pytest
from sqlalchemy import update

from modelcenter.errors import AccessDenied, BlobMismatch, Invalid
from modelcenter.registry import arriving, repositories, uploads
from modelcenter.registry.blobs.interface import Blob, Part
from modelcenter.registry.tables import Job, UploadPart, now
from tests.support.registry import person

DATA = random.Random(1).randbytes(25)
BLOB = Blob(hashlib.sha256(DATA).hexdigest(), len(DATA))
PIECES = {1: DATA[:10], 2: DATA[10:20], 3: DATA[20:]}


@pytest.fixture
def ann(hub):
    ann = person(hub, "ann")
    repositories.create(hub, ann, "ann/m")
    return ann


def send(hub, actor, number, data=None, upload="u") -> Part:
    data = PIECES[number] if data is None else data
    tag = arriving.take_part(hub, actor, "ann/m", upload, BLOB, number, len(PIECES[number]), [data])
    return Part(number, tag)


def finish(hub, actor, parts, upload="u") -> None:
    arriving.finish(hub, actor, "ann/m", upload, BLOB, 3, parts)


def rows(hub) -> int:
    with hub.database.session() as session:
        return session.query(UploadPart).count()


def test_parts_in_any_order_are_one_file_and_leave_nothing(hub, ann):
    parts = [send(hub, ann, number) for number in (3, 1, 2)]
    assert not uploads.has_sent(hub, ann, "ann/m", BLOB)
    finish(hub, ann, parts)
    assert uploads.has_sent(hub, ann, "ann/m", BLOB)
    with hub.blobs.open(BLOB.sha256) as stream:
        assert stream.read() == DATA
    assert list(hub.staging) == []
    assert rows(hub) == 0


def test_a_part_that_was_lost_or_spoilt_is_sent_again(hub, ann):
    first, spoilt, third = send(hub, ann, 1), send(hub, ann, 2, b"0123456789"), send(hub, ann, 3)
    with pytest.raises(BlobMismatch):
        finish(hub, ann, [first, spoilt, third])
    assert not uploads.has_sent(hub, ann, "ann/m", BLOB)
    second = send(hub, ann, 2)
    assert len(list(hub.staging)) == 3
    finish(hub, ann, [first, second, third])
    assert uploads.has_sent(hub, ann, "ann/m", BLOB)


def test_what_is_missing_is_named(hub, ann):
    first = send(hub, ann, 1)
    with pytest.raises(Invalid, match="number 2 has not arrived"):
        finish(hub, ann, [first])
    with pytest.raises(Invalid, match="number 1 has not arrived"):
        finish(hub, ann, [Part(1, "0" * 64)])


@pytest.mark.parametrize("data", [b"", b"123456789", b"12345678901"])
def test_a_part_of_another_length_is_refused(hub, ann, data):
    with pytest.raises(BlobMismatch):
        send(hub, ann, 1, data)
    assert list(hub.staging) == []
    assert rows(hub) == 0


def test_equal_parts_of_two_uploads_do_not_take_each_other_away(hub, ann):
    mine = [send(hub, ann, number) for number in PIECES]
    others = [send(hub, ann, number, upload="v") for number in PIECES]
    finish(hub, ann, mine)
    finish(hub, ann, others, upload="v")
    assert list(hub.staging) == []


def test_only_those_who_may_write_send_parts(hub, ann):
    repositories.create(hub, ann, "ann/secret")
    with pytest.raises(AccessDenied):
        send(hub, person(hub, "eve", scope="read"), 1)
    assert list(hub.staging) == []


def test_what_was_left_behind_is_cleared_in_time(hub, ann):
    send(hub, ann, 1)
    stray = hub.staging.put([b"a crash came before the row that would name these bytes"])
    arriving.sweep(hub, {})
    assert len(list(hub.staging)) == 2
    with hub.database.transaction() as session:
        session.execute(update(UploadPart).values(created_at=now() - arriving.KEPT - timedelta(hours=1)))
        (job,) = session.query(Job).filter(Job.kind == arriving.SWEEP)
        assert job.payload == {"strays": [stray.sha256]}
        session.delete(job)
    arriving.sweep(hub, job.payload)
    assert list(hub.staging) == []
    assert rows(hub) == 0
