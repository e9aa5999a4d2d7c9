"""The pages in a real browser: policy, accessibility, narrow screens, keyboard, with and without scripts."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from axe_core_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Page, sync_playwright
from werkzeug.serving import make_server

pytestmark = pytest.mark.slow

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",  # Chromium refuses its sandbox to root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PAGES = {
    "list": "/models?q=tiny",
    "first page": "/",
    "empty list": "/models?q=entry-07&family=llama&task=translation",
    "model": "/tiny/complete",
    "broken model": "/tiny/broken",
    "linked model": "/openbmb/entry-07",
    "folder": "/tiny/complete/tree/main",
    "file": "/tiny/complete/blob/main/config.json",
    "error": "/tiny/nothing",
}
NARROW = ("first page", "linked model", "file")  # looked at as on a phone
LOCALES = {"zh": "zh-CN", "en": "en-US"}


@pytest.fixture(scope="module")
def url(app) -> Iterator[str]:
    """The address of the hub, served to the browser."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    if not CHROMIUM.exists() and not os.environ.get("CI"):
        pytest.skip(f"{CHROMIUM} is missing: apt-get install chromium fonts-noto-cjk")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def visit(browser: Browser, address: str, *, language: str = "en", **options) -> Iterator[Page]:
    """A page as a new visitor sees it; whatever its policy blocks or its scripts say fails the test."""
    context = browser.new_context(locale=LOCALES[language], **options)
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    strangers: list[str] = []
    page.on("request", lambda request: strangers.append(request.url))
    page.goto(address)
    yield page
    context.close()
    origin = re.match(r"http://[^/]+", address)
    assert origin
    assert [stranger for stranger in strangers if not stranger.startswith(origin[0])] == []
    assert [text for text in said if "404 (NOT FOUND)" not in text] == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("language", LOCALES)
def test_pages_are_accessible(browser, url, language, theme):
    """No violation of any of axe's rules, on wide and on narrow screens."""
    found = {}
    with visit(browser, url, language=language, color_scheme=theme) as page:
        for name, address in PAGES.items():
            width = 390 if name in NARROW else 1280
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(url + address)
            page.evaluate(AXE_SCRIPT)
            violations = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
            found[name] = [
                (violation["id"], [node["html"][:200] for node in violation["nodes"][:3]])
                for violation in violations
            ]
    assert not any(found.values()), json.dumps(found, indent=1, ensure_ascii=False)


@pytest.mark.parametrize("language", LOCALES)
def test_narrow_screens_scroll_in_one_direction(browser, url, language):
    too_wide = []
    with visit(browser, url, language=language) as page:
        for name, address in PAGES.items():
            page.goto(url + address)
            for width in (320, 360, 390, 768, 1280):
                page.set_viewport_size({"width": width, "height": 800})
                if page.evaluate("document.documentElement.scrollWidth") > width:
                    too_wide.append((name, width))
    assert too_wide == []


def test_targets_are_large_enough_for_fingers(browser, url):
    """24 pixels at least, of what is not part of a sentence."""
    targets = "button, summary, .facet a, .sorts a, .pages a, .tabs a, .chip, .tag, .languages a"
    measure = """(targets) => [...document.querySelectorAll(targets)]
        .filter((element) => element.checkVisibility())
        .map((element) => [element.outerHTML.slice(0, 120), element.getBoundingClientRect()])
        .filter(([, box]) => box.width < 24 || box.height < 24).map(([html]) => html)"""
    with visit(browser, url, viewport={"width": 390, "height": 800}) as page:
        for address in PAGES.values():
            page.goto(url + address)
            assert page.evaluate(measure, targets) == []


def test_filters_are_a_drawer_on_phones_and_a_column_on_desks(browser, url):
    with visit(browser, f"{url}/models", viewport={"width": 390, "height": 800}) as page:
        choice = page.get_by_role("link", name=re.compile("^MiniCPM"))
        assert not choice.is_visible()
        page.locator(".facets > summary").click()
        assert choice.is_visible()
    with visit(browser, f"{url}/models", viewport={"width": 1280, "height": 800}) as page:
        assert page.get_by_role("link", name=re.compile("^MiniCPM")).is_visible()
        assert not page.locator(".facets > summary").is_visible()


