"""What a request costs the database: a fixed number of statements, and no transaction while bytes stream."""

from __future__ import annotations

import io
import json

import pytest
from sqlalchemy import event

from hub_web.app import create_app
from modelcenter.registry import accounts, discussions, gating, likes, organizations, repositories
from modelcenter.registry.database import migrate
from modelcenter.registry.repositories import AddFile, AddLfs
from modelcenter.registry.tables import Membership, Mirror
from modelcenter.settings import Settings
from tests.support.registry import upload

TOKEN = 3  # statements that find out who asks


@pytest.fixture
def app(tmp_path):
    """An application on a hub with one repository of a hundred files in ten folders."""
    app = create_app(Settings.from_environment(tmp_path, {}))
    hub = app.extensions["modelcenter"]
    migrate(hub.database)
    with hub.database.transaction() as session:
        alice = accounts.create_user(session, "alice")
        app.config["TOKEN"] = accounts.create_token(session, alice, scope="admin")
        actor = accounts.actor_of(session, alice)
    repositories.create(hub, actor, "alice/many")
    files = [AddFile(f"{number % 10}/{number}.txt", b"%d" % number) for number in range(100)]
    repositories.commit(hub, actor, "alice/many", "main", files, title="Many")
    repositories.create(hub, actor, "alice/gated")
    with hub.database.transaction() as session:
        repositories.update(session, actor, "alice/gated", gated="manual")
        lab = organizations.create(session, actor, "lab")
        for number in range(10):
            reader = accounts.create_user(session, f"reader-{number}")
            session.add(Membership(organization_id=lab.id, account_id=reader.id, role="read"))
            gating.ask(session, accounts.actor_of(session, reader), "alice/gated")
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
        assert answer.status_code == 200, answer.get_data(as_text=True)
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
        ("/api/models/alice/many/xet-write-token/main", 4),
        ("/alice/many.git/info/refs?service=git-upload-pack", 2),
        ("/alice/many.git/info/refs?service=git-receive-pack", 2),
        ("/api/models?limit=50", 3),
        ("/api/models/alice/gated/user-access-request/pending", 2),
        ("/alice/gated/access-requests", 4),
        ("/api/modelcenter/tokens", 2),
        ("/api/organizations/lab/members", 2),
        ("/api/modelcenter/search", 3),
        ("/api/modelcenter/events", 1),
        ("/api/modelcenter/webhooks", 1),
    ],
)
def test_a_request_takes_few_statements(app, path, most):
    assert statements(app, path) <= TOKEN + most


def test_statements_do_not_grow_with_the_number_of_paths(app):
    paths = [f"{number % 10}/{number}.txt" for number in range(100)]
    few = statements(app, "/api/models/alice/many/paths-info/main", "POST", data={"paths": paths[:10]})
    many = statements(app, "/api/models/alice/many/paths-info/main", "POST", data={"paths": paths})
    assert few == many


def test_statements_do_not_grow_with_folders_and_commits(app):
    """A file in each of n deep folders, brought by n commits: read, changed, merged, squashed, rewritten."""
    hub = app.extensions["modelcenter"]
    with hub.database.session() as session:
        actor = accounts.actor_of(session, accounts.find(session, "alice"))

    def costs(count: int) -> list[int]:
        repo_id = f"alice/of-{count}"
        repositories.create(hub, actor, repo_id)
        large = upload(hub, actor, repo_id, b"%d" % count)
        operations = [AddLfs("w.bin", large.sha256, large.size)]
        repositories.commit(hub, actor, repo_id, "main", operations, title="Large")
        paths = [f"{number}/deep/er/{number}.txt" for number in range(count)]
        for path in paths:
            repositories.commit(hub, actor, repo_id, "main", [AddFile(path, path.encode())], title=path)
        lines = [{"key": "header", "value": {"summary": "all"}}]
        lines += [
            {"key": "file", "value": {"path": path, "content": "new", "encoding": "utf-8"}} for path in paths
        ]
        body = "\n".join(json.dumps(line) for line in lines)
        api = f"/api/models/{repo_id}"
        announced = {"files": [{"path": path, "size": 1} for path in paths]}
        forgotten = {"deletions": {"sha": [large.sha256], "rewriteHistory": True}}
        return [
            statements(app, f"{api}/paths-info/main", "POST", data={"paths": paths}),
            statements(app, f"{api}/preupload/main", "POST", json=announced),
            statements(app, f"{api}/commit/main?create_pr=1", "POST", data=body),
            statements(app, f"{api}/discussions/1/merge", "POST", json={}),
            statements(app, f"{api}/commit/main", "POST", data=body.replace("new", "newer")),
            statements(app, f"{api}/lfs-files/batch", "POST", json=forgotten),
            statements(app, f"{api}/super-squash/main", "POST", json={"message": "all"}),
        ]

    assert costs(10) == costs(60)


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("/api/models/alice/many/discussions", 4),
        ("/api/models/alice/many/discussions/1?diff=1", 16),
        ("/api/models/alice/many/likers", 2),
        ("/api/users/alice/likes", 2),
        ("/api/users/alice/overview", 6),
    ],
)
def test_statements_do_not_grow_with_what_is_said_and_proposed(app, path, most):
    hub = app.extensions["modelcenter"]
    with hub.database.session() as session:
        actor = accounts.actor_of(session, accounts.find(session, "alice"))
    few: list[repositories.Operation] = [AddFile("1/few.txt", b"1")]
    repositories.commit(hub, actor, "alice/many", "main", few, title="Few", proposes=True)
    repositories.commit(hub, actor, "alice/many", "main", [AddFile("1/10.txt", b"x")], title="Change")
    with hub.database.transaction() as session:
        likes.like(session, actor, "alice/many")
    before = statements(app, path)
    assert before <= TOKEN + most
    many: list[repositories.Operation] = [
        AddFile(f"{number % 10}/{number}.txt", b"new") for number in range(100)
    ]
    repositories.commit(hub, actor, "alice/many", "refs/pr/1", many, title="Many")
    with hub.database.transaction() as session:
        for number in range(30):
            discussions.comment(session, actor, "alice/many", 1, f"Comment {number}")
            discussions.create(session, actor, "alice/many", f"Question {number}", "?")
    assert statements(app, path) == before


def test_statements_do_not_grow_with_the_number_of_large_files(app):
    def batch(count: int, operation: str) -> int:
        objects = [{"oid": f"{number:064x}", "size": 10} for number in range(count)]
        body = {"operation": operation, "objects": objects, "ref": {"name": "main"}}
        return statements(app, "/alice/many.git/info/lfs/objects/batch", "POST", json=body)

    assert batch(10, "upload") == batch(100, "upload")
    assert batch(10, "download") == batch(100, "download")


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


def test_the_state_of_a_mirror_takes_few_statements(app):
    with app.extensions["modelcenter"].database.transaction() as session:
        repository = repositories.find(session, "alice/many")
        assert repository is not None
        session.add(Mirror(repository_id=repository.id, endpoint="http://there", upstream_id="alice/many"))
    assert statements(app, "/api/modelcenter/mirror/alice/many") <= TOKEN + 3
