"""Xorbs and shards as hf_xet makes them, and as nobody should."""

from __future__ import annotations

import io
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import event, func, select, update

from modelcenter.errors import AccessDenied, BlobMismatch, Invalid, QuotaExceeded, TooLarge
from modelcenter.registry import accounts, quotas, repositories, uploads
from modelcenter.registry.tables import LargeFile, Xorb, XorbPlace, now
from modelcenter.registry.xet import ingest
from tests.support.registry import limited, person
from tests.support.xet import Sent, packed, recorder, shard

NOISE = random.Random(5).randbytes(1_200_000)
FLOATS = b"".join(bytes([number % 251, number % 13, 63, 64]) for number in range(150_000))
CONTENT = NOISE + FLOATS + b"again and again " * 40_000


@pytest.fixture(scope="session")
def series(tmp_path_factory):
    """What hf_xet sends for CONTENT and a small file, then for a second version of CONTENT."""
    with (
        pytest.MonkeyPatch.context() as environment,
        recorder(tmp_path_factory.mktemp("xet"), environment) as client,
    ):
        first = client.send(CONTENT, CONTENT[:1000])
        return first, client.send(second_version())


def second_version() -> bytes:
    """CONTENT with its middle rewritten."""
    return CONTENT[:500_000] + b"rewritten" * 5_000 + CONTENT[600_000:]


@pytest.fixture
def ann(hub):
    ann = person(hub, "ann")
    repositories.create(hub, ann, "ann/m")
    return ann


def give(hub, actor, repo_id, sent: Sent):
    """Sends all xorbs, then all shards."""
    for name, body in sent.xorbs.items():
        ingest.receive_xorb(hub, actor, repo_id, name, io.BytesIO(body))
    return [
        blob for body in sent.shards for blob in ingest.receive_shard(hub, actor, repo_id, io.BytesIO(body))
    ]


def content_of(hub, blob) -> bytes:
    with hub.blobs.open(blob.sha256) as file:
        return file.read()


def sizes(hub, actor, repo_id, *blobs):
    with hub.database.session() as session:
        repository = repositories.get(session, actor, repo_id)
        return uploads.known_sizes(session, actor, repository, [blob.sha256 for blob in blobs])


def count(hub, table) -> int:
    with hub.database.session() as session:
        return session.scalar(select(func.count()).select_from(table))


def test_what_the_client_cut_into_chunks_stands_as_it_was(hub, ann, series):
    first, second = series
    blobs = give(hub, ann, "ann/m", first)
    assert {content_of(hub, blob) for blob in blobs} == {CONTENT, CONTENT[:1000]}
    assert sizes(hub, ann, "ann/m", *blobs) == {blob.sha256: blob.size for blob in blobs}
    assert not list(hub.staging)  # every chunk lies in a file
    assert sum(map(len, second.xorbs.values())) < len(CONTENT) / 2
    (again,) = give(hub, ann, "ann/m", second)  # whose shard refers to the first one's xorb
    assert content_of(hub, again) == second_version()
    assert not list(hub.staging)


def test_a_reference_is_answered_years_later(hub, ann, series):
    first, second = series
    give(hub, ann, "ann/m", first)
    repositories.create(hub, ann, "ann/other")
    with hub.database.transaction() as session:
        repositories.delete(session, ann, "ann/m")
        session.execute(update(Xorb).values(created_at=now() - timedelta(days=1000)))
    ingest.forget_aged(hub, {})
    (blob,) = give(hub, ann, "ann/other", second)
    assert content_of(hub, blob) == second_version()


def test_sent_twice_it_is_kept_once(hub, ann, series):
    first, _ = series
    for _ in range(2):
        give(hub, ann, "ann/m", first)
    (name,) = first.xorbs
    for _ in range(2):  # also where all of it lies in files
        ingest.receive_xorb(hub, ann, "ann/m", name, io.BytesIO(first.xorbs[name]))
    assert not list(hub.staging)
    assert count(hub, Xorb) == 1


def test_several_at_once_leave_each_file_whole(hub, ann, series):
    first, second = series
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: give(hub, ann, "ann/m", first), range(4)))
        files = [
            blob for blobs in pool.map(lambda _: give(hub, ann, "ann/m", second), range(4)) for blob in blobs
        ]
    assert {content_of(hub, blob) for blob in files} == {second_version()}
    assert not list(hub.staging)


