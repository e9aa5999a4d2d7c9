"""A running hub for the tests of the web application."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.databases import postgresql_database
from tests.support.server import Server, running_server


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def shared_server(request: pytest.FixtureRequest, tmp_path_factory) -> Iterator[Server]:
    """One hub for all tests that leave others' repositories alone: once on SQLite, once on PostgreSQL."""
    data = tmp_path_factory.mktemp("hub")
    if request.param == "sqlite":
        with running_server(data) as running:
            yield running
        return
    with (
        postgresql_database(request.getfixturevalue("postgresql")) as url,
        running_server(data, database_url=url) as running,
    ):
        yield running


@pytest.fixture
def server(shared_server: Server) -> Server:
    """A running hub: .url, .data, .admin_token, .token and .read_token (alice's), .other_token (bob's)."""
    return shared_server
