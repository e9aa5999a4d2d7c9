"""`modelcenter admin create-organization`: a name that several people share."""

from __future__ import annotations

from pathlib import Path

import click

from modelcenter.cli.admin import opened
from modelcenter.cli.options import data_option
from modelcenter.cli.output import say


@click.command("create-organization")
@click.argument("name")
@data_option
@click.option("--admin", "admin", metavar="USER", required=True, help="Who administers it at first.")
@click.option("--fullname", metavar="TEXT", help="The name as people read it.")
def command(name: str, data: Path | None, admin: str, fullname: str | None) -> None:
    """Create the organisation NAME."""
    with opened(data) as hub:
        from modelcenter.registry import accounts, organizations

        with hub.database.transaction() as session:
            actor = accounts.actor_of(session, accounts.find(session, admin))
            organizations.create(session, actor, name, fullname=fullname)
    say(f"Created the organisation {name}, which {admin} administers.")
