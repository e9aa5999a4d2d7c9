"""Ranges, conditions and types of content."""

from __future__ import annotations

import io

import pytest
from flask import Flask

from hub_web.api.streaming import Span, Unsatisfiable, content_response, requested_span

CONTENT = b"0123456789"
ETAG = "aa"


def answer(headers=None, method="GET", name="data.bin", content=CONTENT, query=""):
    """Status, headers and body of a request for `content`."""
    app = Flask(__name__)
    with app.test_request_context(f"/file{query}", method=method, headers=headers):
        response = content_response(
            lambda: io.BytesIO(content), size=len(content), etag=ETAG, name=name, head={"X-Repo-Commit": "c"}
        )
        body = b"".join(response.get_app_iter({"REQUEST_METHOD": method}))
        return response.status_code, response.headers, body


@pytest.mark.parametrize(
    ("header", "span"),
    [
        (None, None),
        ("bytes=0-0", Span(0, 1)),
        ("bytes=2-5", Span(2, 6)),
        ("bytes=2-", Span(2, 10)),
        ("bytes=2-99", Span(2, 10)),
        ("bytes=-3", Span(7, 10)),
        ("bytes=-99", Span(0, 10)),
        ("bytes=2-" + "9" * 5000, Span(2, 10)),
        ("bytes=-" + "9" * 5000, Span(0, 10)),
        ("bytes=" + "0" * 5000 + "2-5", Span(2, 6)),
        ("bytes=" + "9" * 5000 + "-2", None),
        ("bytes=٣-٥", None),
        ("bytes=5-2", None),
        ("bytes=" + ",".join(["0-1"] * 1000), None),
        ("bytes=-", None),
        ("bytes=0-1,4-5", None),
        ("lines=1-2", None),
        ("bytes=a-b", None),
    ],
)
def test_a_range_names_bytes_or_is_passed_over(header, span):
    assert requested_span(header, 10) == span


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-12", "bytes=-0", "bytes=" + "9" * 5000 + "-"])
def test_a_range_behind_the_end_is_unsatisfiable(header):
    with pytest.raises(Unsatisfiable):
        requested_span(header, 10)


def test_the_whole_content_is_sent_with_its_length():
    status, headers, body = answer()
    assert (status, body) == (200, CONTENT)
    assert (headers["Content-Length"], headers["ETag"], headers["Accept-Ranges"]) == ("10", '"aa"', "bytes")


def test_a_head_has_the_length_and_no_body():
    status, headers, body = answer(method="HEAD")
    assert (status, headers["Content-Length"], body) == (200, "10", b"")


def test_a_range_is_partial_content():
    status, headers, body = answer({"Range": "bytes=2-5"})
    assert (status, body, headers["Content-Range"], headers["Content-Length"]) == (
        206,
        b"2345",
        "bytes 2-5/10",
        "4",
    )


def test_a_range_behind_the_end_says_how_long_the_content_is():
    status, headers, body = answer({"Range": "bytes=10-"})
    assert (status, headers["Content-Range"], body) == (416, "bytes */10", b"")


def test_a_range_of_another_version_gets_the_whole():
    assert answer({"Range": "bytes=2-5", "If-Range": '"bb"'})[0] == 200
    assert answer({"Range": "bytes=2-5", "If-Range": '"aa"'})[0] == 206
    for weak in ('W/"aa"', "aa", "Sat, 29 Oct 1994 19:43:31 GMT", ""):
        assert answer({"Range": "bytes=2-5", "If-Range": weak})[0] == 200


@pytest.mark.parametrize("known", ['"aa"', 'W/"aa"', '"x", "aa"', "*"])
def test_known_content_is_not_sent_again(known):
    status, headers, body = answer({"If-None-Match": known})
    assert (status, body, headers["ETag"], headers["X-Repo-Commit"]) == (304, b"", '"aa"', "c")


def test_empty_content_is_empty():
    status, headers, body = answer(content=b"")
    assert (status, headers["Content-Length"], body) == (200, "0", b"")


@pytest.mark.parametrize("name", ["page.html", "script.js", "picture.svg", "README.md", "LICENSE", "a.xml"])
def test_what_a_browser_could_run_is_plain_text(name):
    _, headers, _ = answer(name=name)
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert headers["Content-Disposition"].startswith("inline")
    assert "sandbox" in headers["Content-Security-Policy"]


@pytest.mark.parametrize("name", ["model.safetensors", "page.xhtml", "page.HTM", "film.swf", "doc.pdf"])
def test_anything_unknown_is_saved_not_shown(name):
    _, headers, _ = answer(name=f"中文/{name}")
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["Content-Disposition"].startswith("attachment")


def test_text_is_saved_when_asked():
    assert answer(name="a.txt", query="?download=true")[1]["Content-Disposition"].startswith("attachment")
