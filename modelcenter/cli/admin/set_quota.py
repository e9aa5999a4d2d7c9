"""`modelcenter admin set-quota`: how much the models of a person or organisation may take."""

from __future__ import annotations

from pathlib import Path

import click

from modelcenter.cli.admin import opened
from modelcenter.cli.options import data_option
from modelcenter.cli.output import say


@click.command("set-quota")
@click.argument("name")
@click.argument("gigabytes", metavar="GIGABYTES|none")
@data_option
def command(name: str, gigabytes: str, data: Path | None) -> None:
    """Let the models of the person or organisation NAME take so many gigabytes (10^9 bytes) at most.

    What is there already stays; uploads beyond are refused. A file counts once, however many models have it.
    """
    quota = None if gigabytes == "none" else _bytes(gigabytes)
    with opened(data) as hub:
        from modelcenter.registry import accounts, quotas

        with hub.database.transaction() as session:
            owner = accounts.find(session, name)
            quotas.set_quota(session, owner, quota)
            used = quotas.used_bytes(session, owner.id)
    allowed = "as much as there is" if quota is None else f"{quota / 10**9:,.2f} GB"
    say(f"{name} may store {allowed}, and has stored {used / 10**9:,.2f} GB.")


def _bytes(gigabytes: str) -> int:
    try:
        number = float(gigabytes)
    except ValueError:
        number = -1
    if not 0 <= number < 10**9:
        raise click.BadParameter(
            f"{gigabytes!r} is no number of gigabytes; expected one such as 500, or none."
        )
    return round(number * 10**9)
