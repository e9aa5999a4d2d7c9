"""`modelcenter admin create-user`: a person who may log in."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from modelcenter.cli.admin import opened
from modelcenter.cli.options import data_option
from modelcenter.cli.output import say


@click.command("create-user")
@click.argument("name")
@data_option
@click.option("--admin", "is_admin", is_flag=True, help="May do everything, everywhere on this hub.")
@click.option("--fullname", metavar="TEXT", help="The name as people read it.")
@click.option("--password-stdin", is_flag=True, help="Read the password for the web pages from stdin.")
def command(name: str, data: Path | None, is_admin: bool, fullname: str | None, password_stdin: bool) -> None:
    """Create the user NAME.

    Without a password they use tokens only: see `modelcenter admin create-token`.
    """
    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else None
    if password_stdin and not password:
        raise click.UsageError("--password-stdin was given, but stdin holds no password.")
    with opened(data) as hub:
        from modelcenter.registry.accounts import create_user

        with hub.database.transaction() as session:
            create_user(session, name, password=password, is_admin=is_admin, fullname=fullname)
    say(f"Created the {'site admin' if is_admin else 'user'} {name}.")
