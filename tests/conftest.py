"""Fixtures that all suites share: databases of both kinds, and a hub on them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelcenter.registry.hub import Hub, open_hub
from modelcenter.settings import Settings
from tests.support.databases import emptied, migrated, postgresql_database, postgresql_server
from tests.support.outside import at_hub, kept_bert, live_hub, tiny_bert, unique

__all__ = ["at_hub", "kept_bert", "live_hub", "tiny_bert", "unique"]  # fixtures, found by their names here


def pytest_configure() -> None:
    """One thread a worker, told before torch is imported: there are as many workers as cores."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The address of a PostgreSQL server, without a database."""
    with postgresql_server() as server:
        yield server


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """The address of an S3-speaking server, without a bucket."""
    from tests.support.s3 import s3_server

    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql: str) -> Iterator[str]:
    """The address of a migrated database, emptied after each test."""
    with postgresql_database(postgresql) as url:
        migrated(url)
        yield url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a migrated database, for copies."""
    path = tmp_path_factory.mktemp("template") / "modelcenter.sqlite3"
    migrated(f"sqlite:///{path}")
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a fresh, migrated database: once SQLite, once PostgreSQL."""
    if request.param == "sqlite":
        template: Path = request.getfixturevalue("sqlite_template")
        yield f"sqlite:///{shutil.copy(template, tmp_path / 'modelcenter.sqlite3')}"
        return
    url: str = request.getfixturevalue("migrated_postgresql")
    yield url
    emptied(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database without tables: once SQLite, once PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.sqlite3'}"
        return
    with postgresql_database(request.getfixturevalue("postgresql")) as url:
        yield url


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """The settings of a hub in a fresh directory, its database migrated."""
    return Settings(data=tmp_path / "hub", database_url=database_url, secret_key="only for tests")


@pytest.fixture
def hub(settings: Settings) -> Iterator[Hub]:
    """A hub with nothing in it."""
    hub = open_hub(settings)
    yield hub
    hub.database.close()
