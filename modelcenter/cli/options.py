"""Arguments and options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])


class RepositoryName(click.ParamType[str]):
    """OWNER/NAME, as the hub spells it."""

    name = "OWNER/NAME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name. Fails for what names no repository; what it may be made of is the hub's to say."""
        if not re.fullmatch(r"[^\s/]+/[^\s/]+", value):
            self.fail(f"{value!r} is no repository; expected OWNER/NAME.", param, ctx)
        return str(value)


def repository_argument(function: Function) -> Function:
    """OWNER/NAME as the argument `name`."""
    return click.argument("name", metavar="OWNER/NAME", type=RepositoryName())(function)


def endpoint_option(function: Function) -> Function:
    """Which hub."""
    return click.option(
        "--endpoint",
        metavar="URL",
        help="The hub's address. Default: MODELCENTER_ENDPOINT, the saved login, HF_ENDPOINT.",
    )(function)


def revision_option(function: Function) -> Function:
    """Which branch, tag or commit."""
    return click.option("--revision", metavar="REV", help="A branch, tag or commit id. Default: main.")(
        function
    )


def json_option(function: Function) -> Function:
    """Output for scripts, as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


def data_option(function: Function) -> Function:
    """Which hub's data, for commands that run beside it."""
    return click.option(
        "--data",
        metavar="DIR",
        type=click.Path(file_okay=False, path_type=Path),
        help="The hub's data directory, created when missing. Default: MODELCENTER_DATA, else ./data.",
    )(function)


def include_options(function: Function) -> Function:
    """Which files, by patterns."""
    function = click.option(
        "--exclude", metavar="PATTERN", multiple=True, help="Leave out what matches, such as '*.onnx'."
    )(function)
    return click.option(
        "--include", metavar="PATTERN", multiple=True, help="Only what matches, such as '*.json'. Repeatable."
    )(function)
