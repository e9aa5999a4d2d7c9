"""Jobs that meet other writers: what they find out counts only while the head is where it was."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from modelcenter.registry import lifecycle, repositories
from modelcenter.registry.access import ANONYMOUS
from modelcenter.registry.handlers import HANDLERS, describe_commit
from modelcenter.registry.jobs import Worker
from modelcenter.registry.search import Query, find
from modelcenter.registry.tables import Model, Repository
from tests.support.databases import wait_until_blocked
from tests.support.registry import commit, person


@pytest.fixture
def alice(hub, tiny_bert):
    """Who has a model that loads, judged."""
    person_ = person(hub, "alice")
    repositories.create(hub, person_, "alice/law")
    commit(hub, person_, "alice/law", {path.name: path.read_bytes() for path in tiny_bert.iterdir()})
    Worker(hub, HANDLERS).run_all()
    return person_


def listed(hub) -> tuple[str | None, dict[str, int]]:
    """The verdict as the list tells it, and the counts of the facet."""
    with hub.database.session() as session:
        page = find(session, Query(), ANONYMOUS)
    (row,) = page.rows
    assert row.model is not None
    return row.model.verdict, dict(page.facets["loads"])


def test_lists_say_what_a_card_says_when_its_commit_is_answered(hub, alice):
    with hub.database.session() as session:
        (before,) = find(session, Query(), ANONYMOUS).rows
    card = "---\nlicense: mit\nlanguage: zh\npipeline_tag: fill-mask\ntags: [legal]\n---\nOf statutes.\n"
    commit(hub, alice, "alice/law", {"README.md": card.encode()})
    with hub.database.session() as session:
        (row,) = find(session, Query(text="statutes", tags=("license:mit", "zh", "legal")), ANONYMOUS).rows
        assert before.model is not None and row.model is not None
        assert (row.model.pipeline_tag, row.model.library) == ("fill-mask", "transformers")
        assert row.model.parameters == before.model.parameters
        told = row.model.tags
    Worker(hub, HANDLERS).run_all()
    with hub.database.session() as session:
        (row,) = find(session, Query(text="statutes", tags=("license:mit",)), ANONYMOUS).rows
        assert row.model is not None and row.model.tags == told
    commit(hub, alice, "alice/law", {"README.md": b""})
    with hub.database.session() as session:
        assert not find(session, Query(tags=("license:mit",)), ANONYMOUS).rows


def test_a_verdict_is_of_the_head_or_there_is_none(hub, alice):
    assert listed(hub) == ("complete", {"yes": 1})
    with hub.database.transaction() as session:
        repositories.create_branch(session, alice, "alice/law", "trial")
    commit(hub, alice, "alice/law", {"config.json": b"{}"}, revision="trial")
    assert listed(hub) == ("complete", {"yes": 1})
    commit(hub, alice, "alice/law", {"config.json": b"{}"})
    assert listed(hub) == (None, {})
    Worker(hub, HANDLERS).run_all()
    assert listed(hub)[0] not in (None, "complete")


def test_a_verdict_that_comes_while_the_head_moves_does_not_stay(hub, alice):
    """The worker has found the old head and waits for the model; then the head is another."""
    with hub.database.session() as session:
        repository = repositories.get(session, ANONYMOUS, "alice/law")
        payload = {"repository_id": repository.id, "commit": repositories.resolve(session, repository).oid}
    if hub.database.is_sqlite:
        pytest.skip("has one writer at a time")
    with ThreadPoolExecutor(1) as pool:
        with hub.database.transaction() as session:
            session.scalar(select(Model).where(Model.repository_id == repository.id).with_for_update())
            working = pool.submit(describe_commit, hub, payload)
            wait_until_blocked(hub.database)
            row = session.get_one(Repository, repository.id)
            head = repositories.find_ref(session, row, "main")
            assert head is not None
            first = repositories.log(session, repositories.resolve(session, row))[0][-1]
            head.target = first.oid
            lifecycle.moved(session, alice, row, head, first)
        working.result()
    assert listed(hub) == (None, {})
