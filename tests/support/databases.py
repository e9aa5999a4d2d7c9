"""Databases for tests: a PostgreSQL server, found or started; schemas migrated once."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from modelcenter.registry.database import Database, migrate, open_database

STANDARD = "postgresql://postgres@127.0.0.1:5432"


def migrated(url: str) -> None:
    """Brings the database at `url` up to date and lets go of it."""
    database = open_database(url)
    try:
        migrate(database)
    finally:
        database.close()


@contextlib.contextmanager
def postgresql_server() -> Iterator[str]:
    """The address of a server: the machine's, else one of our own. Skips without either; fails in CI."""
    if _answers(STANDARD):
        yield STANDARD
        return
    programs = _programs()
    if programs is None:
        reason = (
            f"no PostgreSQL answers at {STANDARD} and no initdb is installed (Debian: apt install postgresql)"
        )
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with _started(programs) as url:
        yield url


@contextlib.contextmanager
def postgresql_database(server: str) -> Iterator[str]:
    """The address of a new database without tables, gone afterwards."""
    name = f"modelcenter_test_{secrets.token_hex(6)}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
    try:
        yield f"{server}/{name}"
    finally:
        with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def emptied(url: str) -> None:
    """Takes all rows out of the migrated PostgreSQL database at `url`, and ends whoever still uses it.

    A copy for each test would cost half a second where the server syncs its files; this costs milliseconds.
    """
    with psycopg.connect(url) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        connection.execute("SET LOCAL session_replication_role = replica")  # no cascades, no order
        tables = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
        )
        for (table,) in tables.fetchall():
            connection.execute(f'DELETE FROM "{table}"')
        sequences = connection.execute("SELECT sequencename FROM pg_sequences WHERE schemaname = 'public'")
        for (sequence,) in sequences.fetchall():
            connection.execute(f'ALTER SEQUENCE "{sequence}" RESTART')


def _answers(url: str) -> bool:
    try:
        psycopg.connect(f"{url}/postgres", connect_timeout=3).close()
    except psycopg.OperationalError:
        return False
    return True


def _programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    path = str(found[-1]) if found else shutil.which("initdb")
    return Path(path).parent if path else None


@contextlib.contextmanager
def _started(programs: Path) -> Iterator[str]:
    """A server of our own on a free port, without the durability that only costs time here."""
    # It refuses to run as root, and its user cannot enter pytest's folders.
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory(prefix="modelcenter-postgresql-") as folder:
        if user:
            shutil.chown(folder, "postgres")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        data = f"{folder}/data"
        initdb = [str(programs / "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8"]
        _run([*user, *initdb, "--locale=C.UTF-8", "--no-sync"])
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=300"
        control = [*user, str(programs / "pg_ctl"), "-D", data, "-w"]
        _run([*control, "-l", f"{folder}/log", "-o", options, "start"])
        try:
            yield f"postgresql://postgres@127.0.0.1:{port}"
        finally:
            _run([*control, "-m", "immediate", "stop"])


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL, timeout=120)


def wait_until_blocked(database: Database) -> None:
    """Returns once a statement of this database waits for another transaction's lock."""
    waiting = (
        "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)"
        " WHERE NOT granted AND pg_stat_activity.datname = current_database()"
    )
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with database.engine.connect() as connection:
            if connection.exec_driver_sql(waiting).scalar():
                return
    raise AssertionError("Nothing waits.")
