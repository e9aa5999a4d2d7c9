"""Linked entries from cards: registered, found again, renewed, and left alone once hosted."""

from __future__ import annotations

import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import inspect, text

from modelcenter.errors import Invalid
from modelcenter.registry import lifecycle, repositories, search
from modelcenter.registry.access import ANONYMOUS
from modelcenter.registry.handlers import HANDLERS
from modelcenter.registry.jobs import Worker
from modelcenter.registry.search import Query, find
from modelcenter.registry.seed import SeedResult, seed
from modelcenter.registry.tables import Account, Model, Repository
from tests.support.catalogue import CARDS
from tests.support.databases import wait_until_blocked
from tests.support.registry import commit, person

MINILM = "sentence-transformers/all-MiniLM-L6-v2"


@pytest.fixture
def folder(tmp_path):
    """Three cards to change."""
    for repo_id in ("Qwen/Qwen2.5-7B", "google-bert/bert-base-chinese", MINILM):
        shutil.copytree(CARDS / repo_id, tmp_path / "cards" / repo_id)
    return tmp_path / "cards"


def dump(hub) -> dict[str, list]:
    """Every row of every table, the index included."""
    with hub.database.engine.connect() as connection:
        names = [*inspect(connection).get_table_names(), "models_fts"]
        return {
            name: sorted(map(repr, connection.execute(text(f"SELECT * FROM {name}"))))
            for name in dict.fromkeys(names)
        }


def only(hub, text: str):
    with hub.database.session() as session:
        (row,) = find(session, Query(text=text), ANONYMOUS).rows
        return row


def test_the_whole_catalogue_is_seeded_in_seconds_and_again_changes_nothing(hub):
    started = time.perf_counter()
    assert seed(hub, CARDS) == SeedResult(created=231)
    assert time.perf_counter() - started < 30
    before = dump(hub)
    assert seed(hub, CARDS) == SeedResult(unchanged=231)
    assert dump(hub) == before
    with hub.database.session() as session:
        page = find(session, Query(per_page=1000), ANONYMOUS)
    assert page.total == 231
    assert all(
        row.repository.is_linked and row.repository.upstream == row.repository.repo_id for row in page.rows
    )
    models = [row.model for row in page.rows]
    assert all(model and model.card_text and model.family and model.verdict is None for model in models)


def test_a_linked_entry_has_the_facts_of_its_card(hub, folder):
    seed(hub, folder)
    row = only(hub, "qwen2.5-7b")
    model = row.model
    assert (model.family, model.model_type, model.license, model.pipeline_tag) == (
        "qwen2", "qwen2", "apache-2.0", "text-generation",
    )  # fmt: skip
    assert (model.parameters, model.context_length, model.num_layers) == (7_615_616_512, 131_072, 28)
    assert (model.num_heads, model.num_kv_heads, model.head_dim, model.hidden_size) == (28, 4, 128, 3584)
    assert (model.title_zh, model.title_en) == ("通义千问 2.5-7B", "Qwen2.5-7B")
    assert "18 万亿" in model.description_zh
    assert {"transformers", "qwen2", "text-generation", "zh", "en", "license:apache-2.0", "linked"} <= set(
        model.tags
    )
    assert row.repository.owner_id is None
    assert model.size_bytes is None
    with hub.database.session() as session:
        assert session.query(Account).count() == 0


def test_a_changed_card_renews_its_entry(hub, folder):
    seed(hub, folder)
    card = folder / "Qwen" / "Qwen2.5-7B" / "README.md"
    card.write_text(
        card.read_text("utf-8").replace("context_length: 131072", "context_length: 7777"), "utf-8"
    )
    assert seed(hub, folder) == SeedResult(unchanged=2, updated=1)
    assert only(hub, "qwen2.5-7b").model.context_length == 7777
    assert seed(hub, folder) == SeedResult(unchanged=3)


def test_an_upload_keeps_the_facts_and_seeding_leaves_it_alone(hub, folder, tiny_bert):
    seed(hub, folder)
    root = person(hub, "root", is_admin=True)
    files = {path.name: path.read_bytes() for path in tiny_bert.iterdir() if path.name != "README.md"}
    weights = {"model.safetensors": files.pop("model.safetensors")}
    commit(hub, root, MINILM, files, large=weights)
    row = only(hub, "minilm")
    assert row.repository.status == "hosted"
    assert row.model.parameters == 22_713_216  # until the headers have been read
    Worker(hub, HANDLERS).run_all()
    row = only(hub, "minilm")
    assert row.model.verdict == "complete"
    assert (row.model.license, row.model.pipeline_tag) == ("apache-2.0", "sentence-similarity")
    assert (row.model.family, row.model.title_en) == ("bert", "all-MiniLM-L6-v2")
    assert row.model.hidden_size == 16  # what is there comes before what was said
    assert "linked" not in row.model.tags
    assert row.repository.upstream == MINILM
    before = dump(hub)
    assert seed(hub, folder) == SeedResult(unchanged=2, kept=1)
    assert dump(hub) == before
    with hub.database.session() as session:
        assert dict(find(session, Query(), ANONYMOUS).facets["loads"]) == {"yes": 1}


