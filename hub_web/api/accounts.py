"""Who asks."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from hub_web import context
from hub_web.api.errors import api_blueprint
from modelcenter.errors import NotAuthenticated
from modelcenter.registry.tables import Account

blueprint: Blueprint = api_blueprint("accounts")


@blueprint.get("/api/whoami-v2")
def whoami() -> dict[str, Any]:
    """The account behind the token, and what the token may do."""
    actor = context.actor()
    if actor.account_id is None:
        raise NotAuthenticated("Invalid username or password.")
    account = context.session().get_one(Account, actor.account_id)
    return {
        "type": "user",
        "id": str(account.id),
        "name": account.name,
        "fullname": account.fullname or account.name,
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
