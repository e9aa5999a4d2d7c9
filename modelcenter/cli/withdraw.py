"""`modelcenter withdraw`: a revision taken back."""

from __future__ import annotations

import click

from modelcenter.cli.options import endpoint_option, repository_argument
from modelcenter.cli.output import say


@click.command("withdraw")
@repository_argument
@click.argument("revision")
@click.option("--reason", metavar="TEXT", help="Why, for those who have loaded it.")
@click.option("--undo", is_flag=True, help="Let it stand again.")
@endpoint_option
def command(name: str, revision: str, reason: str | None, undo: bool, endpoint: str | None) -> None:
    """Take back the commit that REVISION of OWNER/NAME is at.

    Branches and tags then mean the newest commit before it that stands. Who names it by its id still gets it,
    and a warning with the reason.
    """
    from modelcenter.client import Hub

    if undo:
        Hub(endpoint).restore(name, revision)
        say(f"{revision} of {name} stands again.")
        return
    if not reason:
        raise click.UsageError("Say why with --reason: those who have loaded the revision are told.")
    say(f"{Hub(endpoint).withdraw(name, revision, reason)} of {name} is withdrawn.")
