"""Organisations made and tended: their members, and what their new repositories are unless said."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, cast

from flask import Blueprint, Response, jsonify

from hub_web import context
from hub_web.api import shapes
from hub_web.api.body import json_body, one_of, string
from hub_web.api.errors import api_blueprint
from modelcenter.errors import Invalid
from modelcenter.registry import organizations
from modelcenter.registry.tables import Role

ROOT = "/api/modelcenter/organizations"

blueprint: Blueprint = api_blueprint("organizations")


@blueprint.post(ROOT)
def create() -> Response:
    """A new organisation, which the caller administers."""
    body = json_body()
    name, fullname = string(body, "name"), string(body, "fullname", default="") or None
    with context.hub().database.transaction() as session:
        organization = organizations.create(session, context.actor(), name, fullname=fullname)
        response = jsonify(shapes.organization(organization))
    response.status_code = HTTPStatus.CREATED
    return response


@blueprint.put(f"{ROOT}/<organization>/members/<member>")
def set_role(organization: str, member: str) -> dict[str, Any]:
    """Give somebody a role: new members and old ones."""
    role = cast("Role", one_of("role", string(json_body(), "role"), organizations.ROLES))
    with context.hub().database.transaction() as session:
        organizations.set_role(session, context.actor(), organization, member, role)
    return {"user": member, "role": role}


@blueprint.delete(f"{ROOT}/<organization>/members/<member>")
def remove(organization: str, member: str) -> dict[str, Any]:
    """Let somebody go; oneself too."""
    with context.hub().database.transaction() as session:
        organizations.set_role(session, context.actor(), organization, member, None)
    return {}


@blueprint.put(f"{ROOT}/<organization>/settings")
def settings(organization: str) -> dict[str, Any]:
    """Make new repositories private unless said, or public; of one's own account too."""
    private = json_body().get("privateByDefault")
    if not isinstance(private, bool):
        raise Invalid(f"privateByDefault is {private!r:.100}; expected true or false.")
    with context.hub().database.transaction() as session:
        organizations.set_default_visibility(session, context.actor(), organization, private=private)
    return {"privateByDefault": private}
