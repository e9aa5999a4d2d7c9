"""How commands speak: results on stdout, all else on stderr; tables for people, JSON for scripts."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import click
from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from modelcenter.errors import ExtraMissing

PIPED_WIDTH = 200  # columns of a table that nobody looks at: nothing of use is cut


@cache
def out() -> Console:
    """The console of results."""
    return _console(stderr=False)


@cache
def err() -> Console:
    """The console of progress and remarks."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    # What people called their models is text, never markup.
    return Console(
        stderr=stderr,
        markup=False,
        emoji=False,
        highlight=False,
        width=None if stream.isatty() else PIPED_WIDTH,
    )


def show(what: RenderableType, *, on_stderr: bool = False) -> None:
    """A table, or text whose lines are left as long as they are: whoever reads them may be a script."""
    (err() if on_stderr else out()).print(what, soft_wrap=not isinstance(what, Table))


def say(*lines: object) -> None:
    """Lines of the result, as they are."""
    for line in lines:
        click.echo(line)


def remark(line: str) -> None:
    """A line about the work, on stderr."""
    click.echo(line, err=True)


def say_json(value: object) -> None:
    """The result as JSON."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """An empty table; the columns in `right` hold numbers."""
    drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for column in columns:
        drawn.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return drawn


def facts(rows: list[tuple[str, object]]) -> Text:
    """Names and values, without those that are not known."""
    known = [(name, str(value)) for name, value in rows if value not in (None, "", (), [], {})]
    width = max((len(name) for name, _ in known), default=0)
    lines = [Text.assemble((f"{name:<{width}}", "bold"), "  ", value) for name, value in known]
    return Text("\n").join(lines)


def size(count: float) -> str:
    """Bytes as people say them: `90.9 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} TB"


def amount(count: float | None) -> str:
    """A number of parameters as people say it: `22.7M`."""
    if count is None:
        return ""
    for unit in ("", "K", "M", "B"):
        if count < 1000:
            return f"{count:.0f}" if unit == "" else f"{count:.1f}{unit}"
        count /= 1000
    return f"{count:.2f}T"


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Imports of an optional part. Raises ExtraMissing when it is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("modelcenter", "hub_web"):
            raise  # our own file is missing: no extra brings it
        raise ExtraMissing(error.name or "more", name) from error
