"""`modelcenter verify`: does a checkpoint load, told from its headers."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from modelcenter.cli import verdicts
from modelcenter.cli.options import architecture_option, endpoint_option, json_option, revision_option
from modelcenter.cli.output import say_json, show


@click.command("verify")
@click.argument("name", metavar="PATH_OR_NAME")
@revision_option
@endpoint_option
@architecture_option
@json_option
def command(
    name: str, revision: str | None, endpoint: str | None, architecture: str | None, as_json: bool
) -> None:
    """Check a checkpoint, in a folder or on the hub, from config.json and the tensor headers alone.

    Says whether every tensor is there, in its shape, and none too many. No weights are read or fetched. Exit
    status 1 when it is not complete.
    """
    from modelcenter.checkpoint.files import LocalFiles
    from modelcenter.client import remote_files
    from modelcenter.client.locate import is_local
    from modelcenter.verification import verify

    path = Path(name).expanduser()
    if path.is_file():
        raise click.UsageError(f"{name} is a file; expected the folder of a checkpoint, or OWNER/NAME.")
    if is_local(name) or path.is_dir():
        if not path.is_dir():
            raise click.UsageError(f"{name} is no folder.")
        if revision is not None:
            raise click.UsageError(f"{name} is a folder: only models on a hub have revisions.")
        verdict = verify(LocalFiles(path), architecture=architecture)
    else:
        verdict = verify(remote_files(name, revision, endpoint), architecture=architecture, values=False)
    if as_json:
        say_json(verdict.to_json())
    else:
        show(verdicts.drawn(verdict))
    if verdict.status != "complete":
        sys.exit(1)
