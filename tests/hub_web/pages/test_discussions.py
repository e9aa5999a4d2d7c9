"""The pages of discussions and pull requests, read in both languages."""

from __future__ import annotations

import pytest

from hub_web.app import create_app
from modelcenter.registry import accounts, discussions, merging, repositories
from modelcenter.registry.database import migrate
from modelcenter.registry.repositories import AddFile
from modelcenter.settings import Settings
from tests.support.html import visible
from tests.support.registry import commit, person


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """An application whose `ann/m` has a request in conflict, a closed question and a merged request."""
    from jinja2 import StrictUndefined

    app = create_app(Settings.from_environment(tmp_path_factory.mktemp("hub"), {}))
    app.jinja_env.undefined = StrictUndefined
    hub = app.extensions["modelcenter"]
    migrate(hub.database)
    ann, bob = person(hub, "ann"), person(hub, "bob")
    for name in ("m", "secret"):
        repositories.create(hub, ann, f"ann/{name}", private=name == "secret")
        commit(hub, ann, f"ann/{name}", {"config.json": b"{}"})
    changes: list[repositories.Operation] = [AddFile("config.json", b'{"a": 1}'), AddFile("新.txt", b"x")]
    repositories.commit(
        hub, bob, "ann/m", "main", changes, title="Better <b>", message="**Why** <script>", proposes=True
    )
    commit(hub, ann, "ann/m", {"config.json": b'{"b": 2}'})
    with hub.database.transaction() as session:
        discussions.create(session, bob, "ann/m", "长度是多少？", "?")
        said = discussions.comment(session, ann, "ann/m", 2, "an embarrassing comment")
        discussions.hide(session, ann, "ann/m", 2, said.id)
        discussions.rename(session, ann, "ann/m", 2, "上下文长度是多少？")
        discussions.set_status(session, ann, "ann/m", 2, "closed", "4096")
        discussions.create(session, ann, "ann/secret", "Plans", "Secret")
    repositories.commit(hub, bob, "ann/m", "main", [AddFile("third", b"3")], title="Third", proposes=True)
    with hub.database.transaction() as session:
        merging.merge(hub, session, ann, "ann/m", 3)
    yield app
    hub.database.close()


def test_the_list_is_filtered_and_leads_on(page):
    read = visible(page("/ann/m/discussions"))
    assert "Better <b>" in read
    assert "#1 · Pull request · bob" in read
    assert "上下文" not in read
    closed = page("/ann/m/discussions?status=closed", "zh")
    assert "#2 · 讨论 · bob" in visible(closed)
    assert 'href="/ann/m/discussions/2"' in closed
    assert "已合并" in visible(closed)
    assert "There are none" in visible(page("/ann/m/discussions?status=all&p=7"))
    assert 'href="/ann/m/discussions"' in page("/ann/m")


def test_a_pull_request_says_what_it_changes_and_what_stands_against_it(page):
    text = page("/ann/m/discussions/1")
    read = visible(text)
    assert "<strong>Why</strong>" in text
    assert "<script>" not in text.partition("</head>")[2]
    assert "refs/pr/1" in read
    assert "Cannot be merged" in read
    assert "changed config.json 8 B" in read
    assert "added 新.txt" in read
    merged = page("/ann/m/discussions/3", "zh")
    assert "已合并" in visible(merged)
    assert "added third" not in visible(merged)
    assert "third" in visible(merged)
    assert "ann 将其合并" in visible(merged)


def test_a_discussion_tells_what_happened_and_no_hidden_words(page):
    read = visible(page("/ann/m/discussions/2"))
    assert "This comment was hidden." in read
    assert "embarrassing" not in read
    assert "ann changed the title from “长度是多少？”" in read
    assert "ann closed this" in read


@pytest.mark.parametrize(
    "path", ["m/discussions/99", "m/discussions/0", "secret/discussions", "secret/discussions/1"]
)
def test_what_is_not_there_or_not_yours_is_not_found(page, path):
    page(f"/ann/{path}", status=404)


def test_statements_do_not_grow_with_what_was_said(app, page, statements):
    hub = app.extensions["modelcenter"]
    addresses = ("/ann/m/discussions?status=all", "/ann/m/discussions/1")

    def cost(address: str) -> int:
        statements.clear()
        page(address)
        return len(statements)

    before = [cost(address) for address in addresses]
    with hub.database.session() as session:
        ann = accounts.actor_of(session, accounts.find(session, "ann"))
    with hub.database.transaction() as session:
        for number in range(20):
            discussions.comment(session, ann, "ann/m", 1, f"Comment {number}")
            discussions.create(session, ann, "ann/m", f"Question {number}", "?")
    assert [cost(address) for address in addresses] == before
    assert max(before) <= 16
