"""`modelcenter serve`: a hub, its catalogue and its API."""

from __future__ import annotations

import os
from pathlib import Path

import click

from modelcenter.cli.options import ca_option, data_option
from modelcenter.cli.output import extra
from modelcenter.settings import Settings


@click.command("serve")
@data_option
@ca_option
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="The port to listen on; 0: any free one, printed.",
)
@click.option("--workers", type=click.IntRange(1), help="Server processes. Default: by the machine's cores.")
@click.option(
    "--upstream",
    metavar="URL",
    help="The hub to fetch models from that are asked for and not here. Default: MODELCENTER_UPSTREAM.",
)
def command(data: Path | None, host: str, port: int, workers: int | None, upstream: str | None) -> None:
    """Serve the hub: catalogue pages, Hub API, background work.

    Creates and migrates what is missing; GET /health answers 200 once it is ready. Ctrl-C stops it.
    """
    with extra("hub"):
        from hub_web.serve import serve
    settings = Settings.from_environment(
        data, {**os.environ, "MODELCENTER_UPSTREAM": upstream} if upstream else None
    )
    serve(settings, host=host, port=port, workers=workers)
