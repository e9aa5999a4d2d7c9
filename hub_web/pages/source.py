"""A file's text as numbered, highlighted lines. Knows text, not repositories."""

from __future__ import annotations

from pathlib import PurePosixPath

from markupsafe import Markup, escape
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

from modelcenter.registry.rendering import CODE_PREFIX

SHOWN = 512 * 1024  # bytes of a file that are shown; larger ones are for downloading
HIGHLIGHTED = 128 * 1024  # characters; beyond that the colours cost more than they tell
LINES = 8_000

# Lexers by the end of the name. Not all of Pygments': some take quadratic time on hostile text.
LEXERS = {
    ".cfg": "ini", ".css": "css", ".html": "html", ".ini": "ini", ".json": "json", ".jsonl": "json",
    ".md": "markdown", ".py": "python", ".sh": "bash", ".toml": "toml", ".xml": "xml",
    ".yaml": "yaml", ".yml": "yaml",
}  # fmt: skip


def text_of(content: bytes) -> str | None:
    """`content` as text, None where it is none."""
    if b"\0" in content:
        return None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def lines(text: str, path: str) -> tuple[Markup, ...]:
    """`text` line by line, highlighted by the name of its file; empty where it has too many lines."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.count("\n") > LINES:
        return ()
    lexer = LEXERS.get(PurePosixPath(path).suffix.lower())
    if lexer is None or len(text) > HIGHLIGHTED:
        return tuple(escape(line) for line in text.removesuffix("\n").split("\n"))
    # The lexer must not swallow empty lines at the ends: numbers are addresses.
    formatter = HtmlFormatter(nowrap=True, classprefix=CODE_PREFIX)
    html = highlight(text, get_lexer_by_name(lexer, stripnl=False), formatter)
    # The formatter closes its spans at the end of each line. What it returns is escaped.
    return tuple(Markup(line) for line in html.removesuffix("\n").split("\n"))  # noqa: S704
