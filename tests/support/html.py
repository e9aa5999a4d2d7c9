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


class FormReader(HTMLParser):
    """Collects the forms that are sent by POST, with the values that they would send as they stand."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[tuple[str, dict[str, str]]] = []
        self.is_open = False
        self.select: str | None = None

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        if tag == "form" and given.get("method") == "post":
            self.forms.append((given["action"], {}))
            self.is_open = True
        if not self.is_open:
            return
        fields = self.forms[-1][1]
        if tag in ("input", "textarea") and "name" in given:
            fields[given["name"]] = given.get("value", "")
        elif tag == "select":
            self.select = given["name"]
        elif tag == "option" and self.select and ("selected" in given or self.select not in fields):
            fields[self.select] = given["value"]

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self.is_open = False
        elif tag == "select":
            self.select = None


def forms(text: str) -> list[tuple[str, dict[str, str]]]:
    """The forms of a page that are sent by POST: where to, and the fields as they stand."""
    reader = FormReader()
    reader.feed(text)
    return reader.forms


def form(text: str, action: str, **fields: str) -> dict[str, str]:
    """The fields of the first such form that goes to `action` and has these values."""
    fitting = [sent for place, sent in forms(text) if place == action and fields.items() <= sent.items()]
    assert fitting, (action, forms(text))
    return fitting[0]
