"""`modelcenter admin`: what is done beside the hub, on its data directory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelcenter.cli import Commands
from modelcenter.cli.output import extra
from modelcenter.settings import Settings

if TYPE_CHECKING:
    from modelcenter.registry.hub import Hub


@click.group(
    "admin",
    cls=Commands,
    package="modelcenter.cli.admin",
    names=(
        "migrate",
        "create-user",
        "set-password",
        "create-token",
        "create-organization",
        "set-role",
        "set-visibility",
        "set-quota",
        "disable-account",
        "identities",
        "link-identity",
        "seed",
        "check",
    ),
)
def command() -> None:
    """Tend a hub: its schema, people, tokens, catalogue and store."""


@contextmanager
def opened(data: Path | None) -> Iterator[Hub]:
    """The hub of a data directory, its schema up to date."""
    with extra("hub"):
        from sqlalchemy.exc import OperationalError

        from modelcenter.registry.database import migrate
        from modelcenter.registry.hub import open_hub
    hub = open_hub(Settings.from_environment(data))
    try:
        migrate(hub.database)
        yield hub
    except OperationalError as error:
        raise click.ClickException(f"The database cannot be used: {str(error.orig).strip()}") from error
    finally:
        hub.database.close()
