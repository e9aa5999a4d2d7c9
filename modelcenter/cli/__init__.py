"""The command line: one file a command, imported when it is called."""

from __future__ import annotations

import errno
import importlib
import io
import keyword
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import click

from modelcenter import __version__
from modelcenter.errors import ModelCenterError


class Commands(click.Group):
    """A group whose commands live in modules of `package` and are imported on demand.

    What goes wrong for a reason we know ends as one sentence on stderr and exit status 1; wrong use is
    click's, status 2.
    """

    def __init__(self, *, package: str, names: tuple[str, ...], **settings: Any) -> None:
        super().__init__(**settings)
        self.package, self.names = package, names

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.names:
            return None
        file = cmd_name.replace("-", "_") + ("_" if keyword.iskeyword(cmd_name) else "")
        module = importlib.import_module(f"{self.package}.{file}")
        command = module.command
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ModelCenterError as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            if error.errno is None or error.errno == errno.EPIPE or isinstance(error, InterruptedError):
                raise
            place = f"{error.filename}: " if error.filename else ""
            raise click.ClickException(f"{place}{error.strerror}.") from error


@click.group(
    cls=Commands,
    package="modelcenter.cli",
    names=(
        *("serve", "upload", "download", "search", "info", "login", "whoami", "verify", "plan"),
        *("convert",),
        *("withdraw", "freeze"),
        *("mirror", "export", "import", "conformance", "admin"),
    ),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="modelcenter")
def cli() -> None:
    """One place for pretrained language models, and one call to use them."""


def main() -> None:
    """The console script."""
    # What other tools read is meant for us, too, and goes before what images of containers are built with;
    # httpx2 knows SSL_CERT_FILE and SSL_CERT_DIR alone.
    bundle = os.environ.get("REQUESTS_CA_BUNDLE")
    if bundle:
        for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
            os.environ.pop(name, None)
        os.environ["SSL_CERT_DIR" if Path(bundle).is_dir() else "SSL_CERT_FILE"] = bundle
    warnings.showwarning = remark_on
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a name in Chinese shows question marks, not a traceback.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    cli(prog_name="modelcenter")


def remark_on(message: Warning | str, *_: object, **__: object) -> None:
    """A warning as people read it: without the line of the program that it came from."""
    click.echo(f"Warning: {message}", err=True)
