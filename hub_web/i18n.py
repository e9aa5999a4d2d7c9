"""Which language a page speaks: Chinese or English. Messages lie in translations/, by their English text.

Asked for by `?lang=zh`, else remembered in a cookie, else what the browser prefers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import g, has_request_context, request
from flask_babel import Babel, get_locale
from flask_babel import gettext as untyped_gettext
from flask_babel import ngettext as untyped_ngettext

if TYPE_CHECKING:
    from flask import Flask
    from werkzeug.wrappers import Response

LANGUAGES = {"zh": "中文", "en": "English"}  # each in its own words, in the order of the switch
TAGS = {
    "zh": "zh-CN",
    "en": "en",
}  # as `lang` attributes: with the region, browsers choose the Chinese glyphs
DEFAULT = "en"
PARAMETER = COOKIE = "lang"
YEAR = 365 * 24 * 3600  # seconds


def init_app(app: Flask) -> None:
    """Give `app` its translations and let it remember the language that was asked for."""
    Babel(app, default_locale=DEFAULT, locale_selector=chosen)
    app.after_request(remember)


def chosen() -> str:
    """The language of this request: asked for, remembered, or preferred by the browser."""
    if not has_request_context():
        return DEFAULT
    # Whoever asks for the language has made the answer depend on it.
    g.language_matters = True
    for wish in (request.args.get(PARAMETER), request.cookies.get(COOKIE)):
        if wish in LANGUAGES:
            return wish
    return preferred()


def preferred() -> str:
    """The first of the browser's languages that we speak; the default one where any will do."""
    accepted = [(tag.partition("-")[0].lower(), quality) for tag, quality in request.accept_languages]
    refused = {code for code, quality in accepted if not quality}
    spoken = [code for code in (DEFAULT, *LANGUAGES) if code not in refused]
    for code, _ in accepted:
        if code in spoken:
            return code
        if code == "*" and spoken and "*" not in refused:
            return spoken[0]
    return DEFAULT


def language() -> str:
    """`zh` or `en`: the language of the page being made."""
    locale = get_locale()
    return str(locale.language) if locale is not None else DEFAULT


def gettext(message: str, **values: object) -> str:
    """`message` in the page's language, with its %(name)s filled in."""
    return str(untyped_gettext(message, **values))


def ngettext(one: str, many: str, count: int, **values: object) -> str:
    """`one` or `many` in the page's language, by `count`."""
    return str(untyped_ngettext(one, many, count, **values))


def remember(response: Response) -> Response:
    """Keep a language that was asked for, and tell caches what the page depends on."""
    wish = request.args.get(PARAMETER)
    if wish in LANGUAGES and request.cookies.get(COOKIE) != wish:
        response.set_cookie(
            COOKIE, wish, max_age=YEAR, samesite="Lax", httponly=True, secure=request.is_secure
        )
    if g.pop("language_matters", False):
        response.vary.update(["Accept-Language", "Cookie"])
        response.content_language.add(TAGS[language()])
    return response
