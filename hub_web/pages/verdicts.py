"""The verdict of verification as the model page tells it: a claim, a sentence, and lists of names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from hub_web.i18n import gettext, ngettext
from hub_web.pages import formats, labels
from hub_web.pages.formats import Moment
from modelcenter.verification import Verdict

SHOWN = 50  # names of one list on the page; the report has more


@dataclass(frozen=True, slots=True)
class Named:
    """A tensor in a list: its name, what was expected and found, and in which file; or a finding alone."""

    name: str = ""
    expected: str = ""
    found: str = ""
    file: str = ""


@dataclass(frozen=True, slots=True)
class NameList:
    """Tensors of one kind; `more` are counted but not named."""

    label: str
    total: str
    items: tuple[Named, ...]
    explanation: str = ""
    more: str = ""


@dataclass(frozen=True, slots=True)
class Count:
    """How many of a kind."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class VerdictView:
    """A verdict as its page shows it; tone is good, warn, bad or quiet."""

    tone: str
    icon: str
    title: str
    sentence: str
    account: tuple[Count, ...] = ()
    lists: tuple[NameList, ...] = ()
    notes: tuple[NameList, ...] = ()
    problem: str = ""
    open: bool = False
    version: str = ""
    checked: Moment | None = None
    pending: bool = False


def pending() -> VerdictView:
    """What is said until the verdict on a new commit is there."""
    return VerdictView(
        "quiet",
        "clock",
        gettext("Verification is under way"),
        gettext(
            "The hub reads config.json and the headers of the weight files. Reload the page in a moment."
        ),
        pending=True,
    )


def present(verdict: Verdict, version: str, checked: datetime) -> VerdictView:
    """A verdict as its page shows it."""
    makers = {
        "complete": complete,
        "incomplete": incomplete,
        "unknown_architecture": unknown,
        "damaged": damaged,
        "invalid_configuration": misconfigured,
    }
    made = makers[verdict.status](verdict) if verdict.status in makers else without_weights()
    if verdict.status == "no_checkpoint":
        return made
    return replace(
        made,
        version=version,
        checked=formats.moment(checked),
        account=(*made.account, *what_was_read(verdict)),
    )


def complete(verdict: Verdict) -> VerdictView:
    """Every tensor is accounted for."""
    return VerdictView(
        "good",
        "check",
        gettext("Loads with ModelCenter"),
        ngettext(
            "The one tensor is accounted for by the %(family)s architecture.",
            "All %(number)s tensors are accounted for by the %(family)s architecture.",
            verdict.tensors,
            number=formats.number(verdict.tensors),
            family=labels.family(verdict.family or ""),
        ),
        notes=harmless(verdict),
    )


def incomplete(verdict: Verdict) -> VerdictView:
    """Tensors are missing, unexpected or misshapen, with their names."""
    counts = {
        name: verdict.counts.get(name, len(getattr(verdict, name)))
        for name in ("missing", "unexpected", "misshapen")
    }
    said = [
        ngettext(
            "one tensor is missing",
            "%(number)s tensors are missing",
            counts["missing"],
            number=counts["missing"],
        ),
        ngettext(
            "one is unexpected",
            "%(number)s are unexpected",
            counts["unexpected"],
            number=counts["unexpected"],
        ),
        ngettext(
            "one has another shape",
            "%(number)s have another shape",
            counts["misshapen"],
            number=counts["misshapen"],
        ),
    ]
    kinds = [text for text, count in zip(said, counts.values(), strict=True) if count]
    return VerdictView(
        "bad",
        "cross",
        gettext("Does not load with ModelCenter"),
        gettext(
            "As %(family)s: %(what)s.",
            family=labels.family(verdict.family or ""),
            what=gettext(", ").join(kinds),
        )
        if kinds
        else gettext(
            "Parts of its tensors stay unread as %(family)s.", family=labels.family(verdict.family or "")
        ),
        lists=(
            *listed(
                gettext("Missing"),
                counts["missing"],
                [Named(item.name, shape(item.shape) if item.shape else "") for item in verdict.missing],
            ),
            *listed(
                gettext("Of another shape"),
                counts["misshapen"],
                [
                    Named(item.name, shape(item.expected), shape(item.found), item.file)
                    for item in verdict.misshapen
                ],
            ),
            *listed(
                gettext("Unexpected"),
                counts["unexpected"],
                [
                    Named(item.name, "", shape(item.shape) if item.shape else "", item.file)
                    for item in verdict.unexpected
                ],
            ),
        ),
        notes=harmless(verdict),
        problem="" if verdict.has_shapes else verdict.problem,
        open=True,
    )


