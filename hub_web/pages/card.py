"""A model's card as its page shows it: the reader's language first, headings below the page's own."""

from __future__ import annotations

import re
from dataclasses import dataclass

from markupsafe import Markup

from hub_web import i18n
from hub_web.pages import labels
from modelcenter.registry.cards import Card, Links, rendered

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
    """Markdown as safe HTML. The first heading is the page's own: the card's begin at the second level."""
    return Part(
        html=Markup(TAG.sub(fitted, rendered(markdown, links).html)),  # noqa: S704  nh3 has cleaned it
        name=i18n.LANGUAGES[language],
        label=labels.language(language),
        lang=None if language == i18n.language() else i18n.TAGS[language],
        anchor=f"in-{language}",
    )


def fitted(match: re.Match[str]) -> str:
    """A tag of the card as our pages need it: headings a level lower, what may be wide scrolls by itself."""
    closing, name, attributes = match.groups()
    if name in ("h1", "h2", "h3", "h4", "h5"):
        return f"<{closing}h{int(name[1]) + 1}{attributes}>"
    if name == "table":
        return "</table></div>" if closing else f'<div class="scroll" tabindex="0"><table{attributes}>'
    if name == "pre" and not closing:
        return f'<pre tabindex="0"{attributes}>'
    return match[0]
