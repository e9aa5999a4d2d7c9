"""`modelcenter upload`: a checkpoint's folder to the hub, checked before a byte is sent."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelcenter.cli import verdicts
from modelcenter.cli.options import endpoint_option, include_options, json_option, repository_argument
from modelcenter.cli.output import remark, say, say_json, show, size
from modelcenter.errors import UploadRefused

if TYPE_CHECKING:
    from modelcenter.client.upload import Uploaded

# What would fail in the hands of those who fetch it. A folder without a checkpoint may well be a tokeniser's,
# and an architecture that we do not know may be known to others.
REFUSED = ("incomplete", "invalid_configuration", "damaged")


@click.command("upload")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@repository_argument
@click.option(
    "--revision",
    metavar="BRANCH",
    default="main",
    show_default=True,
    help="The branch, created when missing.",
)
@click.option("--message", "-m", metavar="TEXT", help="The commit's title.")
@click.option(
    "--private", is_flag=True, help="Create the repository for yourself and your organisation only."
)
@click.option("--force", is_flag=True, help="Send an incomplete or damaged checkpoint as it is.")
@include_options
@endpoint_option
@json_option
def command(
    path: Path,
    name: str,
    revision: str,
    message: str | None,
    private: bool,
    force: bool,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    endpoint: str | None,
    as_json: bool,
) -> None:
    """Upload the folder (or file) PATH to OWNER/NAME, which is created when missing.

    A checkpoint is checked from its headers first: an incomplete or damaged one is refused without --force.
    Files that are there already are left out; after an interruption the same command goes on where it
    stopped. Prints the commit and its address.
    """
    from huggingface_hub.utils.tqdm import disable_progress_bars

    from modelcenter.client import Hub
    from modelcenter.client.upload import ChosenFiles, chosen
    from modelcenter.verification import verify

    hub = Hub(endpoint)
    files = chosen(path, include, exclude)
    verdict = None
    if path.is_dir():
        verdict = verify(ChosenFiles(path, files))
        show(verdicts.drawn(verdict), on_stderr=True)
        if verdict.status in REFUSED and not force:
            raise UploadRefused(path, verdict.problem)
    if not sys.stderr.isatty():
        disable_progress_bars()
    uploaded = hub.upload(
        path,
        name,
        revision=revision,
        message=message,
        private=private,
        include=include,
        exclude=exclude,
    )
    remark(account(uploaded))
    if as_json:
        say_json(
            {
                "repository": name,
                "commit": uploaded.commit,
                "url": uploaded.url,
                "sent": list(uploaded.sent),
                "sent_bytes": uploaded.sent_bytes,
                "verdict": verdict.to_json() if verdict else None,
            }
        )
    else:
        say(uploaded.commit, uploaded.url)


def account(uploaded: Uploaded) -> str:
    """What travelled and what did not."""
    if not uploaded.sent:
        return f"Nothing to send: {uploaded.repository} has all {len(uploaded.files)} files already."
    kept = len(uploaded.files) - len(uploaded.sent)
    there = f"; the hub had the other {kept} already" if kept else ""
    return f"Sent {len(uploaded.sent)} of {len(uploaded.files)} files, {size(uploaded.sent_bytes)}{there}."
