"""A model's card as its page shows it: the reader's language first, headings below the page's own."""

from __future__ import annotations

import re
from dataclasses import dataclass

from markupsafe import Markup

from hub_web import i18n
from hub_web.pages import labels
from modelcenter.registry.cards import Card, Links, rendered

HEADING = re.compile("h[1-6]")
FIRST_LEVEL, LAST_LEVEL = 3, 6  # of a card's headings: the page's own title and "Model card" are above them
# A whole tag as nh3 writes it. Attributes may hold a `<`: only whole tags are looked at.
TAG = re.compile(r'<(/?)([a-z][a-z0-9]*)((?: [^\s=>"]+="[^"]*")*)>')


@dataclass(frozen=True, slots=True)
class Part:
    """A card, or what it says in one language; `lang` where that is not the page's."""

    html: Markup
    name: str  # of the language, in itself
    label: str  # of the language, in the page's
    lang: str | None
    anchor: str


def parts(card: Card, links: Links) -> tuple[Part, ...]:
    """The card in the reader's language, then in the other; whole where it does not tell them apart."""
    own = i18n.language()
    if not card.sections:
        return (part(card.body, next(iter(card.descriptions), own), links),) if card.body.strip() else ()
    order = sorted(card.sections, key=lambda code: code != own)
    return tuple(part(card.sections[code], code, links) for code in order if card.sections[code])


def part(markdown: str, language: str, links: Links) -> Part:
    """Markdown as safe HTML that continues the page's outline."""
    return Part(
        html=fitted(markdown, links),
        name=i18n.LANGUAGES[language],
        label=labels.language(language),
        lang=None if language == i18n.language() else i18n.TAGS[language],
        anchor=f"in-{language}",
    )


def fitted(markdown: str, links: Links) -> Markup:
    """Markdown as safe HTML whose headings go below the page's own."""
    return Markup(TAG.sub(Fitting(), rendered(markdown, links).html))  # noqa: S704  nh3 has cleaned it


class Fitting:
    """Makes a card's tags, one after the other, what our pages need."""

    def __init__(self) -> None:
        self.above: list[int] = []  # levels, as written, of the headings that the present one is below

    def __call__(self, match: re.Match[str]) -> str:
        """The tag in its new form; what may be wide scrolls by itself, a picture has a text."""
        closing, name, attributes = match.groups()
        if HEADING.fullmatch(name):
            return f"<{closing}h{self.level(int(name[1]), is_new=not closing)}{attributes}>"
        if name == "table":
            return "</table></div>" if closing else f'<div class="scroll" tabindex="0"><table{attributes}>'
        if name == "pre" and not closing:
            return f'<pre tabindex="0"{attributes}>'
        if name == "img" and " alt=" not in attributes:
            file = re.search(r' src="[^"]*?([^"/]*)"', attributes)
            return f'<img{attributes} alt="{file[1] if file else ""}">'
        return match[0]

    def level(self, written: int, *, is_new: bool) -> int:
        """Where a heading stands in the page's outline, which leaves out no level."""
        if is_new:
            while self.above and self.above[-1] >= written:
                self.above.pop()
            self.above.append(written)
        return min(FIRST_LEVEL + len(self.above) - 1, LAST_LEVEL)
