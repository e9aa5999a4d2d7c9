"""Runs migrations on the connection that the registry hands over, else on DATABASE_URL.

`alembic -c migrations/alembic.ini revision --autogenerate -m "…"` drafts a migration from the tables.
"""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from sqlalchemy import Connection

from modelcenter.registry.tables import Base


def include_object(subject: Any, name: str | None, kind: str, reflected: bool, compare_to: Any) -> bool:
    """Leaves the search index out: it differs by database and belongs to its migrations alone."""
    return not (kind == "table" and name is not None and "_fts" in name)


def render_item(kind: str, subject: Any, autogen_context: Any) -> str | Literal[False]:
    """Writes our moments in time as plain columns: a migration does not change when the code does."""
    if kind == "type" and type(subject).__name__ == "UtcDateTime":
        return "sa.DateTime(timezone=True)"
    return False


def run(connection: Connection) -> None:
    """Runs what is asked for in the transaction that the connection is in."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        include_object=include_object,
        render_item=render_item,
        render_as_batch=True,
        transactional_ddl=True,
        compare_type=True,
        compare_server_default=True,
    )
    context.run_migrations()


def main() -> None:
    """Takes the given connection, or opens the database of DATABASE_URL as the hub would."""
    given = context.config.attributes.get("connection")
    if given is not None:
        run(given)
        return
    from modelcenter.registry.database import migrating, open_database
    from modelcenter.settings import Settings

    database = open_database(Settings.from_environment().database_url)
    with migrating(database) as connection:
        run(connection)


main()
