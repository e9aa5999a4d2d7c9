"""What all pages share: languages, addresses for search engines, errors, static files, names of things."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime, timedelta

import pytest
from flask import abort

from hub_web.app import create_app
from hub_web.pages import formats, source
from tests.support.html import visible

PAGES = [
    "/",
    "/models?q=tiny",
    "/tiny/complete",
    "/openbmb/entry-07",
    "/tiny/complete/tree/main",
    "/tiny/complete/blob/main/vocab.txt",
]
HAN = re.compile(r"[\u4e00-\u9fff]")


@pytest.mark.parametrize("address", PAGES)
@pytest.mark.parametrize(("language", "tag"), [("en", "en"), ("zh", "zh-CN")])
def test_a_page_says_its_language(page, address, language, tag):
    assert f'<html lang="{tag}">' in page(address, language)


@pytest.mark.parametrize(
    "address", ["/", "/models?q=tiny", "/openbmb/entry-07", "/tiny/broken", "/tiny/pending", "/tiny/empty"]
)
def test_english_pages_mark_what_is_chinese(page, address):
    assert not HAN.search(visible(page(address), own_language=True, skip=("pre",)))


@pytest.mark.parametrize(
    "address",
    ["/", "/tiny/complete", "/tiny/broken", "/tiny/unknown", "/tiny/pending", "/tiny/empty", "/nothing"],
)
def test_chinese_pages_speak_no_english_sentences(page, client, address):
    text = client.get(address, headers={"Accept-Language": "zh"}).text
    text = visible(text, own_language=True, skip=("pre",))
    for word in (
        "Search",
        "Sort",
        "Facts",
        "Report",
        "Files",
        "Updated",
        "Download",
        "model card",
        "There is",
        "parameters",
        " the ",
    ):
        assert word not in text


def test_the_switch_keeps_the_page(page):
    text = page("/models?q=tiny&family=bert&lang=en")
    assert (
        'hreflang="zh-CN" href="/models?q=tiny&amp;family=bert&amp;lang=zh" rel="nofollow">中文</a>' in text
    )
    branch = "/tiny/complete/tree/feature%2F%E8%AF%95%E9%AA%8C/notes"
    assert f'href="{branch}?lang=zh"' in page(branch)


def test_search_engines_find_each_language_once(page):
    text = page("/tiny/complete")
    assert '<link rel="canonical" href="http://localhost/tiny/complete">' in text
    for tag, query in (("zh", "?lang=zh"), ("en", "?lang=en"), ("x-default", "")):
        assert f'<link rel="alternate" hreflang="{tag}" href="http://localhost/tiny/complete{query}">' in text
    assert '<link rel="canonical" href="http://localhost/tiny/complete?lang=zh">' in page(
        "/tiny/complete?lang=zh"
    )


def test_every_page_has_a_title_and_a_description_of_its_own(page):
    assert "<title>tiny/complete · ModelCenter</title>" in page("/tiny/complete")
    assert re.search(
        r'<meta name="description" content="openbmb/entry-07: .*Entry number 07', page("/openbmb/entry-07")
    )
    assert "<title>模型：对话 · ModelCenter</title>" in page("/models?q=对话", "zh")


def test_filtered_lists_and_files_are_left_to_people(page):
    for address in ("/models?family=bert", "/tiny/complete/tree/main"):
        assert '<meta name="robots" content="noindex">' in page(address)
    assert "noindex" not in page("/models?q=tiny") + page("/tiny/complete")


def test_no_page_has_inline_scripts_or_styles_or_strangers(page):
    for address in PAGES:
        text = page(address)
        assert not re.search(r"<style|\sstyle=|<script(?! src=)", text)
        assert not re.search(r"<[^>]+\son\w+=", re.sub(r'"[^"]*"', '""', text))
        assert all(src.startswith("/") for src in re.findall(r'\ssrc="([^"]+)"', text))


def test_the_policy_allows_nothing_inline(client):
    policy = client.get("/").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_the_first_page_is_small(client):
    import gzip

    weight = 0
    text = client.get("/").text
    for address in ["/", *re.findall(r'(?:src|href)="(/static/[^"]+)"', text)]:
        with client.get(html.unescape(address)) as answer:
            weight += len(gzip.compress(answer.data))
    assert weight < 60_000  # bytes, compressed


def test_static_files_are_kept_for_ever_by_their_content(client):
    (address,) = re.findall(r'href="(/static/style.css\?v=[0-9a-f]{12})"', client.get("/").text)
    with client.get(address) as answer:
        assert "immutable" in answer.headers["Cache-Control"]
    with client.get("/static/style.css") as answer:
        assert "immutable" not in answer.headers["Cache-Control"]


@pytest.mark.parametrize(("language", "title"), [("en", "There is nothing here"), ("zh", "页面不存在")])
def test_wrong_addresses_have_a_page(page, language, title):
    text = page("/no/such/page", language, 404)
    assert title in text
    assert 'href="/models"' in text
    assert 'rel="canonical"' not in text


def test_an_address_of_another_host_is_no_link(client):
    text = client.get("//evil.example/x").text
    assert not re.search(r'href="//', text)


def test_programs_get_json(client):
    answer = client.get("/api/nothing")
    assert answer.status_code == 404
    assert answer.is_json


@pytest.mark.parametrize(
    ("language", "refused", "failed"),
    [
        ("en", "This is not yours to see", "The hub failed to make this page"),
        ("zh", "您无权查看此页", "页面生成失败"),
    ],
)
def test_refusals_and_faults_have_pages_in_both_languages(settings, language, refused, failed):
    app = create_app(settings)
    app.add_url_rule("/-/refused", "refused", lambda: abort(403))
    app.add_url_rule("/-/failed", "failed", lambda: str(1 / 0))
    app.logger.disabled = True
    client = app.test_client()
    answer = client.get("/-/refused", headers={"Accept-Language": language})
    assert (answer.status_code, refused in answer.text) == (403, True)
    answer = client.get("/-/failed", headers={"Accept-Language": language, "X-Request-Id": "abc-123"})
    assert (answer.status_code, failed in answer.text) == (500, True)
    assert "abc-123" in answer.text
    assert "ZeroDivisionError" not in answer.text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (1, "1"),
        (999, "999"),
        (1000, "1K"),
        (22_713_216, "22.7M"),
        (999_600, "1M"),
        (1_360_246_272, "1.36B"),
        (671 * 10**9, "671B"),
    ],
)
def test_parameters_are_said_in_three_digits(app, count, text):
    with app.test_request_context("/?lang=en"):
        assert formats.parameters(count).short == text


def test_moments_are_told_in_the_language_of_the_page(app):
    now = datetime(2026, 5, 1, 12, tzinfo=UTC)
    with app.test_request_context("/?lang=en"):
        assert formats.moment(now - timedelta(hours=3), now).relative == "3 hours ago"
        assert formats.moment(now + timedelta(hours=3), now).relative == "1 second ago"  # clocks differ
    with app.test_request_context("/?lang=zh"):
        assert formats.moment(now - timedelta(days=3), now).relative == "3天前"
        assert formats.compact(12345) == "1.2万"


def test_lines_are_those_of_the_file():
    text = "\n\nimport os\r\n# <b>\n\n"
    assert [re.sub(r"<[^>]+>", "", line) for line in source.lines(text, "a.py")] == [
        "",
        "",
        "import os",
        "# &lt;b&gt;",
        "",
    ]
    assert list(source.lines("<b>\n", "a.txt")) == ["&lt;b&gt;"]
    assert source.text_of(b"\xff\xfe\x00") is None
    assert source.lines("\n" * 9000, "a.txt") == ()


@pytest.mark.parametrize(
    ("accepted", "tag"),
    [
        ("*", "en"),
        ("zh;q=0.5, *", "zh-CN"),
        ("en;q=0, *", "zh-CN"),
        ("fr, zh;q=0.8", "zh-CN"),
        ("zh,en", "zh-CN"),
        ("en,zh", "en"),
        ("zh-Hant-TW, en;q=0.9", "zh-CN"),
        ("fr", "en"),
        ("", "en"),
    ],
)
def test_the_language_is_the_browsers_first_that_we_speak(client, accepted, tag):
    text = client.get("/models", headers={"Accept-Language": accepted}).text
    assert f'<html lang="{tag}">' in text


def test_a_failure_shows_the_id_that_the_log_and_the_answer_have(app, monkeypatch):
    def fail(*_) -> None:
        abort(500)

    monkeypatch.setitem(app.view_functions, "pages.models", fail)
    answer = app.test_client().get("/models")
    assert answer.headers["X-Request-Id"] in answer.text
