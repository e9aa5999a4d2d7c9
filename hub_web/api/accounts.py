"""Who asks."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from hub_web import context
from hub_web.api.errors import api_blueprint
from modelcenter.errors import NotAuthenticated
from modelcenter.registry import organizations

blueprint: Blueprint = api_blueprint("accounts")


@blueprint.get("/api/agent-harnesses")
def harnesses() -> dict[str, Any]:
    """None are known here; without an answer every process of the client asks again."""
    return {"standardEnvVars": [], "harnesses": {}}


@blueprint.get("/api/whoami-v2")
def whoami() -> dict[str, Any]:
    """The account behind the token, and what the token may do."""
    actor = context.actor()
    if actor.is_anonymous:
        raise NotAuthenticated("Invalid username or password.")
    return {
        "type": "user",
        "id": str(actor.account_id),
        "name": actor.name,
        "fullname": actor.fullname or actor.name,
        "isAdmin": actor.is_admin,
        "orgs": [
            {
                "type": "org",
                "name": membership.organization.name,
                "fullname": membership.organization.fullname or membership.organization.name,
                "roleInOrg": membership.role,
            }
            for membership in organizations.of(context.session(), actor)
            if actor.reaches_into(membership.organization.name)
        ],
        "auth": {
            "type": "access_token",
            "accessToken": {
                "displayName": actor.token_name,
                "role": actor.scope,
                **({} if actor.resources is None else {"resources": sorted(actor.resources)}),
            },
        },
    }
