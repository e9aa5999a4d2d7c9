"""`modelcenter admin set-role`: who belongs to an organisation, and as what."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from modelcenter.cli.admin import opened
from modelcenter.cli.options import data_option
from modelcenter.cli.output import say

if TYPE_CHECKING:
    from modelcenter.registry.tables import Role


@click.command("set-role")
@click.argument("organization")
@click.argument("user")
@click.argument("role", type=click.Choice(["read", "contributor", "write", "admin", "none"]))
@data_option
def command(organization: str, user: str, role: str, data: Path | None) -> None:
    """Give USER a role in ORGANIZATION, or none.

    read: sees what is private. contributor: creates models too, and changes those. write: changes all models.
    admin: members as well.
    """
    with opened(data) as hub:
        from modelcenter.registry import organizations

        with hub.database.transaction() as session:
            given = None if role == "none" else cast("Role", role)
            organizations.set_role(session, None, organization, user, given)
    say(f"{user} has {'no role' if role == 'none' else f'the role {role}'} in {organization}.")
