"""The list: `/` and `/models`. Reads the address into a query and shows what the registry finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flask import Response, make_response, render_template, request
from flask_babel import lazy_gettext

from hub_web import context
from hub_web.i18n import gettext, ngettext
from hub_web.pages import formats, frame, labels
from hub_web.pages.presenters import Row, row
from hub_web.pages.state import FACETS, State
from modelcenter.registry import search

FIRST = 8  # values of a filter shown at once; the rest unfolds
AROUND = 2  # numbered pages on both sides of the present one
MOST_RELAXATIONS = 4  # filters that an empty list proposes to drop

FACET_LABELS = {
    "loads": lazy_gettext("Verified"),
    "task": lazy_gettext("Task"),
    "size": lazy_gettext("Parameters"),
    "language": lazy_gettext("Language"),
    "family": lazy_gettext("Family"),
    "license": lazy_gettext("Licence"),
    "organization": lazy_gettext("Organisation"),
    "library": lazy_gettext("Library"),
}
SORT_LABELS = {
    "relevance": lazy_gettext("Relevance"),
    "updated": lazy_gettext("Updated"),
    "downloads": lazy_gettext("Downloads"),
    "size": lazy_gettext("Size"),
    "name": lazy_gettext("Name"),
}


@dataclass(frozen=True, slots=True)
class Choice:
    """A value of a filter, and the list with it chosen or dropped."""

    label: str
    count: str
    href: str
    on: bool


@dataclass(frozen=True, slots=True)
class Facet:
    """A filter: the values shown at once, and those that unfold."""

    name: str
    label: str
    first: tuple[Choice, ...]
    rest: tuple[Choice, ...]


@dataclass(frozen=True, slots=True)
class Chip:
    """A chosen value, and the list without it; in an empty list with what would be found then."""

    facet: str
    label: str
    href: str
    gain: str = ""


@dataclass(frozen=True, slots=True)
class Sort:
    """An order of the list."""

    label: str
    href: str
    current: bool


@dataclass(frozen=True, slots=True)
class PageLink:
    """A numbered page, or the gap between numbers."""

    label: str = ""
    href: str = ""
    current: bool = False


@dataclass(frozen=True, slots=True)
class ListView:
    """The list as its page shows it."""

    title: str
    total: str
    intro: bool
    rows: tuple[Row, ...]
    facets: tuple[Facet, ...]
    chips: tuple[Chip, ...]
    clear_href: str
    sorts: tuple[Sort, ...]
    pages: tuple[PageLink, ...]
    previous_href: str | None
    next_href: str | None
    empty_title: str
    empty_text: str
    relaxations: tuple[Chip, ...]
    suggestion: Chip | None


def label_of(facet: str, value: str) -> str:
    """A value of a filter as people call it."""
    names = {
        "task": labels.task,
        "language": labels.language,
        "family": labels.family,
        "license": labels.license_name,
    }
    if facet == "loads":
        return gettext("Loads with ModelCenter")
    return names[facet](value) if facet in names else value


def facet(name: str, state: State, counts: Sequence[tuple[str, int]], total: int) -> Facet | None:
    """A filter with its values; what is chosen is always there. `total`: the size of the present list.

    A value says how many models the list has with it, one beside chosen values how many it adds to them; of
    several chosen ones the list's total says it.
    """
    chosen = state.chosen.get(name, ())
    # An organisation is the same in any case: the address may spell it in another way.
    spelled = {value.lower() if name == "organization" else value: value for value in chosen}
    choices = []
    for value, count in counts:
        own = spelled.pop(value.lower() if name == "organization" else value, None)
        number = formats.number(count if own or not chosen else count - total)
        if chosen:
            number = f"+{number}" if not own else number if len(chosen) == 1 else ""
        href = state.toggled(name, own or value).href()
        choices.append(Choice(label_of(name, value), number, href, bool(own)))
    choices += [
        Choice(label_of(name, value), "", state.toggled(name, value).href(), True)
        for value in spelled.values()
    ]
    # What is chosen stays in sight.
    shown = [choice for index, choice in enumerate(choices) if index < FIRST or choice.on]
    # Unfolding one more line costs as much room as showing it.
    if len(choices) - len(shown) <= 1:
        shown = choices
    rest = [choice for choice in choices if choice not in shown]
    return Facet(name, str(FACET_LABELS[name]), tuple(shown), tuple(rest)) if choices else None


def chips(state: State) -> tuple[Chip, ...]:
    """What narrows the list, each with the list without it."""
    words = [Chip(gettext("Words"), state.text, state.without_text().href())] if state.text else []
    return (
        *words,
        *(
            Chip(
                facet_label(name),
                label_of(name, value),
                state.toggled(name, value).href(),
            )
            for name in FACETS
            for value in state.chosen.get(name, ())
        ),
    )


def page_links(state: State, last: int) -> tuple[PageLink, ...]:
    """First and last page, those around the present one, gaps between."""
    if last < 2:
        return ()
    near = {1, last, *range(state.page - AROUND, state.page + AROUND + 1)}
    found: list[PageLink] = []
    before = 0
    for number in sorted(number for number in near if 1 <= number <= last):
        if number - before == 2:  # a gap of one page is that page
            found.append(PageLink(formats.number(number - 1), state.on_page(number - 1).href()))
        elif number - before > 2:
            found.append(PageLink())
        found.append(
            PageLink(formats.number(number), state.on_page(number).href(), current=number == state.page)
        )
        before = number
    return tuple(found)


def list_view(
    state: State,
    rows: Sequence[Row],
    total: int,
    facet_counts: Mapping[str, Sequence[tuple[str, int]]],
    last_page: int,
    sort: str,
    relaxations: tuple[Chip, ...] = (),
    suggestion: Chip | None = None,
) -> ListView:
    """The list from what was found; `sort` is the order it came in."""
    facets = (facet(name, state, facet_counts.get(name, ()), total) for name in FACETS)
    sorts = [name for name in SORT_LABELS if name != "relevance" or state.text]
    title = gettext("Models: %(words)s", words=state.text) if state.text else gettext("Models")
    return ListView(
        title=title
        if state.page == 1
        else gettext("%(title)s, page %(number)s", title=title, number=state.page),
        total=ngettext("%(number)s model", "%(number)s models", total, number=formats.number(total)),
        intro=state.is_plain and state.page == 1,
        rows=tuple(rows),
        facets=tuple(found for found in facets if found is not None),
        chips=chips(state),
        clear_href=State(sort=state.sort).href(),
        sorts=tuple(
            Sort(str(SORT_LABELS[name]), state.sorted_by(name).href(), name == sort) for name in sorts
        ),
        pages=page_links(state, last_page),
        previous_href=state.on_page(min(state.page - 1, last_page)).href()
        if state.page > 1 and last_page
        else None,
        next_href=state.on_page(state.page + 1).href() if state.page < last_page else None,
        empty_title=gettext("No model fits all of this")
        if not state.is_plain
        else gettext("There are no models here yet"),
        empty_text=gettext("Upload the first one: modelcenter upload PATH OWNER/NAME"),
        relaxations=relaxations,
        suggestion=suggestion,
    )


def index() -> Response:
    """The list that the address asks for."""
    state = State.read(request.args)
    found = search.find(context.session(), query_of(state), context.actor())
    last_page = -(-found.total // search.PER_PAGE)
    view = list_view(
        state,
        [row(hit.repository, hit.model) for hit in found.rows],
        found.total,
        found.facets,
        last_page,
        {"parameters": "size"}.get(found.sort, found.sort),
        relaxations(state) if not found.total else (),
        near_spelling(state, found),
    )
    kept = replace(state, text="", page=1, sort="" if state.sort == "relevance" else state.sort)
    page = frame.make(
        indexed=not state.chosen and bool(found.rows),
        parameters=state.parameters(),
        search_text=state.text,
        search_keeps=kept.parameters(),
    )
    return make_response(render_template("catalogue.html", view=view, page=page))


def query_of(state: State, *, counts: bool = True) -> search.Query:
    """The registry's question for a state."""
    return replace(
        search.Query(text=state.text, sort=state.sort, page=state.page, counts=counts),
        **dict[str, Any](state.chosen),
    )


