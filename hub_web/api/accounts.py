"""Who asks."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from hub_web import context
from hub_web.api.errors import api_blueprint
from modelcenter.errors import NotAuthenticated

blueprint: Blueprint = api_blueprint("accounts")


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
            {"type": "org", "name": name, "fullname": name, "roleInOrg": role}
            for name, role in sorted(actor.organizations.items())
        ],
        "auth": {
            "type": "access_token",
            "accessToken": {"displayName": actor.token_name, "role": actor.scope},
        },
    }
