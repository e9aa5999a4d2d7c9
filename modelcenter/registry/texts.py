"""Texts that both databases, JSON and UTF-8 can hold."""

from __future__ import annotations

import re

# PostgreSQL takes no NUL, and half of a surrogate pair has no UTF-8.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def is_storable(text: str) -> bool:
    """Whether the text can be kept as it is."""
    return _UNSTORABLE.search(text) is None


def storable(text: str) -> str:
    """The text with U+FFFD for each character that cannot be kept."""
    return _UNSTORABLE.sub("\ufffd", text)