def unknown(verdict: Verdict) -> VerdictView:
    """The checkpoint is readable, its architecture is not ours."""
    name = verdict.architecture
    return VerdictView(
        "warn",
        "question",
        gettext("ModelCenter does not know this architecture yet"),
        gettext(
            "The files are sound; %(architecture)s has no family here. Other libraries may load it.",
            architecture=name,
        )
        if name
        else gettext("The files are sound, but config.json does not tell what they are."),
        problem=verdict.problem,
    )


def damaged(verdict: Verdict) -> VerdictView:
    """A file contradicts itself."""
    return VerdictView(
        "bad",
        "warn",
        gettext("The checkpoint is damaged"),
        gettext("A weight file contradicts its own header or index, or asks to run code. Upload it again."),
        problem=verdict.problem,
        open=True,
    )


def misconfigured(verdict: Verdict) -> VerdictView:
    """The configuration says what cannot be meant."""
    return VerdictView(
        "bad",
        "warn",
        gettext("The configuration is not valid"),
        gettext(
            "config.json says what no model can be, so there is nothing to compare the weights with. "
            "Correct it and commit it again."
        ),
        problem=verdict.problem,
        open=True,
    )


def without_weights() -> VerdictView:
    """There is nothing to verify."""
    return VerdictView(
        "quiet",
        "file",
        gettext("There are no weights here yet"),
        gettext(
            "Once a checkpoint arrives, the hub tells whether it loads: modelcenter upload PATH OWNER/NAME"
        ),
    )


def what_was_read(verdict: Verdict) -> Iterable[Count]:
    """Tensors, bytes and files that the headers speak of."""
    if verdict.tensors:
        yield Count(gettext("Tensors"), formats.number(verdict.tensors))
    if verdict.bytes:
        yield Count(gettext("Weights"), formats.size(verdict.bytes))
    if verdict.files:
        yield Count(gettext("Weight files"), formats.number(len(verdict.files)))
    if verdict.format:
        yield Count(gettext("Format"), verdict.format)


def harmless(verdict: Verdict) -> tuple[NameList, ...]:
    """Where the files are followed, and what in them is not loaded, with the reason."""
    return (
        *listed(
            gettext("Corrections"),
            len(verdict.corrections),
            [Named(found=sentence) for sentence in verdict.corrections],
            gettext("The files say otherwise than config.json, and are followed."),
        ),
        *listed(
            gettext("Contradictory"),
            len(verdict.contradicted),
            [Named(name, found=what) for name, what in verdict.contradicted.items()],
            gettext("They hold something else than follows from the configuration, and are not read."),
        ),
        *listed(
            gettext("Derived"),
            len(verdict.derived),
            [Named(name) for name in verdict.derived],
            gettext("They follow from the configuration and are computed, not read."),
        ),
        *listed(
            gettext("Redundant"),
            len(verdict.redundant),
            [Named(f"{copy} = {original}") for copy, original in verdict.redundant.items()],
            gettext("Copies of another tensor: loading compares them."),
        ),
        *listed(
            gettext("Unused"),
            verdict.counts.get("unused", len(verdict.unused)),
            [Named(name) for name in verdict.unused],
            gettext("Learned, but read by no layer."),
        ),
        *listed(
            gettext("No tensors"),
            len(verdict.others),
            [Named(name, found=kind) for name, kind in verdict.others.items()],
            gettext("What training left in a pickle: it is not read."),
        ),
        *listed(
            gettext("Unknown modules"),
            len(verdict.unknown_modules),
            [Named(name) for name in verdict.unknown_modules],
            gettext("modules.json names them: the model loads, but makes no vectors of texts."),
        ),
    )


def listed(label: str, total: int, items: Sequence[Named], explanation: str = "") -> tuple[NameList, ...]:
    """A list of names cut to what a page can show; none where there are none."""
    if not total:
        return ()
    more = total - len(items[:SHOWN])
    return (
        NameList(
            label,
            formats.number(total),
            tuple(items[:SHOWN]),
            explanation,
            formats.number(more) if more else "",
        ),
    )


def shape(sizes: Sequence[int]) -> str:
    """A shape as the field writes it: 768 × 3072."""
    return " × ".join(str(size) for size in sizes) or gettext("scalar")
