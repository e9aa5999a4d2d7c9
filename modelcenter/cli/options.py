"""Arguments and options that several commands share."""

from __future__ import annotations

import os
import re
import ssl
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


def ca_option(function: Function) -> Function:
    """Whose certificates are trusted, by this process and those it starts."""
    return click.option(
        "--ca",
        metavar="FILE",
        type=click.Path(dir_okay=False),
        expose_value=False,
        callback=_trust,
        help="The certificates of the authorities to trust, in PEM. Default: REQUESTS_CA_BUNDLE, "
        "SSL_CERT_FILE, the usual ones.",
    )(function)


def _trust(ctx: click.Context, param: click.Parameter, path: str | None) -> None:
    """Has all connections of this process trust the authorities in `path`, and no others."""
    if path is None:
        for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
            place = os.environ.get(name)
            if place and not Path(place).exists():
                raise click.UsageError(f"{name} names {place}, which is not there.", ctx)
        return
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:  # an SSLError is one, too
        raise click.BadParameter(
            f"{path} holds no certificates in PEM ({error.strerror or error})."
        ) from error
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):  # commands that we start prefer the first
        os.environ[name] = str(Path(path).resolve())


def endpoint_option(function: Function) -> Function:
    """Which hub, and who vouches for it."""
    function = ca_option(function)
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


def architecture_option(function: Function) -> Function:
    """Which architecture, of what leaves it open."""
    return click.option(
        "--architecture",
        metavar="NAME",
        help="Of a checkpoint in OpenBMB's form whose tensors leave two: bert, roberta.",
    )(function)


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
