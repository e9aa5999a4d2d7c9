"""`modelcenter import`: a bundle made a model of the hub."""

from __future__ import annotations

from pathlib import Path

import click

from modelcenter.cli.admin import opened
from modelcenter.cli.mirror import by_option, force_option, name_option, shown
from modelcenter.cli.options import data_option
from modelcenter.cli.output import remark, say, size


@click.command("import")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@name_option
@by_option
@force_option
@data_option
def command(file: Path, name: str | None, by: str | None, force: bool, data: Path | None) -> None:
    """Make the bundle FILE, which `modelcenter export` wrote, a model of the hub in a data directory.

    All of it is read and hashed before anything is kept. A model that is here already gets what is new.
    Prints its name.
    """
    with opened(data) as hub:
        from modelcenter.registry import bundle
        from modelcenter.registry.adopting import operator

        with hub.database.session() as session:
            actor = operator(session, by)
        with file.open("rb") as stream, shown("reading") as progress:
            repository, manifest = bundle.read(hub, actor, stream, name, force=force, progress=progress)
    remark(f"{manifest.repository}: {len(manifest.refs)} branches and tags, {size(manifest.size)}.")
    say(repository.repo_id)
