"""`modelcenter plan`: what loading would read, map and copy."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Group
from rich.table import Table

from modelcenter.cli.options import architecture_option, endpoint_option, json_option, revision_option
from modelcenter.cli.output import facts, say_json, show, size, table
from modelcenter.planning import LoadingPlan, size_bytes

SHOWN = 24  # parameters


@click.command("plan")
@click.argument("name", metavar="PATH_OR_NAME")
@revision_option
@endpoint_option
@click.option("--dtype", metavar="DTYPE", help="fp32, fp16 or bf16. Default: the checkpoint's own.")
@click.option("--head", metavar="HEAD", help="One of the heads that the checkpoint carries, or none.")
@click.option(
    "--tp", "world", metavar="N", type=click.IntRange(min=1), default=1, help="Over how many ranks."
)
@click.option("--rank", metavar="I", type=click.IntRange(min=0), default=0, help="Which of them. Default: 0.")
@click.option("--stored", is_flag=True, help="In the stored layout (`fuse=False`), not fused.")
@click.option("--no-mmap", is_flag=True, help="All in memory of its own.")
@click.option("--all", "shows_all", is_flag=True, help="Every parameter, not the first ones alone.")
@architecture_option
@json_option
def command(
    name: str,
    revision: str | None,
    endpoint: str | None,
    dtype: str | None,
    head: str | None,
    world: int,
    rank: int,
    stored: bool,
    no_mmap: bool,
    shows_all: bool,
    architecture: str | None,
    as_json: bool,
) -> None:
    """Show what `load` does for a checkpoint: the bytes it reads, what stays mapped, what is copied.

    Told from config.json and the tensor headers, in a folder or on the hub, without torch.
    """
    from modelcenter.checkpoint.files import Files, LocalFiles
    from modelcenter.client import remote_files
    from modelcenter.client.locate import is_local
    from modelcenter.planning import plan

    files: Files
    if is_local(name) or Path(name).expanduser().is_dir():
        if revision is not None:
            raise click.UsageError(f"{name} is a folder: only models on a hub have revisions.")
        files = LocalFiles(Path(name).expanduser())
    else:
        files = remote_files(name, revision, endpoint)
    planned = plan(
        files,
        dtype=dtype,
        head=head,
        fuse=not stored,
        mapped=not no_mmap,
        rank=rank,
        world=world,
        architecture=architecture,
    )
    if as_json:
        say_json(planned.to_json())
    else:
        show(Group(facts(rows(planned)), ""))
        show(parameters(planned, None if shows_all else SHOWN))


def rows(planned: LoadingPlan) -> list[tuple[str, object]]:
    """The sums."""
    stored = sum(info.size_bytes for info in planned.header.tensors.values())
    share = f"{planned.bytes_read / stored:.0%} of the tensors" if stored else ""
    return [
        ("family", f"{planned.matched.family.name} in {planned.dtype}"),
        ("rank", f"{planned.rank} of {planned.world}" if planned.world > 1 else None),
        ("reads", f"{size(planned.bytes_read)} ({share}), on pages of {size(planned.bytes_touched)}"),
        ("ranges", over_http(planned)),
        ("mapped", size(planned.bytes_mapped)),
        ("copied", f"{size(planned.bytes_copied)}: private memory at its peak"),
        ("corrected", "; ".join(planned.corrections)),
    ]


def over_http(planned: LoadingPlan) -> str:
    """What streaming takes from a server that gathers nothing."""
    return f"{planned.ranges:,} over HTTP, with {size(planned.bytes_over_read)} between that nobody needs"


def parameters(planned: LoadingPlan, most: int | None) -> Table:
    """The parameters in the order in which they are read."""
    drawn = table("parameter", "shape", "size", "way", "from", right=("size",))
    for step in planned.steps[:most]:
        assignment = step.assignment
        sources = list(dict.fromkeys(piece.source for piece in assignment.pieces))
        more = f" and {len(sources) - 1} more" if len(sources) > 1 else ""
        drawn.add_row(
            assignment.parameter,
            " × ".join(map(str, assignment.shape)),
            size(size_bytes(step)),
            step.way,
            f"{sources[0]}{more}" if sources else "",
        )
    if most is not None and len(planned.steps) > most:
        drawn.caption = f"and {len(planned.steps) - most} more: --all shows them"
    return drawn
