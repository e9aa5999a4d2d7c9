"""`modelcenter search`: the catalogue from the terminal."""

from __future__ import annotations

from typing import Any

import click

from modelcenter.cli.options import endpoint_option, json_option
from modelcenter.cli.output import amount, remark, say, say_json, show, table

BADGES = {
    "complete": "✓ loads",
    "incomplete": "✗ incomplete",
    "invalid_configuration": "✗ configuration",
    "damaged": "✗ damaged",
    "unknown_architecture": "? unknown",
    "no_checkpoint": "– no weights",
}


@click.command("search")
@click.argument("words", nargs=-1)
@click.option(
    "--task", multiple=True, help="Such as text-generation. All filters may be repeated: any of them."
)
@click.option("--language", multiple=True, help="Such as zh or en.")
@click.option("--family", multiple=True, help="Such as bert or llama.")
@click.option("--license", multiple=True, help="Such as apache-2.0.")
@click.option(
    "--size",
    multiple=True,
    type=click.Choice(["<100M", "100M-1B", "1B-5B", "5B-20B", ">20B"]),
    help="By the number of parameters.",
)
@click.option("--loads", is_flag=True, help="Only what the hub has verified to load.")
@click.option("--organization", multiple=True, help="The OWNER of OWNER/NAME.")
@click.option("--library", multiple=True, help="Such as transformers.")
@click.option(
    "--sort",
    type=click.Choice(["relevance", "updated", "created", "downloads", "likes", "parameters", "name"]),
    help="Default: relevance where there are words, else updated.",
)
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True, help="Models on a page.")
@click.option("--page", type=click.IntRange(1), default=1, show_default=True, help="Which page.")
@click.option(
    "--facets", "with_facets", is_flag=True, help="Show what the result can be narrowed by, with counts."
)
@endpoint_option
@json_option
def command(
    words: tuple[str, ...],
    loads: bool,
    sort: str | None,
    limit: int,
    page: int,
    with_facets: bool,
    endpoint: str | None,
    as_json: bool,
    **facets: tuple[str, ...],
) -> None:
    """Find models by WORDS, in Chinese or English, and by the catalogue's facets."""
    from modelcenter.client import Hub

    chosen = {facet: list(values) for facet, values in facets.items() if values}
    if loads:
        chosen["loads"] = ["yes"]
    answer = Hub(endpoint).search(" ".join(words), chosen, sort=sort, page=page, limit=limit)
    if as_json:
        say_json(answer)
        return
    show_models(answer, page, limit)
    if with_facets:
        show_facets(answer["facets"])


def show_models(answer: dict[str, Any], page: int, limit: int) -> None:
    """The models found, one a row."""
    rows = answer["rows"]
    if not rows:
        near = f" Did you mean {answer['suggestion']}?" if answer.get("suggestion") else ""
        remark(f"Nothing found{' on this page' if answer['total'] else ''}.{near}")
        return
    drawn = table("model", "parameters", "family", "task", "licence", "", right=("parameters",))
    for row in rows:
        badge = "linked" if row["status"] == "linked" else BADGES.get(row.get("verdict", ""), "")
        known = (row.get(name, "") for name in ("family", "pipeline_tag", "license"))
        drawn.add_row(row["id"], amount(row.get("parameters")), *known, badge)
    show(drawn)
    first = (page - 1) * limit + 1
    remark(f"{first}–{first + len(rows) - 1} of {answer['total']}")


def show_facets(facets: dict[str, list[dict[str, Any]]]) -> None:
    """Each facet with its values and how many models have them."""
    drawn = table("facet", "values")
    for facet, values in facets.items():
        if values:
            drawn.add_row(facet, ", ".join(f"{each['value']} {each['count']}" for each in values[:20]))
    say()
    show(drawn)
