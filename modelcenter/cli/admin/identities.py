"""`modelcenter admin identities`: who signs in by a provider of OpenID Connect, and as whom."""

from __future__ import annotations

from pathlib import Path

import click

from modelcenter.cli.admin import opened
from modelcenter.cli.options import data_option, json_option
from modelcenter.cli.output import say_json, show, table


@click.command("identities")
@data_option
@json_option
def command(data: Path | None, as_json: bool) -> None:
    """List whom providers vouch for, and the users as whom they sign in."""
    with opened(data) as hub:
        from modelcenter.registry import signin

        with hub.database.session() as session:
            rows = [(row.account.name, row.issuer, row.subject) for row in signin.identities(session)]
    if as_json:
        say_json([dict(zip(("user", "issuer", "subject"), row, strict=True)) for row in rows])
        return
    drawn = table("user", "issuer", "subject")
    for row in rows:
        drawn.add_row(*row)
    show(drawn)
