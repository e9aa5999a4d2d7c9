"""`modelcenter info`: what the hub knows of a model."""

from __future__ import annotations

from typing import Any

import click
from rich.console import RenderableType
from rich.text import Text

from modelcenter.cli import verdicts
from modelcenter.cli.options import endpoint_option, json_option, repository_argument, revision_option
from modelcenter.cli.output import amount, facts, say, say_json, show, size, table
from modelcenter.verification import Verdict


@click.command("info")
@repository_argument
@revision_option
@click.option("--files", "with_files", is_flag=True, help="List the files, too.")
@endpoint_option
@json_option
def command(name: str, revision: str | None, with_files: bool, endpoint: str | None, as_json: bool) -> None:
    """Show a model's facts and the hub's verdict whether it loads."""
    from modelcenter.client import Hub

    hub = Hub(endpoint)
    found = hub.info(name, revision)
    status = found.get("modelcenter", {}).get("status")
    verdict = hub.verdict(name, revision) if status == "hosted" else None
    if as_json:
        say_json({**found, "verdict": verdict})
        return
    show(facts(rows(found)))
    say()
    show(judgement(found, verdict))
    if with_files and found.get("siblings"):
        drawn = table("file", "size", right=("size",))
        for file in found["siblings"]:
            drawn.add_row(file["rfilename"], size(file.get("size") or 0))
        say()
        show(drawn)


def rows(found: dict[str, Any]) -> list[tuple[str, object]]:
    """What is known of the model."""
    known = found.get("modelcenter", {})
    dtypes = ", ".join(
        f"{dtype} {amount(count)}" for dtype, count in known.get("parameters_by_dtype", {}).items()
    )
    parameters = amount(known.get("parameters"))
    card = found.get("cardData") or {}
    languages = card.get("language") or []
    return [
        ("model", found["id"]),
        ("about", known.get("description_en")),
        ("简介", known.get("description_zh")),
        ("commit", found["sha"] if known.get("status") != "linked" else ""),
        ("changed", found.get("lastModified")),
        ("task", found.get("pipeline_tag")),
        ("languages", ", ".join([languages] if isinstance(languages, str) else languages)),
        ("licence", known.get("license")),
        ("family", known.get("family")),
        ("architecture", known.get("architecture")),
        ("parameters", f"{parameters} ({dtypes})" if parameters and dtypes else parameters),
        ("layers", known.get("num_layers")),
        ("hidden size", known.get("hidden_size")),
        ("context length", known.get("context_length")),
        ("size", size(known["size_bytes"]) if known.get("size_bytes") else ""),
        ("files", len(found.get("siblings", ())) or ""),
        ("downloads", found.get("downloads")),
    ]


def judgement(found: dict[str, Any], verdict: dict[str, Any] | None) -> RenderableType:
    """Whether it loads, as the hub says."""
    known = found.get("modelcenter", {})
    if known.get("status") == "linked":
        return Text(f"No weights are hosted here: they are at https://huggingface.co/{known['upstream']}")
    if verdict is None:
        return Text("This hub gives no verdicts. `modelcenter verify` does.")
    if verdict["status"] == "pending":
        return Text("The hub has not verified this revision yet.")
    return verdicts.report(Verdict.from_json(verdict))
