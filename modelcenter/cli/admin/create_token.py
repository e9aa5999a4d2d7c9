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
@click.option("--days", type=click.IntRange(1), help="Days until it expires. Default: never.")
def command(name: str, data: Path | None, scope: Scope, label: str, days: int | None) -> None:
    """Create an access token for the user NAME and print it, alone: it is kept hashed and not shown again."""
    with opened(data) as hub:
        from modelcenter.registry.accounts import create_token, find

        expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
        with hub.database.transaction() as session:
            token = create_token(session, find(session, name), scope=scope, name=label, expires_at=expires_at)
    say(token)