def test_an_entry_of_somebody_here_is_theirs_to_turn(hub, folder):
    person(hub, "Qwen")
    seed(hub, folder)
    row = only(hub, "qwen2.5-7b")
    assert row.repository.owner_id is not None


@pytest.mark.parametrize(
    ("path", "card", "reason"),
    [
        ("a/b/README.md", "---\ntags: {a: b}\n---\n", "tags holds a mapping"),
        ("a/b/README.md", "---\nmodelcenter: {upstream: c/d}\n---\n", "names c/d as its upstream"),
        ("a/b--c/README.md", "---\n---\n", "cannot be"),
        ("qwen/qwen2.5-7b/README.md", "---\n---\n", "is another card of Qwen/Qwen2.5-7B"),
        ("b/README.md", "---\n---\n", "no model cards"),
    ],
)
def test_folders_that_cannot_be_meant_write_nothing(hub, folder, path, card, reason):
    if path == "b/README.md":
        shutil.rmtree(folder)
    (folder / path).parent.mkdir(parents=True)
    (folder / path).write_text(card, "utf-8")
    before = dump(hub)
    with pytest.raises(Invalid, match=reason):
        seed(hub, folder)
    assert dump(hub) == before


def test_an_entry_that_was_linked_by_hand_gets_its_card(hub, folder):
    with hub.database.transaction() as session:
        repositories.link(session, MINILM, MINILM)
    assert seed(hub, folder) == SeedResult(created=2, updated=1)
    with hub.database.session() as session:
        repository = repositories.find(session, MINILM)
        assert repository is not None
        assert session.get_one(Model, repository.id).family == "bert"
        assert search.find(session, Query(text="minilm"), ANONYMOUS).total == 1


def test_seeding_twice_at_once_seeds_once(hub, folder):
    start = threading.Barrier(2)

    def begin(_: int) -> SeedResult:
        start.wait()
        return seed(hub, folder)

    with ThreadPoolExecutor(2) as pool:
        done = sorted(pool.map(begin, range(2)), key=lambda result: result.created)
    assert done == [SeedResult(unchanged=3), SeedResult(created=3)]


def test_an_upload_while_a_changed_card_is_seeded_keeps_its_facts(hub, folder):
    """Whichever of them is first: the entry is hosted at the end, and its facts are the upload's."""
    seed(hub, folder)
    root = person(hub, "root", is_admin=True)
    for round_ in range(4):
        card = folder / MINILM / "README.md"
        card.write_text(card.read_text("utf-8") + f"\n{round_}\n", "utf-8")
        start = threading.Barrier(2)

        def begin(act, start=start):
            start.wait()
            return act()

        with ThreadPoolExecutor(2) as pool:
            seeded = pool.submit(begin, lambda: seed(hub, folder))
            hosted = pool.submit(begin, lambda: commit(hub, root, MINILM, {"README.md": b"# Ours"}))
            seeded.result()
            hosted.result()
        Worker(hub, HANDLERS).run_all()
        row = only(hub, "minilm")
        assert (row.model.title_en, row.model.commit_oid) == ("Ours", hosted.result().oid)
        assert "linked" not in row.model.tags
        with hub.database.transaction() as session:
            repositories.delete(session, root, MINILM)
        seed(hub, folder)


def test_an_entry_hosted_while_seeding_waits_is_left_alone(hub, folder):
    """The upload has hosted the entry and not ended yet when the seeding begins."""
    if hub.database.is_sqlite:
        pytest.skip("has one writer at a time")
    seed(hub, folder)
    root = person(hub, "root", is_admin=True)
    card = folder / MINILM / "README.md"
    card.write_text(card.read_text("utf-8") + "\nchanged\n", "utf-8")
    lifecycle.stage_attributes(hub)
    with ThreadPoolExecutor(1) as pool:
        with hub.database.transaction() as session:
            entry = repositories.find(session, MINILM)
            assert entry is not None
            entry = lifecycle.lock(session, entry.id)
            assert entry is not None
            lifecycle.host(session, root, entry)
            session.flush()
            waiting = pool.submit(seed, hub, folder)
            wait_until_blocked(hub.database)
        assert waiting.result() == SeedResult(unchanged=2, kept=1)
    row = only(hub, "minilm")
    assert not row.repository.is_linked


def test_an_id_that_is_taken_while_seeding_waits_is_left_alone(hub, folder):
    if hub.database.is_sqlite:
        pytest.skip("has one writer at a time")
    person(hub, "root")
    with ThreadPoolExecutor(1) as pool:
        with hub.database.transaction() as session:
            owner = session.query(Account).filter_by(name="root").one()
            namespace, name = MINILM.split("/")
            session.add(Repository(namespace=namespace, name=name, owner=owner))
            session.flush()
            waiting = pool.submit(seed, hub, folder)
            wait_until_blocked(hub.database)
        assert waiting.result() == SeedResult(created=2, kept=1)


def test_what_was_seeded_together_is_of_one_moment_and_listed_by_name(hub, folder):
    seed(hub, folder)
    with hub.database.session() as session:
        rows = find(session, Query(), ANONYMOUS).rows
    assert len({row.repository.updated_at for row in rows}) == 1
    assert {row.repository.created_at for row in rows} == {rows[0].repository.updated_at}
    keys = [row.repository.key for row in rows]
    assert keys == sorted(keys)
