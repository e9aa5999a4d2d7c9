"""`modelcenter admin link-identity`: somebody of a provider of OpenID Connect signs in as a user here."""

from __future__ import annotations

from pathlib import Path

import click

from modelcenter.cli.admin import opened
from modelcenter.cli.options import data_option
from modelcenter.cli.output import say


@click.command("link-identity")
@click.argument("name")
@click.argument("issuer")
@click.argument("subject")
@data_option
@click.option("--undo", is_flag=True, help="Let them sign in so no more.")
def command(name: str, issuer: str, subject: str, data: Path | None, undo: bool) -> None:
    """Let SUBJECT of the provider ISSUER sign in as the user NAME, and as nobody else from now on.

    `modelcenter admin identities` tells the issuer and subject of everybody who has signed in so.
    """
    with opened(data) as hub:
        from modelcenter.registry import signin

        with hub.database.transaction() as session:
            act = signin.unlink if undo else signin.link
            act(session, None, name, issuer, subject)
    say(f"{subject} of {issuer} {'no longer signs in' if undo else 'signs in'} as {name}.")
