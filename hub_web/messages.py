"""The pages' messages: found in code and templates, written in .po files, compiled to .mo.

`python -m hub_web.messages` brings the files up to the code and names what is left to translate.
Both files are committed: an installation needs no compiler, and a test holds them together.
"""

from __future__ import annotations

import io
import sys
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from hub_web.i18n import DEFAULT, LANGUAGES

HERE = Path(__file__).parent
METHODS = [("translations/**", "ignore"), ("**.py", "python"), ("templates/**.html", "jinja2")]
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)  # the files carry no dates of their own: history belongs to git
KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2), "lazy_gettext": None}


def extracted() -> Catalog:
    """Every message of the code and the templates, untranslated."""
    catalog = Catalog(charset="utf-8")
    options = {"templates/**.html": {"trimmed": "true", "silent": "false"}}
    found = extract_from_dir(HERE, METHODS, options, KEYWORDS, comment_tags=("Translators:",))
    for file, _, message, comments, context in found:
        catalog.add(message, locations=[(f"hub_web/{file}", 0)], auto_comments=comments, context=context)
    return catalog


def po_file(language: str) -> Path:
    """Where the messages of `language` are written by people."""
    return HERE / "translations" / language / "LC_MESSAGES" / "messages.po"


def read(language: str) -> Catalog:
    """The messages of `language` as they are written; none before its first update."""
    if not po_file(language).exists():
        return Catalog(locale=language, charset="utf-8")
    with po_file(language).open("rb") as file:
        return read_po(file, locale=language)


def compiled(catalog: Catalog) -> bytes:
    """`catalog` as gettext reads it."""
    out = io.BytesIO()
    write_mo(out, catalog)
    return out.getvalue()


def untranslated(catalog: Catalog) -> list[str]:
    """What `catalog` leaves unsaid or unsure, by its English text."""
    return [str(message.id) for message in catalog if message.id and (message.fuzzy or not is_whole(message))]


def is_whole(message: Message) -> bool:
    """Whether every form of `message` is there."""
    forms = message.string if isinstance(message.string, (tuple, list)) else (message.string,)
    return bool(forms) and all(forms)


def update() -> list[str]:
    """Bring the files of all languages up to the code; what is left to translate."""
    left = []
    found = extracted()
    for language in LANGUAGES:
        catalog = translated(found, read(language), language)
        path = po_file(language)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            # No line numbers: the file changes with its messages alone.
            write_po(file, catalog, width=110, sort_output=True, include_lineno=False)
        path.with_suffix(".mo").write_bytes(compiled(catalog))
        left += [f"{language}: {text}" for text in untranslated(catalog)]
    return left


def translated(found: Catalog, known: Catalog, language: str) -> Catalog:
    """The messages in `found` with the words that are known for them; English ones are their own."""
    catalog = Catalog(
        locale=language,
        project="ModelCenter",
        header_comment="# What the pages of ModelCenter say. Keys by `python -m hub_web.messages`.",
        copyright_holder="The ModelCenter authors",
        version="1",
        msgid_bugs_address="CONTRIBUTING.md",
        creation_date=EPOCH,
        revision_date=EPOCH,
        last_translator="The ModelCenter authors",
        language_team=LANGUAGES[language],
        charset="utf-8",
        fuzzy=False,
    )
    for message in found:
        if message.id:
            entry = known.get(message.id)
            string = entry.string if entry and not entry.fuzzy else None
            if language == DEFAULT and not (entry and is_whole(entry)):
                string = message.id
            catalog.add(message.id, string, message.locations, message.flags, message.auto_comments)
    return catalog


if __name__ == "__main__":
    missing = update()
    print("\n".join(missing))
    sys.exit(bool(missing))
