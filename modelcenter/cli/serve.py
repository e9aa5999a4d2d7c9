"""`modelcenter serve`: a hub, its catalogue and its API."""

from __future__ import annotations

from pathlib import Path

import click

from modelcenter.cli.options import data_option
from modelcenter.cli.output import extra
from modelcenter.settings import Settings


@click.command("serve")
@data_option
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="The port to listen on; 0: any free one, printed.",
)
@click.option("--workers", type=click.IntRange(1), help="Server processes. Default: by the machine's cores.")
def command(data: Path | None, host: str, port: int, workers: int | None) -> None:
    """Serve the hub: catalogue pages, Hub API, background work.

    Creates and migrates what is missing; GET /health answers 200 once it is ready. Ctrl-C stops it.
    """
    with extra("hub"):
        from hub_web.serve import serve
    serve(Settings.from_environment(data), host=host, port=port, workers=workers)
