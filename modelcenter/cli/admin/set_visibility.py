"""`modelcenter admin set-visibility`: whether new models are private unless said."""

from __future__ import annotations

from pathlib import Path

import click

from modelcenter.cli.admin import opened
from modelcenter.cli.options import data_option
from modelcenter.cli.output import say


@click.command("set-visibility")
@click.argument("name")
@click.argument("visibility", type=click.Choice(["public", "private"]))
@data_option
def command(name: str, visibility: str, data: Path | None) -> None:
    """Make new models of the person or organisation NAME public or private where nothing else is said.

    Models that are there stay as they are.
    """
    with opened(data) as hub:
        from modelcenter.registry import organizations

        with hub.database.transaction() as session:
            organizations.set_default_visibility(session, None, name, private=visibility == "private")
    say(f"New models of {name} are {visibility} unless said otherwise.")
