"""`modelcenter download`: a revision's files from a hub."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from modelcenter.cli.options import (
    endpoint_option,
    include_options,
    json_option,
    repository_argument,
    revision_option,
)
from modelcenter.cli.output import remark, say, say_json


@click.command("download")
@repository_argument
@revision_option
@click.option(
    "--to",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder to write to. Default: the cache that loading uses too.",
)
@include_options
@click.option("--all", "whole", is_flag=True, help="Also weights in forms that loading does not read.")
@endpoint_option
@json_option
def command(
    name: str,
    revision: str | None,
    to: Path | None,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    whole: bool,
    endpoint: str | None,
    as_json: bool,
) -> None:
    """Download a model's files and print the folder they are in. What is there is not fetched again.

    Of weights in several forms the one that loading reads, unless --all, --include or --exclude are given.
    """
    from huggingface_hub.utils.tqdm import disable_progress_bars

    from modelcenter.client import Hub

    if as_json or not sys.stderr.isatty():
        disable_progress_bars()
    folder = Hub(endpoint).download(
        name, revision=revision, to=to, include=include, exclude=exclude, whole=whole, tell=remark
    )
    if as_json:
        files = sorted(
            path.relative_to(folder).as_posix()
            for path in folder.rglob("*")
            if path.is_file() and ".cache" not in path.relative_to(folder).parts
        )
        say_json({"repository": name, "folder": str(folder), "files": files})
    else:
        say(folder)
