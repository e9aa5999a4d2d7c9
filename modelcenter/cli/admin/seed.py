"""`modelcenter admin seed`: the catalogue's entries from a folder of model cards."""

from __future__ import annotations

from pathlib import Path

import click

from modelcenter.cli.admin import opened
from modelcenter.cli.options import data_option
from modelcenter.cli.output import say


@click.command("seed")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@data_option
def command(folder: Path, data: Path | None) -> None:
    """Register every FOLDER/OWNER/NAME/README.md as a catalogue entry that points to its upstream repository.

    Seeding again changes nothing; entries that became hosted models are left alone.
    """
    with opened(data) as hub:
        from modelcenter.registry.seed import seed

        result = seed(hub, folder)
    say(
        f"{result.created} entries created, {result.updated} renewed, {result.unchanged} unchanged, "
        f"{result.kept} left alone as they are hosted here."
    )
