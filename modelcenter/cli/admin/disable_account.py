"""`modelcenter admin disable-account`: nobody acts in that name any more."""

from __future__ import annotations

from pathlib import Path

import click

from modelcenter.cli.admin import opened
from modelcenter.cli.options import data_option
from modelcenter.cli.output import say


@click.command("disable-account")
@click.argument("name")
@data_option
@click.option("--undo", is_flag=True, help="Let it act again.")
def command(name: str, data: Path | None, undo: bool) -> None:
    """Refuse every token, password and sign-in of the user NAME from now on. What they made stays."""
    with opened(data) as hub:
        from modelcenter.registry import accounts

        with hub.database.transaction() as session:
            accounts.disable(session, accounts.find(session, name), disabled=not undo)
    say(f"{name} may {'act again' if undo else 'not act any more'}.")
