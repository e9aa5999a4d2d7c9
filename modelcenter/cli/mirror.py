"""`modelcenter mirror`: a model of another hub copied to this one, with its history."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelcenter.cli.admin import opened
from modelcenter.cli.options import RepositoryName, ca_option, data_option, json_option
from modelcenter.cli.output import err, remark, say, say_json, size
from modelcenter.client import logins

if TYPE_CHECKING:
    from modelcenter.registry.mirror import Mirrored, Progress


name_option = click.option(
    "--as", "name", metavar="OWNER/NAME", type=RepositoryName(), help="Its name here. Default: the same."
)
by_option = click.option("--by", metavar="NAME", help="Who acts. Default: the hub's first site admin.")
force_option = click.option(
    "--force", is_flag=True, help="Take theirs where a branch was rewritten there or changed here."
)


@click.command("mirror")
@click.argument("upstream_id", metavar="UPSTREAM_ID")
@click.option(
    "--revision", metavar="REV", default="main", show_default=True, help="A branch, tag or commit id there."
)
@name_option
@click.option(
    "--upstream",
    metavar="URL",
    help="The hub to copy from. Default: MODELCENTER_UPSTREAM, else https://huggingface.co.",
)
@by_option
@force_option
@click.option(
    "--endpoint", metavar="URL", help="Ask the hub at that address instead, which does it in your name."
)
@ca_option
@data_option
@json_option
def command(
    upstream_id: str,
    revision: str,
    name: str | None,
    upstream: str | None,
    by: str | None,
    force: bool,
    endpoint: str | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Copy the model UPSTREAM_ID with the history of a revision into the hub in a data directory.

    Again: fetches what is new. After an interruption the same command fetches the rest. The token for the
    other hub is MODELCENTER_UPSTREAM_TOKEN, else the saved login there. Prints the commit.
    """
    if endpoint is not None:
        if by or force or data:
            raise click.UsageError(
                "--by, --force and --data are for the hub's own machine, without --endpoint."
            )
        ask(endpoint, upstream_id, revision, name, upstream)
        return
    with opened(data) as hub:
        from modelcenter.registry.adopting import operator
        from modelcenter.registry.mirror import mirror
        from modelcenter.registry.upstream import HUGGING_FACE, Upstream, own_token

        there = logins.normal(upstream or hub.settings.upstream or HUGGING_FACE)
        token = own_token(hub.settings, there) or logins.token(None, there)
        with hub.database.session() as session:
            actor = operator(session, by)
        with Upstream(there, token) as source, shown("fetching") as progress:
            result = mirror(
                hub,
                actor,
                source,
                upstream_id,
                revision=revision,
                repo_id=name,
                force=force,
                progress=progress,
            )
    remark(account(result, there))
    if as_json:
        say_json(
            {
                "repository": result.repo_id,
                "commit": result.commit,
                "refs": list(result.refs),
                "changed": result.changed,
                "transferred_bytes": result.transferred,
                "history": result.by_git,
            }
        )
    else:
        say(result.commit)


def ask(endpoint: str, upstream_id: str, revision: str, name: str | None, upstream: str | None) -> None:
    """Has the hub at `endpoint` make the mirror, and waits for it."""
    from modelcenter.client import mirroring

    place = logins.normal(endpoint)
    token = logins.token(None, place)
    wanted = {"upstream_id": upstream_id, "revision": revision, "as": name, "upstream": upstream}
    asked = {key: value for key, value in wanted.items() if value}
    repository = mirroring.request(place, token, asked)["repository"]
    remark(f"{place} mirrors {upstream_id} as {repository}. It goes on if you do not wait.")
    mirroring.wait(place, token, repository)
    say(repository)


def account(result: Mirrored, endpoint: str) -> str:
    """What came and what did not."""
    if not result.changed:
        return f"{result.repo_id} is up to date with {endpoint}."
    refs = ", ".join(result.refs) or "the commit, of which no branch is here"
    came = f"{result.repo_id} has {refs} of {endpoint}; {size(result.transferred)} of large files came."
    if result.by_git:
        return came
    return f"{came} {endpoint} does not speak Git, so the revision is one commit here, without its history."


@contextmanager
def shown(what: str) -> Iterator[Progress]:
    """A bar of bytes on stderr; nothing where nobody looks."""
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=err(),
        transient=True,
        disable=not sys.stderr.isatty(),
    ) as bars:
        task = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
