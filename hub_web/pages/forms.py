"""Forms that change something: each carries a token that only a page of this hub could have put there.

Browsers send passwords and cookies along with what other sites let people click; a token they cannot read.
It is of one account, one browser and one act, signed with the hub's secret, and valid for half a day.
"""

from __future__ import annotations

from flask import request
from itsdangerous import BadData, URLSafeTimedSerializer

from hub_web import context, sessions
from modelcenter.errors import AccessDenied, Invalid
from modelcenter.registry.texts import is_storable

FIELD = "form_token"
VALID_SECONDS = 12 * 3600


def token(act: str) -> str:
    """The token of a form by which the caller may do `act`, such as the path that it is sent to."""
    return str(_signer().dumps(_meant(act)))


def check(act: str) -> None:
    """Raises AccessDenied unless the form that was sent has the caller's token for `act`, else Invalid for
    values that cannot be kept."""
    try:
        found = _signer().loads(request.values.get(FIELD, ""), max_age=VALID_SECONDS)
    except BadData:
        found = None
    if not all(is_storable(value) for value in request.form.values()):
        raise Invalid("The form has a NUL character, which nothing here contains.")
    if found != _meant(act):
        raise AccessDenied("This form was not made for you by this hub, or has expired. Open its page again.")


def _meant(act: str) -> list[object]:
    return [context.actor().account_id, sessions.browser(), act]


def _signer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(context.hub().settings.secret_key, salt="form")
