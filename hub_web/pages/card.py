"""A model's card as its page shows it: the reader's language first, headings below the page's own."""

from __future__ import annotations

import re
from dataclasses import dataclass

from markupsafe import Markup

from hub_web import i18n
from modelcenter.registry.cards import Card, Links, rendered

HEADING = re.compile(r"<(/?)h([1-5])(?=[ >])")


@dataclass(frozen=True, slots=True)
class Part:
    """A card, or what it says in one language; `lang` where that is not the page's."""

    html: Markup
    language: str
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
    """Markdown as safe HTML. The first heading is the page's own: the card's begin at the second level."""
    html = HEADING.sub(lambda match: f"<{match[1]}h{int(match[2]) + 1}", rendered(markdown, links).html)
    lang = None if language == i18n.language() else i18n.TAGS[language]
    # nh3 has cleaned it, and only digits of headings were changed since.
    return Part(Markup(html), language, lang, f"in-{language}")  # noqa: S704
