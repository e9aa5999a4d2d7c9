"""Both languages are whole, and a page speaks the one that was asked for."""

from __future__ import annotations

import io
import re

import pytest
from babel.messages.mofile import read_mo
from flask import Flask

from hub_web import i18n, messages

PLACEHOLDER = re.compile(r"%\((\w+)\)[sd]")


def forms(value) -> tuple[str, ...]:
    """The forms of a message or of its translation."""
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


@pytest.mark.parametrize("language", i18n.LANGUAGES)
def test_every_message_is_translated_and_none_is_left_over(language):
    written = messages.read(language)
    used = {message.id for message in messages.extracted() if message.id}
    assert {message.id for message in written if message.id} == used
    assert messages.untranslated(written) == []
    assert not written.obsolete


@pytest.mark.parametrize("language", i18n.LANGUAGES)
def test_the_compiled_messages_are_the_written_ones(language):
    written = messages.read(language)
    mo = read_mo(io.BytesIO(messages.po_file(language).with_suffix(".mo").read_bytes()))
    expected = {forms(message.id): forms(message.string) for message in written if message.id}
    assert {forms(message.id): forms(message.string) for message in mo if message.id} == expected


@pytest.mark.parametrize("language", i18n.LANGUAGES)
def test_translations_fill_in_what_the_messages_do(language):
    for message in messages.read(language):
        if message.id:
            allowed = {name for form in forms(message.id) for name in PLACEHOLDER.findall(form)}
            for form in forms(message.string):
                assert set(PLACEHOLDER.findall(form)) <= allowed, message.id
            assert set(PLACEHOLDER.findall(forms(message.string)[-1])) == allowed, message.id


def test_no_message_hides_where_extraction_does_not_look():
    """Inside an f-string a message would be shown, and never be asked for."""
    for file in messages.HERE.rglob("*.py"):
        assert not re.search(r"""f(["']).*\{(?:n|lazy_)?gettext\(""", file.read_text("utf-8")), file


def test_chinese_messages_are_chinese():
    """Punctuation between Chinese characters is Chinese too."""
    for message in messages.read("zh"):
        for form in forms(message.string) if message.id else ():
            assert not re.search(r"[\u4e00-\u9fff][,;:!?()]|[,;:!?()][\u4e00-\u9fff]", form), form


def test_bringing_the_files_up_to_date_changes_nothing(tmp_path, monkeypatch):
    before = {language: messages.po_file(language).read_bytes() for language in i18n.LANGUAGES}
    monkeypatch.setattr(messages, "po_file", lambda language: tmp_path / language / "messages.po")
    for language, content in before.items():
        (tmp_path / language).mkdir()
        (tmp_path / language / "messages.po").write_bytes(content)
    assert messages.update() == []
    assert {language: (tmp_path / language / "messages.po").read_bytes() for language in before} == before


@pytest.fixture
def small():
    """An application that says the language of each request."""
    app = Flask(__name__)
    i18n.init_app(app)
    app.add_url_rule("/", "home", i18n.language)
    app.add_url_rule("/plain", "plain", lambda: "nothing said")
    return app.test_client()


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("zh-TW", "zh"),
        ("zh-Hans-CN", "zh"),
        ("en-GB,en;q=0.9,zh;q=0.2", "en"),
        ("de,fr;q=0.9,zh;q=0.1", "zh"),
        ("de", "en"),
        ("", "en"),
    ],
)
def test_the_first_visit_follows_the_browser(small, accepted, language):
    assert small.get("/", headers={"Accept-Language": accepted}).text == language


def test_a_language_asked_for_is_remembered(small):
    answer = small.get("/?lang=zh", headers={"Accept-Language": "en"})
    assert answer.text == "zh"
    assert "SameSite=Lax" in answer.headers["Set-Cookie"]
    assert small.get("/", headers={"Accept-Language": "en"}).text == "zh"
    assert small.get("/?lang=en").text == "en"
    assert small.get("/", headers={"Accept-Language": "zh"}).text == "en"


@pytest.mark.parametrize("wish", ["fr", "", "../../etc", "zh-CN"])
def test_a_language_we_do_not_speak_is_not_remembered(small, wish):
    answer = small.get("/", query_string={"lang": wish})
    assert answer.text == "en"
    assert "Set-Cookie" not in answer.headers


def test_caches_are_told_what_a_page_depends_on(small):
    answer = small.get("/")
    assert {value.strip() for value in answer.headers["Vary"].split(",")} >= {"Accept-Language", "Cookie"}
    assert answer.headers["Content-Language"] == "en"
    assert "Vary" not in small.get("/plain").headers
