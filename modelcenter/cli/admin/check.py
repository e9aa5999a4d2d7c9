"""`modelcenter admin check`: whether the store has what the repositories refer to."""

from __future__ import annotations

from pathlib import Path

import click

from modelcenter.cli.admin import opened
from modelcenter.cli.options import data_option
from modelcenter.cli.output import say


@click.command("check")
@data_option
@click.option("--deep", is_flag=True, help="Read and hash every file; else only see that it is there.")
def command(data: Path | None, deep: bool) -> None:
    """See that all files of all models are in the store, and name those that are not.

    A file whose bytes are not what they were is put aside and no more served. Exits with 1 where any is lost.
    """
    with opened(data) as hub:
        from modelcenter.registry import fsck

        checked = sum(1 for _ in fsck.check_all(hub, deep=deep))
        with hub.database.session() as session:
            damages = fsck.damages(session)
    for damage in damages:
        say(f"{damage.sha256} {damage.problem}: {', '.join(damage.repositories)}")
    say(f"Files {'read and hashed' if deep else 'looked for'}: {checked}. Lost: {len(damages)}.")
    if damages:
        raise SystemExit(1)
