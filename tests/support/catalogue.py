"""The catalogue of this repository's cards, and hubs that last longer than a test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from modelcenter.registry.hub import Hub, open_hub
from modelcenter.settings import Settings
from tests.support.databases import migrated, postgresql_database

CARDS = Path(__file__).parents[2] / "model_cards"
KINDS = ("sqlite", "postgresql")


@contextmanager
def lasting_hub(request: pytest.FixtureRequest, kind: str, folder: Path) -> Iterator[Hub]:
    """A migrated hub in `folder` for fixtures of a wider scope than `hub`'s."""
    if kind == "sqlite":
        template = request.getfixturevalue("sqlite_template")
        with _opened(folder, f"sqlite:///{shutil.copy(template, folder / 'modelcenter.sqlite3')}") as hub:
            yield hub
        return
    with postgresql_database(request.getfixturevalue("postgresql")) as url:
        migrated(url)
        with _opened(folder, url) as hub:
            yield hub


@contextmanager
def _opened(folder: Path, url: str) -> Iterator[Hub]:
    hub = open_hub(Settings(data=folder, database_url=url, secret_key="only for tests"))
    try:
        yield hub
    finally:
        hub.database.close()
