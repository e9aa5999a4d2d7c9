"""A verdict in the terminal: the answer first, then what supports it."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.text import Text

from modelcenter.cli.output import amount, facts, size
from modelcenter.verification import Verdict

ANSWERS = {
    "complete": ("✓ Loads with ModelCenter: every tensor is accounted for.", "bold green"),
    "incomplete": ("✗ Does not load: the tensors are not those that config.json implies.", "bold red"),
    "damaged": ("✗ Does not load: damaged.", "bold red"),
    "invalid_configuration": ("✗ Does not load: config.json has values that do not serve.", "bold red"),
    "unknown_architecture": (
        "? Not known to ModelCenter: its architecture cannot be checked.",
        "bold yellow",
    ),
    "no_checkpoint": ("– No checkpoint: no file that holds tensors.", "bold yellow"),
}
SHOWN = 20  # tensors of a kind


def drawn(verdict: Verdict) -> RenderableType:
    """The verdict as people read it, with what is known of the checkpoint."""
    return Group(report(verdict), facts(rows(verdict)))


def report(verdict: Verdict) -> RenderableType:
    """The answer, and the tensors that it is about."""
    answer, style = ANSWERS[verdict.status]
    parts: list[RenderableType] = [Text(answer, style=style)]
    if verdict.problem and not verdict.has_shapes:
        parts.append(Text(verdict.problem))
    parts += [
        *named("missing", verdict, map(str, verdict.missing)),
        *named(
            "unexpected",
            verdict,
            map(str, verdict.unexpected),
        ),
        *named(
            "misshapen",
            verdict,
            map(str, verdict.misshapen),
        ),
        *named("unknown modules, so no vectors of texts", verdict, verdict.unknown_modules),
        *named("corrected", verdict, verdict.corrections),
        *named("ignored", verdict, (f"{name}: {reason}" for name, reason in verdict.ignored.items())),
    ]
    return Group(*parts)


def named(kind: str, verdict: Verdict, lines: Iterable[str]) -> list[RenderableType]:
    """The tensors of a kind under its name and their number; the first ones where there are many."""
    every = list(lines)
    if not every:
        return []
    count = verdict.counts.get(kind, len(every))
    shown = [f"  {line}" for line in every[:SHOWN]]
    if count > len(shown):
        shown.append(f"  and {count - len(shown)} more")
    return [Text(f"{kind} ({count})", style="bold"), Text("\n".join(shown), overflow="fold")]


def rows(verdict: Verdict) -> list[tuple[str, object]]:
    """What is known of the checkpoint."""
    files = ", ".join(verdict.files[:3]) + more(verdict.files)
    dtypes = ", ".join(f"{dtype} {amount(count)}" for dtype, count in verdict.parameters_by_dtype.items())
    found: list[tuple[str, object]] = [
        ("family", verdict.family),
        ("architecture", verdict.architecture),
        ("carries", ", ".join(verdict.heads)),
    ]
    if verdict.tensors:
        found += [
            ("tensors", f"{verdict.tensors} in {files}"),
            ("parameters", f"{verdict.model_parameters:,} (in the files: {dtypes})"),
            ("size", size(verdict.bytes)),
            ("memory", ", ".join(f"{n} {size(b)}" for n, b in verdict.memory.items())),
        ]
    if verdict.facts:
        known = verdict.facts
        shared = f", {known.num_kv_heads} of keys and values" if known.num_kv_heads != known.num_heads else ""
        found += [
            ("layers", known.num_layers),
            ("hidden size", known.hidden_size),
            ("attention", f"{known.num_heads} heads of {known.head_dim}{shared}"),
            ("context length", known.max_position_embeddings),
            ("vocabulary", known.vocab_size),
        ]
    return found


def more(names: tuple[str, ...], shown: int = 3) -> str:
    """How many names are not shown."""
    return f" and {len(names) - shown} more" if len(names) > shown else ""