def test_others_may_not_refer_to_what_they_never_had(hub, ann, series):
    first, second = series
    bob = person(hub, "bob")
    repositories.create(hub, bob, "bob/m")
    give(hub, ann, "ann/m", first)
    for refused in (first.shards[0], second.shards[0]):
        with pytest.raises(Invalid, match=r"not yours to refer to.* \(HF_HOME\) and upload again"):
            ingest.receive_shard(hub, bob, "bob/m", io.BytesIO(refused))
    (blob, _) = give(hub, ann, "ann/m", first)
    assert not sizes(hub, bob, "bob/m", blob)
    repositories.commit(
        hub, ann, "ann/m", "main", [repositories.AddLfs("w.bin", blob.sha256, blob.size)], title="Publish"
    )
    for name, body in second.xorbs.items():
        ingest.receive_xorb(hub, bob, "bob/m", name, io.BytesIO(body))
    (blob,) = ingest.receive_shard(hub, bob, "bob/m", io.BytesIO(second.shards[0]))
    assert content_of(hub, blob) == second_version()


def test_a_limited_token_refers_to_what_tokens_of_its_reach_sent(hub, ann, series):
    first, second = series
    repositories.create(hub, ann, "ann/secret", private=True)
    give(hub, ann, "ann/secret", first)
    narrow = limited(hub, ann, "ann/m")
    for refused in (first.shards[0], second.shards[0]):
        with pytest.raises(Invalid, match="not yours to refer to"):
            ingest.receive_shard(hub, narrow, "ann/m", io.BytesIO(refused))
    give(hub, narrow, "ann/m", first)
    for actor in (limited(hub, ann, "ann/m"), ann):
        (blob,) = give(hub, actor, "ann/m", second)
    assert content_of(hub, blob) == second_version()


def test_who_may_not_write_sends_nothing(hub, ann, series):
    first, _ = series
    reader = person(hub, "reader", scope="read")
    (name,) = first.xorbs
    with pytest.raises(AccessDenied):
        ingest.receive_xorb(hub, reader, "ann/m", name, io.BytesIO(first.xorbs[name]))
    with pytest.raises(AccessDenied):
        ingest.receive_shard(hub, reader, "ann/m", io.BytesIO(first.shards[0]))
    assert count(hub, Xorb) == 0
    assert not list(hub.staging)


def test_what_an_owner_has_no_room_for_is_not_taken(hub, ann, series):
    first, _ = series
    with hub.database.transaction() as session:
        account = accounts.find(session, "ann")
        quotas.set_quota(session, account, quotas.used_bytes(session, account.id) + len(CONTENT))
    with pytest.raises(QuotaExceeded):
        give(hub, ann, "ann/m", first)
    assert count(hub, LargeFile) == 0
    with hub.database.transaction() as session:
        quotas.set_quota(session, accounts.find(session, "ann"), 0)
    (name,) = first.xorbs
    with pytest.raises(QuotaExceeded):
        ingest.receive_xorb(hub, ann, "ann/m", name, io.BytesIO(first.xorbs[name]))


def test_what_is_sent_to_be_proposed_is_its_senders_alone(hub, ann, series):
    first, _ = series
    bob = person(hub, "bob")
    blobs = give(hub, bob, "ann/m", first)
    assert sizes(hub, bob, "ann/m", *blobs)
    assert not sizes(hub, ann, "ann/m", *blobs)


def test_chunks_that_no_file_names_age_out(hub, ann, series):
    first, _ = series
    (name,) = first.xorbs
    ingest.receive_xorb(hub, ann, "ann/m", name, io.BytesIO(first.xorbs[name]))
    ingest.forget_aged(hub, {})
    assert list(hub.staging)
    with hub.database.transaction() as session:
        session.execute(update(Xorb).values(created_at=now() - ingest.GRACE - timedelta(seconds=1)))
    ingest.forget_aged(hub, {})
    assert not list(hub.staging)
    assert count(hub, Xorb) == 0
    with pytest.raises(Invalid, match="not here"):
        ingest.receive_shard(hub, ann, "ann/m", io.BytesIO(first.shards[0]))
    assert len(give(hub, ann, "ann/m", first)) == 2


