"""`modelcenter conformance`: does a server speak the Hub protocol."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.text import Text

from modelcenter.cli.options import json_option
from modelcenter.cli.output import remark, say_json, show, table
from modelcenter.conformance.groups import GROUPS

STYLES = {"passed": "green", "failed": "bold red", "missing": "yellow", "skipped": "dim"}


@click.command("conformance")
@click.argument("url", metavar="URL")
@click.option(
    "--token", envvar="HF_TOKEN", required=True, help="Of a person who may create repositories. [HF_TOKEN]"
)
@click.option("--token2", help="Of a second person, for what one may not do to another's.")
@click.option(
    "--group",
    "groups",
    metavar="NAME",
    type=click.Choice(GROUPS),
    multiple=True,
    help=f"Only this one of {', '.join(GROUPS)}. Repeatable.",
)
@click.option("--long", is_flag=True, help="With files of 200 MB, 5,000 files, 16 clients at once.")
@click.option(
    "--python",
    metavar="PROGRAM",
    default=sys.executable,
    help="The Python whose huggingface_hub is the client. Default: this one.",
)
@click.option(
    "--html", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Write a report there."
)
@json_option
def command(
    url: str,
    token: str,
    token2: str | None,
    groups: tuple[str, ...],
    long: bool,
    python: str,
    html: Path | None,
    as_json: bool,
) -> None:
    """Ask any server whether it speaks the Hub protocol, as public clients do.

    Makes repositories with random names in the tokens' accounts and deletes them. A case is missing where the
    server does not have the feature, failed where it answers wrongly. Exit status 1 unless every required
    case passed and none failed.
    """
    from modelcenter.conformance import report, suite

    if not url.startswith(("http://", "https://")):
        raise click.UsageError(f"{url!r} is no address; expected http://… or https://….")
    outcomes = []
    for outcome in suite.run(url, token, token2, groups=groups or GROUPS, long=long, python=python):
        outcomes.append(outcome)
        remark(f"{outcome.status:<8} {outcome.group}: {outcome.title}")
    if html:
        html.write_text(report.to_html(url, outcomes), encoding="utf-8")
    if as_json:
        say_json(report.to_json(url, outcomes))
    else:
        rows = table("group", "case", "result", "expected and found")
        for outcome in outcomes:
            status = Text(outcome.status, style=STYLES[outcome.status])
            name = outcome.case.replace("_", " ") + ("" if outcome.required else " (optional)")
            rows.add_row(outcome.group, name, status, Text(outcome.detail))
        show(rows)
        show(", ".join(f"{count} {status}" for status, count in report.counts(outcomes).items() if count))
    if not report.conforms(outcomes):
        sys.exit(1)