def test_everything_works_without_scripts(browser, url):
    with visit(browser, f"{url}/", java_script_enabled=False) as page:
        page.get_by_role("searchbox").fill("tiny")
        page.get_by_role("searchbox").press("Enter")
        page.get_by_role("link", name=re.compile("Loads with ModelCenter")).click()
        page.get_by_role("link", name="tiny/complete").click()
        assert page.get_by_role("heading", level=1).inner_text() == "tiny/complete"
        assert page.locator(".use-modelcenter").is_visible()
        assert not page.locator(".use-cli").is_visible()
        page.get_by_role("radio", name="Command line").check()
        assert page.locator(".use-cli").is_visible()
        assert page.get_by_role("button", name="Copy").count() == 0
        page.get_by_role("link", name="Files", exact=True).click()
        page.get_by_role("link", name="notes").click()
        page.locator(".refs > summary").click()
        page.get_by_role("link", name="v1.0").click()
        assert page.url == f"{url}/tiny/complete/tree/v1.0/notes"


def test_the_switch_of_language_keeps_the_page_and_is_remembered(browser, url):
    with visit(browser, f"{url}/models?q=tiny&license=apache-2.0") as page:
        page.get_by_role("link", name="中文", exact=True).click()
        assert page.locator("html").get_attribute("lang") == "zh-CN"
        assert page.get_by_role("searchbox").input_value() == "tiny"
        page.get_by_role("link", name="tiny/complete").click()
        assert "可用 ModelCenter 加载" in page.inner_text("main")


def test_the_keyboard_reaches_what_matters(browser, url):
    with visit(browser, f"{url}/models?q=tiny", viewport={"width": 1280, "height": 900}) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "content"
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.id") == "search"
        assert page.get_by_role("searchbox").input_value() == "tiny"
        reached = []
        for _ in range(60):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.textContent.trim().replace(/\\s+/g, ' ')"))
        assert {"中文", "Downloads", "tiny/complete"} <= set(reached)
        assert any(text.startswith("BERT") for text in reached)
    with visit(browser, f"{url}/tiny/complete", viewport={"width": 1280, "height": 900}) as page:
        page.locator("#use-modelcenter").focus()
        page.keyboard.press("ArrowRight")
        assert page.locator(".use-transformers").is_visible()
        page.locator(".report > summary").focus()
        page.keyboard.press("Enter")
        assert page.locator(".report").get_attribute("open") is not None


def test_snippets_can_be_copied(browser, url):
    with visit(browser, f"{url}/tiny/complete", permissions=["clipboard-read", "clipboard-write"]) as page:
        page.get_by_role("button", name="Copy", exact=True).click()
        page.get_by_role("button", name="Copied").wait_for()
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied.splitlines()[0] == "from modelcenter import load"
        assert f'load("tiny/complete", endpoint="{url}")' in copied


def test_a_picture_in_a_card_is_shown(browser, url):
    with visit(browser, f"{url}/tiny/complete") as page:
        picture = page.locator('.prose[lang] ~ .prose img, .prose img[src$="loss.png"]').first
        picture.scroll_into_view_if_needed()
        assert (
            page.evaluate(
                "(image) => image.decode().then(() => image.naturalWidth)", picture.element_handle()
            )
            == 8
        )


def test_nothing_is_cut_off_on_the_menu_of_revisions(browser, url):
    for width in (390, 1280):
        with visit(
            browser, f"{url}/tiny/complete/tree/main/notes", viewport={"width": width, "height": 800}
        ) as page:
            page.locator(".refs > summary").click()
            box = page.locator(".refs > .menu").bounding_box()
            assert box
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
            page.keyboard.press("Escape")
            assert not page.locator(".refs > .menu").is_visible()
