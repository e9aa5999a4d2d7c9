"""Outcomes for readers: a page that needs nothing beside it, and JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any, get_args

from modelcenter.conformance.cases import Outcome, Status

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
caption { font-size: 1.2rem; font-weight: 600; padding: 1.5rem 0 .5rem; text-align: left; }
th, td { border-bottom: 1px solid #ccc; padding: .4rem .6rem; text-align: left; vertical-align: top; }
td small { color: #555; display: block; overflow-wrap: anywhere; white-space: pre-wrap; }
.passed { color: #176c2c; } .failed { color: #b3130b; } .missing { color: #7a4d00; } .skipped { color: #555; }
td:first-child { font-weight: 600; white-space: nowrap; } td:last-child { text-align: right; }
"""


def conforms(outcomes: Sequence[Outcome]) -> bool:
    """Whether every required case passed and nothing that is there answers wrongly."""
    return all(outcome.is_fine for outcome in outcomes)


def counts(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """How many cases ended how."""
    found = Counter(outcome.status for outcome in outcomes)
    return {status: found[status] for status in get_args(Status)}


def to_json(endpoint: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The whole report for programs."""
    return {
        "endpoint": endpoint,
        "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "conforms": conforms(outcomes),
        "counts": counts(outcomes),
        "cases": [outcome.to_json() for outcome in outcomes],
    }


def to_html(endpoint: str, outcomes: Sequence[Outcome]) -> str:
    """The whole report as a page of its own. What the server said is text in it, never markup."""
    told = to_json(endpoint, outcomes)
    groups = dict.fromkeys(outcome.group for outcome in outcomes)
    verdict = "speaks the Hub protocol" if told["conforms"] else "does not speak all of the Hub protocol"
    numbers = ", ".join(f"{count} {status}" for status, count in told["counts"].items() if count)
    tables = "\n".join(_table(group, [o for o in outcomes if o.group == group]) for group in groups)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Conformance of {escape(endpoint)}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{escape(endpoint)} {verdict}</h1>
<p>{numbers}; {told["at"]}.</p>
{tables}
</body>
</html>
"""


def _table(group: str, outcomes: Sequence[Outcome]) -> str:
    rows = "\n".join(_row(outcome) for outcome in outcomes)
    return f"""<table>
<caption>{escape(group.replace("_", " "))}</caption>
<thead><tr><th>result</th><th>what is asked</th><th>seconds</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>"""


def _row(outcome: Outcome) -> str:
    kind = "" if outcome.required else " (a feature that a server may lack)"
    detail = f"<small>{escape(outcome.detail)}</small>" if outcome.detail else ""
    return (
        f'<tr><td class="{outcome.status}">{outcome.status}</td>'
        f"<td>{escape(outcome.title)}{kind}{detail}</td><td>{outcome.seconds:.2f}</td></tr>"
    )
