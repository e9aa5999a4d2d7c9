"""A running hub for the tests of the web application."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.server import Server, running_server


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory) -> Iterator[Server]:
    """One hub for all tests that leave others' repositories alone."""
    with running_server(tmp_path_factory.mktemp("hub")) as running:
        yield running


@pytest.fixture
def server(shared_server: Server) -> Server:
    """A running hub: .url, .data, .admin_token, .token and .read_token (alice's), .other_token (bob's)."""
    return shared_server