def near_spelling(state: State, found: search.Page) -> Chip | None:
    """The words as they may have been meant, where something is found by them."""
    if not found.suggestion:
        return None
    return Chip(
        gettext("Did you mean"), found.suggestion, replace(state, text=found.suggestion, page=1).href()
    )


def relaxations(state: State) -> tuple[Chip, ...]:
    """The list without one of what narrows it, the one that shows most first; all if none shows any."""
    drops = [(state.without_text(), Chip(gettext("Words"), state.text, ""))] if state.text else []
    for name, values in state.chosen.items():
        kept = {other: chosen for other, chosen in state.chosen.items() if other != name}
        label = gettext(", ").join(label_of(name, value) for value in values)
        drops.append((replace(state, chosen=kept, page=1), Chip(facet_label(name), label, "")))
    found = []
    for rest, chip in drops[:MOST_RELAXATIONS]:
        query = replace(query_of(rest, counts=False), per_page=1)
        total = search.find(context.session(), query, context.actor()).total
        gain = ngettext("%(number)s model", "%(number)s models", total, number=formats.number(total))
        found.append((total, replace(chip, href=rest.href(), gain=gain if total else "")))
    found.sort(key=lambda pair: -pair[0])
    return tuple(chip for total, chip in found if total) or tuple(chip for _, chip in found)


def facet_label(name: str) -> str:
    """A filter as a chip says it: the claim of the filter "loads" speaks for itself."""
    return "" if name == "loads" else str(FACET_LABELS[name])
