"""`modelcenter freeze`: a branch or tag that stays where it is."""

from __future__ import annotations

import click

from modelcenter.cli.options import endpoint_option, repository_argument
from modelcenter.cli.output import say


@click.command("freeze")
@repository_argument
@click.argument("ref")
@click.option("--undo", is_flag=True, help="Let it be moved again.")
@endpoint_option
def command(name: str, ref: str, undo: bool, endpoint: str | None) -> None:
    """Let nobody move or delete the branch or tag REF of OWNER/NAME, whatever their rights."""
    from modelcenter.client import Hub

    found = Hub(endpoint).freeze(name, ref, frozen=not undo)
    state = "frozen" if found["frozen"] else "free to move"
    say(f"{found['ref']} of {name} is {state}, at {found['commit']}.")
