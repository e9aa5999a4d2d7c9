"""Discussions: who says what, who may change it, and how they are listed."""

from __future__ import annotations

import itertools

import pytest

from modelcenter.errors import (
    AccessDenied,
    DiscussionNotFound,
    Invalid,
    NotAuthenticated,
    RepositoryNotFound,
)
from modelcenter.registry import accounts, discussions, pulls, repositories
from modelcenter.registry.access import ANONYMOUS
from modelcenter.registry.tables import DiscussionEvent
from tests.support.registry import person


@pytest.fixture
def people(hub):
    """ann owns ann/m, bob opened its discussion 1, eve reads along."""
    people = {name: person(hub, name) for name in ("ann", "bob", "eve")}
    repositories.create(hub, people["ann"], "ann/m")
    act(hub, discussions.create, people["bob"], "A question", "Does it *work*?")
    return {**people, "anonymous": ANONYMOUS}


def act(hub, verb, actor, *arguments, repo_id="ann/m"):
    with hub.database.transaction() as session:
        return verb(session, actor, repo_id, *arguments)


def listed(hub, **options) -> list[int]:
    with hub.database.session() as session:
        repository = repositories.get(session, ANONYMOUS, "ann/m")
        page = discussions.listed(session, repository, **options)
        assert len(page.rows) <= page.total
        return [row.num for row in page.rows]


def said(hub, num=1) -> list[DiscussionEvent]:
    with hub.database.session() as session:
        repository = repositories.get(session, ANONYMOUS, "ann/m")
        return discussions.events(session, discussions.find(session, repository, num))


def test_who_may_do_what(hub, people):
    """Readers take part, the author and writers steer, and only its author edits a comment."""
    numbers = itertools.count(2)

    def on_new(verb, *arguments):
        """The verb on a new discussion of bob's, at a comment of bob's where it wants one."""

        def run(actor):
            num = next(numbers)
            act(hub, discussions.create, people["bob"], "Another", "Words")
            event = [said(hub, num)[0].id] if verb in (discussions.edit, discussions.hide) else []
            return act(hub, verb, actor, num, *event, *arguments)

        return run

    expected = {
        "comment": ({"ann", "bob", "eve"}, on_new(discussions.comment, "Yes")),
        "edit": ({"bob"}, on_new(discussions.edit, "Other words")),
        "hide": ({"ann", "bob"}, on_new(discussions.hide)),
        "rename": ({"ann", "bob"}, on_new(discussions.rename, "Better")),
        "status": ({"ann", "bob"}, on_new(discussions.set_status, "closed")),
    }
    for act_name, (allowed, run) in expected.items():
        found = set()
        for name, actor in people.items():
            try:
                run(actor)
                found.add(name)
            except NotAuthenticated:
                assert name == "anonymous"
            except AccessDenied:
                assert name != "anonymous"
        assert found == allowed, act_name


def test_a_token_that_only_reads_takes_no_part(hub, people):
    with hub.database.session() as session:
        reader = accounts.actor_of(session, accounts.find(session, "bob"), "read")
    with pytest.raises(AccessDenied, match="may only read"):
        act(hub, discussions.comment, reader, 1, "Yes")


def test_what_is_not_yours_to_read_has_no_discussions(hub, people):
    repositories.create(hub, people["ann"], "ann/secret", private=True)
    act(hub, discussions.create, people["ann"], "Plans", "Secret", repo_id="ann/secret")
    for arguments in (
        (discussions.comment, people["eve"], 1, "?"),
        (discussions.create, people["eve"], "t", "d"),
    ):
        with pytest.raises(RepositoryNotFound):
            act(hub, *arguments, repo_id="ann/secret")
    with pytest.raises(DiscussionNotFound):  # a comment's id is good in its own discussion alone
        act(hub, discussions.edit, people["bob"], 1, said(hub)[0].id + 1, "text")


def test_an_edited_comment_keeps_what_it_was_and_a_hidden_one_nothing(hub, people):
    first = said(hub)[0]
    act(hub, discussions.edit, people["bob"], 1, first.id, "Twice")
    act(hub, discussions.edit, people["bob"], 1, first.id, "Thrice")
    data = said(hub)[0].data
    assert data["content"] == "Thrice"
    assert [edit["content"] for edit in data["edits"]] == ["Does it *work*?", "Twice"]
    assert data["edits"][0]["at"] < data["edits"][1]["at"] < data["edited_at"]
    act(hub, discussions.hide, people["ann"], 1, first.id)
    assert said(hub)[0].data == {"content": "", "hidden": True, "edits": []}
    with pytest.raises(Invalid, match="hidden"):
        act(hub, discussions.edit, people["bob"], 1, first.id, "Back")


def test_titles_and_statuses_leave_events(hub, people):
    act(hub, discussions.rename, people["bob"], 1, "  A better\n question ")
    act(hub, discussions.set_status, people["ann"], 1, "closed", "Answered.")
    with pytest.raises(Invalid, match="#1 is closed already"):
        act(hub, discussions.set_status, people["ann"], 1, "closed")
    act(hub, discussions.set_status, people["bob"], 1, "open")
    events = said(hub)
    assert [event.kind for event in events] == [
        "comment",
        "title-change",
        "comment",
        "status-change",
        "status-change",
    ]
    assert events[1].data == {"from": "A question", "to": "A better question"}
    assert (events[2].data["content"], events[3].data) == ("Answered.", {"status": "closed"})


@pytest.mark.parametrize(("title", "text"), [("", "x"), (" \n", "x"), ("t" * 501, "x"), ("t", "x" * 65_537)])
def test_titles_and_comments_have_bounds(hub, people, title, text):
    with pytest.raises(Invalid):
        act(hub, discussions.create, people["bob"], title, text)
    assert listed(hub) == [1]
    with pytest.raises(Invalid):
        act(hub, discussions.comment, people["bob"], 1, " \n")


def test_lists_are_filtered_and_paged(hub, people):
    act(hub, pulls.request, people["eve"], "A draft", "Soon")
    for number in range(3):
        act(hub, discussions.create, people["eve"], f"Question {number}", "?")
    act(hub, discussions.set_status, people["eve"], 4, "closed")
    assert listed(hub) == [5, 4, 3, 2, 1]
    assert listed(hub, kind="pull_request") == [2]
    assert listed(hub, kind="discussion", status="open") == [5, 3, 1]
    assert listed(hub, status="open") == [5, 3, 2, 1]
    assert listed(hub, status="closed") == [4]
    assert listed(hub, author="BOB") == [1]
    assert [listed(hub, page=page, per_page=2) for page in range(4)] == [[5, 4], [3, 2], [1], []]
    act(hub, discussions.comment, people["ann"], 1, "Yes")
    with hub.database.session() as session:
        page = discussions.listed(session, repositories.get(session, ANONYMOUS, "ann/m"))
    assert page.comments == {1: 2, 2: 1, 3: 1, 4: 1, 5: 1}
