"""`modelcenter convert`: a checkpoint in another form, proved to hold the same."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol

import click
from rich.console import Group, RenderableType
from rich.text import Text

from modelcenter.cli.options import architecture_option, json_option
from modelcenter.cli.output import err, facts, say_json, show, size, table

if TYPE_CHECKING:
    from modelcenter.conversion.report import Progress

GIGABYTE = 10**9


@dataclass(frozen=True)
class Request:
    """What is to be converted, and how. seconds: the longest it may take. architecture: see `load`."""

    source: Path
    destination: Path
    max_shard_bytes: int
    seconds: float
    architecture: str | None = None


class Outcome(Protocol):
    """What a conversion tells when it is done."""

    def to_json(self) -> dict[str, Any]:
        """All of it, for scripts."""
        ...

    def drawn(self) -> RenderableType:
        """The answer and what supports it, for people."""
        ...


Converter = Callable[[Request, "Progress"], Outcome]


def to_safetensors(request: Request, progress: Progress) -> Outcome:
    """Pickles, `.bin` or `.pt`, under the same names of tensors, with the files beside them."""
    from modelcenter.conversion.companions import WEIGHTS, companions, pickled_modules
    from modelcenter.conversion.process import to_safetensors
    from modelcenter.conversion.report import Limits

    # Not resolved: files of a cache are links, and those beside them belong to them.
    source, destination = request.source.absolute(), request.destination.absolute()
    folder = source.parent if source.is_file() else source
    is_in_place = destination.is_dir() and destination.samefile(folder)
    modules = pickled_modules(source)
    rewritten = tuple(f"{module}/" for module in modules)
    copied = tuple(
        name
        for name in (() if is_in_place else companions(source))
        if not (name.startswith(rewritten) and name.endswith(WEIGHTS))
    )
    report = to_safetensors(
        source,
        destination,
        companions=copied,
        modules=modules,
        max_shard_bytes=request.max_shard_bytes,
        limits=Limits(seconds=request.seconds, cpu_seconds=int(request.seconds) + 1),
        progress=progress,
    )
    return Safetensors(destination, copied, report.to_json())


def to_form(form: str, request: Request, progress: Progress) -> Outcome:
    """Another form's names, shapes and configuration: transformers', OpenBMB's, our own."""
    from modelcenter.exporting import export

    with as_safetensors(request, progress) as source:
        report = export(
            source,
            request.destination,
            form,
            architecture=request.architecture,
            max_shard_bytes=request.max_shard_bytes,
            progress=progress,
        )
    return Exported(request.destination, report.to_json())


@contextmanager
def as_safetensors(request: Request, progress: Progress) -> Iterator[Path]:
    """A folder of the checkpoint without pickles: its own, or one beside the destination that goes again."""
    from modelcenter.checkpoint.source import LocalFiles, beginning

    if beginning(LocalFiles(request.source))[1] != "pickle":
        yield request.source
        return
    parent = request.destination.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{request.destination.name}-", dir=parent) as folder:
        to_safetensors(replace(request, destination=Path(folder)), progress)
        yield Path(folder)


TARGETS: Mapping[str, Converter] = {
    "safetensors": to_safetensors,
    **{form: partial(to_form, form) for form in ("huggingface", "modelcenter", "native")},
}