@pytest.mark.parametrize("staged", [True, False])
def test_partly_named_chunks_are_found_where_they_are(hub, ann, staged):
    chunks = [bytes([number]) * (1000 + number) for number in range(6)]
    name, body = packed(*chunks, scheme=1)
    ingest.receive_xorb(hub, ann, "ann/m", name, io.BytesIO(body))
    (part,) = ingest.receive_shard(hub, ann, "ann/m", shard(name, chunks, [(1, 3), (3, 4), (2, 3)]))
    assert content_of(hub, part) == b"".join([*chunks[1:4], chunks[2]])
    assert list(hub.staging)
    if not staged:
        with hub.database.transaction() as session:
            session.execute(update(Xorb).values(created_at=now() - ingest.GRACE - timedelta(seconds=1)))
        ingest.forget_aged(hub, {})
        with pytest.raises(Invalid, match="not here"):
            ingest.receive_shard(hub, ann, "ann/m", shard(name, chunks, [(0, 2)]))
    (again,) = ingest.receive_shard(hub, ann, "ann/m", shard(name, chunks, [(2, 4)]))
    assert content_of(hub, again) == b"".join(chunks[2:4])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sha256": "0" * 64}, BlobMismatch),
        ({"file_hash": bytes(32)}, Invalid),
        ({"sizes": [1]}, Invalid),
        ({"sizes": [2**32 - 1]}, Invalid),
        ({"flags": 0}, Invalid),
        ({"ranges": [(0, 4)]}, Invalid),
        ({"ranges": [(2, 1)]}, Invalid),
        ({"ranges": [(1, 1)]}, Invalid),
        ({"ranges": [(2**31, 2**31 + 1)], "sizes": [5]}, Invalid),
        ({"name": "f" * 64}, Invalid),
    ],
)
def test_a_shard_that_lies_leaves_nothing(hub, ann, change, reason):
    chunks = [b"a" * 10, b"b" * 20, b"c" * 30]
    name, body = packed(*chunks)
    ingest.receive_xorb(hub, ann, "ann/m", name, io.BytesIO(body))
    before = set(hub.blobs)
    told = {"name": name, "chunks": chunks, "ranges": [(0, 3)], **change}
    with pytest.raises(reason):
        ingest.receive_shard(hub, ann, "ann/m", shard(**told))
    assert set(hub.blobs) == before
    assert (count(hub, LargeFile), count(hub, XorbPlace)) == (0, 0)


@pytest.mark.parametrize("length", [0, 47, 60, 150, 200])
def test_a_shard_that_was_cut_off_is_refused(hub, ann, length):
    chunks = [b"a" * 10]
    body = shard("0" * 64, chunks, [(0, 1)]).getvalue()
    with pytest.raises(Invalid):
        ingest.receive_shard(hub, ann, "ann/m", io.BytesIO(body[:length]))


def test_a_shard_may_not_ask_for_a_file_without_end(hub, ann):
    chunks = [b"a" * 10]
    with pytest.raises(TooLarge):
        ingest.receive_shard(
            hub, ann, "ann/m", shard("0" * 64, chunks, [(0, 1)] * 500, sizes=[2**32 - 1] * 500)
        )


NAME, BODY = packed(b"chunk " * 100, b"other " * 200)


def test_a_footer_is_left_out(hub, ann):
    ingest.receive_xorb(hub, ann, "ann/m", NAME, io.BytesIO(BODY + b"XETBLOB\1" + bytes(500)))
    ingest.receive_xorb(hub, ann, "ann/m", NAME, io.BytesIO(BODY))
    assert len(list(hub.staging)) == 1


def test_many_small_files_take_as_many_statements_as_few(hub, ann, tmp_path):
    """They share a xorb."""

    def statements(number: int, seed: int) -> int:
        counted = []

        def note(connection, cursor, statement, *_):
            counted.append(statement)

        with (
            pytest.MonkeyPatch.context() as environment,
            recorder(tmp_path / str(seed), environment) as client,
        ):
            sent = client.send(*(random.Random(seed + n).randbytes(200) for n in range(number)))
        event.listen(hub.database.engine, "before_cursor_execute", note)
        try:
            assert len(give(hub, ann, "ann/m", sent)) == number
        finally:
            event.remove(hub.database.engine, "before_cursor_execute", note)
        return len(counted)

    assert statements(3, 100) == statements(60, 1000)


def test_a_caller_who_leaves_leaves_nothing(hub, ann, series):
    first, _ = series
    for name, body in first.xorbs.items():
        ingest.receive_xorb(hub, ann, "ann/m", name, io.BytesIO(body))
    before = set(hub.blobs)

    def gone(_: int) -> None:
        raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        ingest.receive_shard(hub, ann, "ann/m", io.BytesIO(first.shards[0]), gone)
    assert set(hub.blobs) == before
    assert count(hub, LargeFile) == 0
