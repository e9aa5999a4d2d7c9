"""Headers that keep what people upload from acting in the hub's name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask
    from werkzeug.wrappers import Response

# Pages: everything from this origin, scripts and styles from files only.
PAGE_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)
# Uploaded files: no part of them may act, even where a browser is talked into showing them.
FILE_POLICY = "default-src 'none'; sandbox; frame-ancestors 'none'"


def install(app: Flask) -> None:
    """Send the headers with every answer of `app`; an answer's own policy is kept."""

    @app.after_request
    def protect(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", PAGE_POLICY)
        response.headers["X-Content-Type-Options"] = "nosniff"
        # What one may see, another may not: no cache keeps an answer for somebody else, none without asking.
        response.headers.setdefault("Cache-Control", "private, no-cache")
        response.headers.setdefault("Referrer-Policy", "same-origin")
        response.headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
        return response
