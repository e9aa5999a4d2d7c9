"""The state of the list lives in its address: words, filters, order, page. Knows addresses, not models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from flask import url_for

from hub_web.pages.frame import with_query

if TYPE_CHECKING:
    from werkzeug.datastructures import MultiDict

# The filters in the order of the page; each may be chosen several times, except the claim "loads".
FACETS = ("loads", "task", "size", "language", "family", "license", "organization", "library")
LOADS = "yes"
SORTS = ("relevance", "updated", "downloads", "size", "name")
# Names that the addresses of other hubs give to the same things.
ALIASES = {
    "search": "q",
    "pipeline_tag": "task",
    "author": "organization",
    "organisation": "organization",
    "licence": "license",
}
LONGEST = 200  # characters of a value; longer ones are nobody's
MOST = 20  # values of one filter
LAST_PAGE = 100_000


@dataclass(frozen=True, slots=True)
class State:
    """What the list is asked for. An empty sort is the best one for the question."""

    text: str = ""
    chosen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sort: str = ""
    page: int = 1

    @classmethod
    def read(cls, arguments: MultiDict[str, str]) -> State:
        """The state in a query string; what it does not know it leaves out."""
        found: dict[str, list[str]] = {}
        for name, value in arguments.items(multi=True):
            value = value.replace("\0", "").strip()[:LONGEST]
            values = found.setdefault(ALIASES.get(name, name), [])
            if value and value not in values and len(values) < MOST:
                values.append(value)
        chosen = {name: tuple(found[name]) for name in FACETS if found.get(name)}
        if "loads" in chosen:
            chosen["loads"] = (LOADS,)
        sort, page = first(found, "sort"), first(found, "page")
        return cls(
            text=first(found, "q"),
            chosen=chosen,
            sort=sort if sort in SORTS else "",
            page=min(max(int(page), 1), LAST_PAGE) if page.isdecimal() and len(page) < 10 else 1,
        )

    @property
    def is_plain(self) -> bool:
        """Whether nothing narrows the list."""
        return not self.text and not self.chosen

    def parameters(self) -> list[tuple[str, str]]:
        """The query of this state, always in the same order: one state, one address."""
        pairs = [("q", self.text)] if self.text else []
        pairs += [(name, value) for name in FACETS for value in self.chosen.get(name, ())]
        pairs += [("sort", self.sort)] if self.sort else []
        return pairs + ([("page", str(self.page))] if self.page > 1 else [])

    def href(self) -> str:
        """The address of this state."""
        return with_query(url_for("pages.models"), self.parameters())

    def toggled(self, facet: str, value: str) -> State:
        """With `value` chosen, or no longer; on the first page."""
        values = self.chosen.get(facet, ())
        values = tuple(v for v in values if v != value) if value in values else (*values, value)
        rest = {name: chosen for name, chosen in self.chosen.items() if name != facet}
        return replace(self, chosen=rest | ({facet: values} if values else {}), page=1)

    def without_text(self) -> State:
        """With the same filters and no words."""
        return replace(self, text="", sort="" if self.sort == "relevance" else self.sort, page=1)

    def sorted_by(self, sort: str) -> State:
        """In another order, from its beginning."""
        return replace(self, sort=sort, page=1)

    def on_page(self, page: int) -> State:
        """Another page of the same list."""
        return replace(self, page=page)


def first(found: Mapping[str, list[str]], name: str) -> str:
    """The first value given for `name`, or nothing."""
    values = found.get(name)
    return values[0] if values else ""
