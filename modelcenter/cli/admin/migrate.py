"""`modelcenter admin migrate`: the schema brought up to date."""

from __future__ import annotations

from pathlib import Path

import click

from modelcenter.cli.admin import opened
from modelcenter.cli.options import data_option
from modelcenter.cli.output import say


@click.command("migrate")
@data_option
def command(data: Path | None) -> None:
    """Bring the database's schema up to date. Serving and all admin commands do it by themselves."""
    with opened(data) as hub:
        say(f"The schema of {hub.database.engine.url.render_as_string()} is up to date.")
