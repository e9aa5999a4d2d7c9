"""Hubs on either database, and the catalogue of this repository's cards in one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelcenter.registry.database import migrate
from modelcenter.registry.hub import Hub, open_hub
from modelcenter.settings import Settings
from tests.support.databases import postgresql_database, postgresql_server

CARDS = Path(__file__).parents[2] / "model_cards"
KINDS = ("sqlite", "postgresql")


@contextmanager
def hub_on(kind: str, folder: Path) -> Iterator[Hub]:
    """A migrated hub in `folder`, its database on SQLite or in a PostgreSQL server."""
    if kind == "sqlite":
        with _opened(folder, {}) as hub:
            yield hub
        return
    with (
        postgresql_server() as server,
        postgresql_database(server) as url,
        _opened(folder, {"DATABASE_URL": url}) as hub,
    ):
        yield hub


@contextmanager
def _opened(folder: Path, environment: dict[str, str]) -> Iterator[Hub]:
    hub = open_hub(Settings.from_environment(folder, environment))
    migrate(hub.database)
    try:
        yield hub
    finally:
        hub.database.close()