@dataclass(frozen=True)
class Safetensors:
    """A proved conversion to safetensors. report: ConversionReport as JSON."""

    destination: Path
    copied: tuple[str, ...]
    report: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The report with where it was written."""
        return {"destination": str(self.destination), "copied": list(self.copied), **self.report}

    def drawn(self) -> RenderableType:
        """The proof, the files written, what was left out."""
        report = self.report
        drawn = table("file", "size", right=("size",))
        for name in (*report["files"], *self.copied):
            drawn.add_row(name, size((self.destination / name).stat().st_size))
        left_out = ", ".join(f"{name} ({kind})" for name, kind in report["left_out"].items())
        rows: list[tuple[str, object]] = [
            ("from", ", ".join(report["sources"])),
            ("to", self.destination),
            ("tensors", f"{report['tensors']}, {size(report['size_bytes'])}"),
            ("shared bytes", f"{report['shared']} tensors, each written in full" if report["shared"] else ""),
            ("left out", left_out),
        ]
        answer = f"✓ Converted: {report['identical']} of {report['tensors']} tensors identical."
        return Group(Text(answer, style="bold green"), facts(rows), Text(), drawn)


@dataclass(frozen=True)
class Exported:
    """A proved conversion to another form. report: FormReport as JSON."""

    destination: Path
    report: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The report with where it was written."""
        return {"destination": str(self.destination), **self.report}

    def drawn(self) -> RenderableType:
        """The proof, the files written, what the form cannot hold."""
        report = self.report
        drawn = table("file", "size", right=("size",))
        for name in (*report["files"], "config.json", *report["copied"]):
            drawn.add_row(name, size((self.destination / name).stat().st_size))
        rows: list[tuple[str, object]] = [
            ("family", report["family"]),
            ("from", f"the form {report['source']}"),
            ("to", f"the form {report['target']}, {self.destination}"),
            ("tensors", f"{report['tensors']}, {size(report['size_bytes'])}, {report['dtype']}"),
            (
                "computed",
                f"{report['computed']} tensors, by the form's constants" if report["computed"] else "",
            ),
            *(("note", note) for note in report["notes"]),
        ]
        answer = f"✓ Converted: {report['identical']} of {report['tensors']} tensors as they were meant."
        return Group(Text(answer, style="bold green"), facts(rows), Text(), drawn)


@click.command("convert")
@click.argument("source", metavar="SRC", type=click.Path(exists=True, path_type=Path))
@click.argument("destination", metavar="DST", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--to",
    "target",
    type=click.Choice(list(TARGETS)),
    default="safetensors",
    show_default=True,
    help="What to write.",
)
@click.option(
    "--max-shard-size",
    metavar="GB",
    type=click.FloatRange(min=0, min_open=True),
    default=5.0,
    show_default=True,
    help="The largest file, unless one tensor is larger.",
)
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    default=3600.0,
    show_default=True,
    help="The longest that reading pickles may take.",
)
@architecture_option
@json_option
def command(
    source: Path,
    destination: Path,
    target: str,
    max_shard_size: float,
    timeout: float,
    architecture: str | None,
    as_json: bool,
) -> None:
    """Convert the checkpoint SRC, a folder or a pickle, to another form in the folder DST.

    safetensors: the same tensors out of pickles. huggingface: as transformers reads them. modelcenter: as
    OpenBMB's original ModelCenter does. native: ModelCenter's own form, mapped as it runs.

    Pickles are read in a process of their own, which can execute nothing and has no network; to the other
    forms they go by way of safetensors, which lie beside DST meanwhile. Both sides are then compared tensor
    by tensor, bit for bit: DST gets all of it or, after any error, nothing.
    config.json, the tokeniser's and other small files are copied along, and the folders of
    sentence-transformers' modules. DST may be SRC.
    """
    folder = source.parent if source.is_file() else source
    if destination.is_dir() and any(destination.iterdir()) and not destination.samefile(folder):
        raise click.UsageError(f"{destination} is not empty: name a new folder, or {folder} itself.")
    if target != "safetensors" and source.is_file():
        raise click.UsageError(f"{source} is a file: name the folder that has its config.json too.")
    request = Request(source, destination, int(max_shard_size * GIGABYTE), timeout, architecture)
    with shown() as progress:
        outcome = TARGETS[target](request, progress)
    if as_json:
        say_json(outcome.to_json())
    else:
        show(outcome.drawn())


@contextmanager
def shown() -> Iterator[Progress]:
    """A bar on stderr for each stage; nothing where nobody looks."""
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    with Bars(
        TextColumn("{task.description:<9}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=err(),
        transient=True,
        disable=not sys.stderr.isatty(),
    ) as bars:
        tasks: dict[str, Any] = {}

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage)
            bars.update(tasks[stage], completed=done, total=total)

        yield progress
