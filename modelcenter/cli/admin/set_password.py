"""`modelcenter admin set-password`: another password for the web pages."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from modelcenter.cli.admin import opened
from modelcenter.cli.options import data_option
from modelcenter.cli.output import say


@click.command("set-password")
@click.argument("name")
@data_option
def command(name: str, data: Path | None) -> None:
    """Give the user NAME the password that stdin holds. Whoever is signed in by the old one has to sign in.

    Tokens stay valid.
    """
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise click.UsageError("stdin holds no password.")
    with opened(data) as hub:
        from modelcenter.registry import accounts

        with hub.database.transaction() as session:
            accounts.set_password(session, accounts.find(session, name), password)
    say(f"{name} has a new password.")
