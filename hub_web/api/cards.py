"""Model cards, looked at before they are committed."""

from __future__ import annotations

from http import HTTPStatus

from flask import Blueprint, Response, jsonify, request

from hub_web.api.body import json_body, string
from hub_web.api.errors import api_blueprint
from modelcenter.errors import Invalid
from modelcenter.registry import cards

blueprint: Blueprint = api_blueprint("cards")


@blueprint.post("/api/validate-yaml")
def validate_yaml() -> Response:
    """What is wrong with a card: JSON, or lines of text for those who ask for it, as `RepoCard.validate`.

    Clients read the answer before its status.
    """
    try:
        card = cards.read_card(string(json_body(), "content"))
    except Invalid as error:
        errors, warnings = [str(error)], []
    else:
        errors, warnings = list(card.errors), list(card.warnings)
    if request.accept_mimetypes.best_match(("application/json", "text/plain")) == "text/plain":
        lines = [f"- Error: {message}" for message in errors]
        lines += [f"- Warning: {message}" for message in warnings]
        response = Response("\n".join(lines), mimetype="text/plain")
    else:
        response = jsonify(
            errors=[{"message": message} for message in errors],
            warnings=[{"message": message} for message in warnings],
        )
    response.status_code = HTTPStatus.BAD_REQUEST if errors else HTTPStatus.OK
    return response
