"""What a request costs the database: a fixed number of statements, and no transaction while bytes stream."""

from __future__ import annotations

import io

import pytest
from sqlalchemy import event

from hub_web.app import create_app
from modelcenter.registry import accounts, repositories
from modelcenter.registry.database import migrate
from modelcenter.registry.repositories import AddFile
from modelcenter.settings import Settings

TOKEN = 2  # statements that find out who asks


@pytest.fixture
def app(tmp_path):
    """An application on a hub with one repository of a hundred files in ten folders."""
    app = create_app(Settings.from_environment(tmp_path, {}))
    hub = app.extensions["modelcenter"]
    migrate(hub.database)
    with hub.database.transaction() as session:
        alice = accounts.create_user(session, "alice")
        app.config["TOKEN"] = accounts.create_token(session, alice, scope="write")
        actor = accounts.actor_of(session, alice)
    repositories.create(hub, actor, "alice/many")
    files = [AddFile(f"{number % 10}/{number}.txt", b"%d" % number) for number in range(100)]
    repositories.commit(hub, actor, "alice/many", "main", files, title="Many")
    yield app
    hub.database.close()


def statements(app, path: str, method: str = "GET", **options) -> int:
    """How many statements a request takes, BEGIN and the like not counted."""
    counted: list[str] = []

    def count(connection, cursor, statement, parameters, context, executemany):
        if not statement.startswith(("BEGIN", "COMMIT", "ROLLBACK", "PRAGMA")):
            counted.append(statement)

    engine = app.extensions["modelcenter"].database.engine
    event.listen(engine, "before_cursor_execute", count)
    try:
        headers = {"Authorization": f"Bearer {app.config['TOKEN']}"}
        answer = app.test_client().open(path, method=method, headers=headers, **options)
        assert answer.status_code == 200
        answer.close()
    finally:
        event.remove(engine, "before_cursor_execute", count)
    return len(counted)


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("/alice/many/resolve/main/3/13.txt", 6),
        ("/api/models/alice/many", 8),
        ("/api/models/alice/many/tree/main", 5),
        ("/api/models/alice/many/tree/main?recursive=true", 6),
        ("/api/models/alice/many/tree/main?recursive=true&expand=true", 7),
        ("/api/models/alice/many/refs", 2),
        ("/api/models?limit=50", 3),
        ("/api/modelcenter/search", 3),
    ],
)
def test_a_request_takes_few_statements(app, path, most):
    assert statements(app, path) <= TOKEN + most


def test_statements_do_not_grow_with_the_number_of_paths(app):
    paths = [f"{number % 10}/{number}.txt" for number in range(100)]
    few = statements(app, "/api/models/alice/many/paths-info/main", "POST", data={"paths": paths[:10]})
    many = statements(app, "/api/models/alice/many/paths-info/main", "POST", data={"paths": paths})
    assert few == many


def test_no_connection_is_held_while_bytes_stream(app):
    pool = app.extensions["modelcenter"].database.engine.pool
    headers = {"Authorization": f"Bearer {app.config['TOKEN']}"}
    client = app.test_client()
    answer = client.get("/alice/many/resolve/main/3/13.txt", headers=headers, buffered=False)
    assert pool.checkedout() == 0
    assert b"".join(answer.response) == b"13"
    answer.close()

    class Body(io.BytesIO):
        """A body that looks at the pool while it is read."""

        held = -1

        def readinto(self, buffer, /) -> int:
            Body.held = pool.checkedout()
            return super().readinto(buffer)

    lines = (
        b'{"key": "header", "value": {"summary": "s"}}\n'
        b'{"key": "file", "value": {"path": "a", "content": ""}}\n'
    )
    answer = client.post(
        "/api/models/alice/many/commit/main",
        headers=headers,
        input_stream=Body(lines),
        content_length=len(lines),
    )
    assert answer.status_code == 200
    assert Body.held == 0
