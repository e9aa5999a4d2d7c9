"""Pages as they are read: their text, with or without what is marked as another language."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"br", "col", "hr", "img", "input", "link", "meta", "wbr"}


class Reader(HTMLParser):
    """Collects the text of the body."""

    def __init__(self, skip_marked: bool, skip: set[str]) -> None:
        super().__init__()
        self.skip_marked, self.skip = skip_marked, skip
        self.open: list[bool] = []  # of each open element, whether it is passed over
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag in VOID:
            return
        is_marked = tag != "html" and "lang" in dict(attributes)
        self.open.append(tag in self.skip or (self.skip_marked and is_marked))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if not any(self.open):
            self.found.append(data)


def visible(text: str, *, own_language: bool = False, skip: tuple[str, ...] = ()) -> str:
    """The text of a page; `own_language` leaves out what is marked as another, `skip` what is of a name."""
    reader = Reader(own_language, {"head", "script", *skip})
    reader.feed(text)
    assert not reader.open, "an element is not closed"
    return " ".join(" ".join(reader.found).split())
