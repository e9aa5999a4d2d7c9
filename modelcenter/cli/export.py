"""`modelcenter export`: a model of the hub in one file, for a hub that no network reaches."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import click

from modelcenter.cli.admin import opened
from modelcenter.cli.mirror import by_option, shown
from modelcenter.cli.options import data_option, repository_argument
from modelcenter.cli.output import remark, say, size


@click.command("export")
@repository_argument
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@by_option
@data_option
def command(name: str, file: Path, by: str | None, data: Path | None) -> None:
    """Write OWNER/NAME of the hub in a data directory, with all branches and tags, to the bundle FILE.

    `modelcenter import` makes it a model of another hub, with the same commits. FILE appears once whole.
    """
    with opened(data) as hub:
        from modelcenter.registry import bundle
        from modelcenter.registry.adopting import operator

        with hub.database.session() as session:
            actor = operator(session, by)
        draft = file.with_name(f".{file.name}-{secrets.token_hex(8)}")
        try:
            with draft.open("xb") as stream, shown("writing") as progress:
                manifest = bundle.write(hub, actor, name, stream, progress)
                stream.flush()
                os.fsync(stream.fileno())
            draft.replace(file)
        finally:
            draft.unlink(missing_ok=True)
    remark(f"{manifest.repository}: {len(manifest.refs)} branches and tags, {size(manifest.size)}.")
    say(file)
