"""`modelcenter admin create-token`: an access token, shown once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelcenter.cli.admin import opened
from modelcenter.cli.options import data_option
from modelcenter.cli.output import say

if TYPE_CHECKING:
    from modelcenter.registry.tables import Scope


@click.command("create-token")
@click.argument("name")
@data_option
@click.option(
    "--scope",
    type=click.Choice(["read", "write", "admin"]),
    default="read",
    show_default=True,
    help="What the token's bearer may do in NAME's stead.",
)
@click.option("--label", default="command line", show_default=True, help="What the token is for.")
@click.option(
    "--resource",
    "resources",
    metavar="OWNER[/NAME]",
    multiple=True,
    help="An account or model that it is good for. Repeatable. Default: all that NAME may reach.",
)
@click.option("--days", type=click.IntRange(1), help="Days until it expires. Default: never.")
@click.option(
    "--expires", type=click.DateTime(["%Y-%m-%d"]), metavar="YYYY-MM-DD", help="The day (UTC) it expires on."
)
def command(
    name: str,
    data: Path | None,
    scope: Scope,
    label: str,
    resources: tuple[str, ...],
    days: int | None,
    expires: datetime | None,
) -> None:
    """Create an access token for the user NAME and print it, alone: it is kept hashed and not shown again."""
    if days and expires:
        raise click.UsageError("--days and --expires say the same: give one of them.")
    expires_at = expires.replace(tzinfo=UTC) if expires else None
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise click.BadParameter(f"{expires_at:%Y-%m-%d} is past.", param_hint="--expires")
    with opened(data) as hub:
        from modelcenter.registry.accounts import create_token, find

        if days:
            expires_at = datetime.now(UTC) + timedelta(days=days)
        with hub.database.transaction() as session:
            token = create_token(
                session,
                find(session, name),
                scope=scope,
                name=label,
                expires_at=expires_at,
                resources=resources or None,
            )
    say(token)
