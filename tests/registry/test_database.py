from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import text
from sqlalchemy.exc import StatementError

from modelcenter.errors import SettingsError
from modelcenter.registry.database import add_to, insert_missing, open_database
from modelcenter.registry.tables import Account, DownloadCount, Facet, Repository, now


@pytest.fixture
def database(hub):
    return hub.database


@pytest.fixture
def repository(database) -> int:
    with database.transaction() as session:
        repository = Repository(namespace="a", name="b", status="linked", upstream="a/b")
        session.add(repository)
        session.flush()
        return repository.id


def test_writers_that_read_first_lose_no_update(database, repository):
    start = threading.Barrier(8)

    def count(_: int) -> None:
        start.wait()
        for _ in range(5):
            with database.transaction() as session:
                row = session.get(Repository, repository, with_for_update=True)
                row.downloads = row.downloads + 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count, range(8)))
    with database.session() as session:
        assert session.get(Repository, repository).downloads == 40


def test_a_failed_transaction_leaves_nothing(database):
    def fail() -> None:
        with database.transaction() as session:
            session.add(Account(name="Ann"))
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with database.session() as session:
        assert session.query(Account).count() == 0


def test_readers_wait_for_no_writer(database, repository):
    with database.transaction() as writing:
        writing.get(Repository, repository).downloads = 7
        writing.flush()
        with database.session() as reading:
            assert reading.get(Repository, repository).downloads == 0
    with database.session() as reading:
        assert reading.get(Repository, repository).downloads == 7


def test_a_session_to_read_sees_one_state(database, repository):
    with database.session() as reading:
        assert reading.get(Repository, repository) is not None
        with database.transaction() as writing:
            writing.delete(writing.get(Repository, repository))
        reading.expire_all()
        assert reading.get(Repository, repository) is not None
    with database.session() as reading:
        assert reading.get(Repository, repository) is None


def test_a_session_to_read_writes_nothing(database):
    with database.session() as session:
        session.add(Account(name="Ann"))
        session.flush()
    with database.session() as session:
        assert session.query(Account).count() == 0


def test_moments_come_back_in_utc(database):
    peking = datetime(2026, 3, 1, 8, 30, 1, 123456, tzinfo=timezone(timedelta(hours=8)))
    with database.transaction() as session:
        if not database.is_sqlite:
            session.execute(text("SET LOCAL TIME ZONE 'Asia/Tokyo'"))
        session.add(Account(name="Ann", created_at=peking))
        session.flush()
        session.expire_all()
        found = session.query(Account).one().created_at
        assert found == peking
        assert found.tzinfo is UTC
        assert session.query(Account).where(Account.created_at <= peking).count() == 1
        assert session.query(Account).where(Account.created_at < peking).count() == 0


def test_moments_without_a_zone_are_refused(database):
    with pytest.raises(StatementError, match="has no time zone"), database.transaction() as session:
        session.add(Account(name="Ann", created_at=datetime(2026, 3, 1)))  # noqa: DTZ001


def test_counters_start_and_grow(database, repository):
    keys = {"repository_id": repository, "day": now().date()}
    with database.transaction() as session:
        add_to(session, DownloadCount, keys, "count", 2)
        add_to(session, DownloadCount, keys, "count", 3)
        assert session.query(DownloadCount).one().count == 5


def test_rows_that_are_there_stay(database, repository):
    rows = [{"repository_id": repository, "facet": "tag", "value": str(number)} for number in range(2500)]
    with database.transaction() as session:
        insert_missing(session, Facet, rows[:1200])
        insert_missing(session, Facet, rows)
        insert_missing(session, Facet, [])
        assert session.query(Facet).count() == 2500


def test_addresses_of_other_databases_are_refused_by_name():
    with pytest.raises(SettingsError, match="mysql"):
        open_database("mysql://somewhere/db")
