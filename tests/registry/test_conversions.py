"""Conversions on the hub: asked for by who may, proved, committed beside the pickles, told."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load
from sqlalchemy import update

from modelcenter.conversion.process import to_safetensors
from modelcenter.errors import AccessDenied, Invalid, NotAuthenticated, NothingToConvert, RevisionNotFound
from modelcenter.registry import conversions, repositories
from modelcenter.registry.access import ANONYMOUS, Actor
from modelcenter.registry.handlers import HANDLERS
from modelcenter.registry.hub import Hub
from modelcenter.registry.jobs import MAX_ATTEMPTS, Worker
from modelcenter.registry.tables import Account, Conversion, Job, Verification
from tests.support.pickles import NAMED, archive
from tests.support.registry import commit, person

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # no word of SQL in question

NAME = "alice/old"
TENSORS = {"w": torch.arange(6.0).view(2, 3), "v": torch.ones(3).half()}


def pickled(tensors: dict[str, torch.Tensor] = TENSORS) -> bytes:
    stream = io.BytesIO()
    torch.save(tensors, stream)
    return stream.getvalue()


@pytest.fixture
def alice(hub: Hub) -> Actor:
    """Who has a model of pickles."""
    alice = person(hub, "alice")
    repositories.create(hub, alice, NAME)
    commit(hub, alice, NAME, {"config.json": b"{}"}, large={"pytorch_model.bin": pickled()})
    Worker(hub, HANDLERS).run_all()
    return alice


def asked(hub: Hub, actor: Actor, branch: str | None = None) -> Conversion:
    with hub.database.transaction() as session:
        return conversions.request(session, actor, NAME, branch)


def told(hub: Hub, revision: str = "main") -> tuple[str, Conversion | None]:
    """The status and the conversion that a revision's page tells of."""
    with hub.database.session() as session:
        repository = repositories.get(session, ANONYMOUS, NAME)
        head = repositories.resolve(session, repository, revision)
        entries = repositories.tree(session, repository, head)
        row = conversions.shown(session, repository, head.oid, entries)
        return ("none" if row is None else conversions.status_of(session, row)), row


def content(hub: Hub, path: str) -> bytes:
    with hub.database.session() as session:
        repository = repositories.get(session, ANONYMOUS, NAME)
        entry = repositories.entry(session, repository, repositories.resolve(session, repository), path)
    assert entry.sha256
    with hub.blobs.open(entry.sha256) as file:
        return file.read()


def test_the_safetensors_come_beside_the_pickles_in_the_name_of_who_asked(hub, alice):
    assert told(hub) == ("none", None)
    row = asked(hub, alice)
    assert told(hub)[0] == "queued"
    Worker(hub, HANDLERS).run_all()
    status, done = told(hub)
    assert status == "done"
    assert done is not None
    assert (done.commit_oid, done.report["identical"], done.report["tensors"]) == (row.commit_oid, 2, 2)
    found = load(content(hub, "model.safetensors"))
    assert all(torch.equal(found[name], tensor) for name, tensor in TENSORS.items())
    assert content(hub, "pytorch_model.bin") == pickled()
    with hub.database.session() as session:
        repository = repositories.get(session, ANONYMOUS, NAME)
        head = repositories.resolve(session, repository)
        assert (head.oid, head.author) == (done.result_oid, "alice")
        assert head.title == "Convert pytorch_model.bin to safetensors"
        assert head.message == "2 of 2 tensors identical, compared bit for bit."
        verdict = session.get_one(Verification, (repository.id, head.oid))
        assert verdict.report["format"] == "safetensors"
    assert not any((hub.settings.data / "conversions").iterdir())


def test_it_is_told_until_the_files_are_others(hub, alice):
    asked(hub, alice)
    Worker(hub, HANDLERS).run_all()
    commit(hub, alice, NAME, {"README.md": b"# Old"})
    assert told(hub)[0] == "done"
    commit(hub, alice, NAME, {}, large={"model.safetensors": b"something else"})
    assert told(hub)[0] == "none"


@on_sqlite
def test_shards_come_with_their_index(hub, alice, monkeypatch):
    index = {"weight_map": {"a": "one.bin", "b": "two.bin"}}
    repositories.commit(hub, alice, NAME, "main", [repositories.Delete("pytorch_model.bin")], title="Split")
    commit(
        hub, alice, NAME, {"pytorch_model.bin.index.json": json.dumps(index).encode()},
        large={f"{n}.bin": pickled({t: torch.ones(2)}) for n, t in (("one", "a"), ("two", "b"))},
    )  # fmt: skip
    monkeypatch.setattr(
        "modelcenter.registry.conversions.to_safetensors",
        lambda *places, **options: to_safetensors(*places, max_shard_bytes=1, **options),
    )
    asked(hub, alice)
    Worker(hub, HANDLERS).run_all()
    status, row = told(hub)
    assert status == "done", row and row.problem
    weight_map = json.loads(content(hub, "model.safetensors.index.json"))["weight_map"]
    assert weight_map == {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}


@on_sqlite
def test_who_may_not_write_may_not_ask(hub, alice):
    with pytest.raises(NotAuthenticated):
        asked(hub, ANONYMOUS)
    with pytest.raises(AccessDenied):
        asked(hub, person(hub, "bob"))
    with pytest.raises(AccessDenied):
        asked(hub, replace(alice, scope="read"))
    assert told(hub) == ("none", None)


@on_sqlite
def test_there_must_be_something_to_convert(hub, alice):
    with pytest.raises(RevisionNotFound):
        asked(hub, alice, "trial")
    asked(hub, alice)
    Worker(hub, HANDLERS).run_all()
    with pytest.raises(NothingToConvert, match=r"holds model\.safetensors already"):
        asked(hub, alice)
    repositories.commit(
        hub, alice, NAME, "main",
        [repositories.Delete("pytorch_model.bin"), repositories.Delete("model.safetensors")], title="Empty",
    )  # fmt: skip
    with pytest.raises(Invalid, match="has no pickles on main"):
        asked(hub, alice)


@on_sqlite
def test_another_branch_gets_its_own(hub, alice):
    with hub.database.transaction() as session:
        repositories.create_branch(session, alice, NAME, "trial")
    asked(hub, alice, "trial")
    Worker(hub, HANDLERS).run_all()
    assert told(hub, "trial")[0] == "done"
    with hub.database.session() as session:
        repository = repositories.get(session, ANONYMOUS, NAME)
        names = {
            entry.path
            for entry in repositories.tree(session, repository, repositories.resolve(session, repository))
        }
    assert "model.safetensors" not in names


@on_sqlite
def test_a_hostile_pickle_fails_with_its_reason_and_may_be_asked_for_again(hub, alice):
    commit(hub, alice, NAME, {}, large={"pytorch_model.bin": archive(NAMED["reduce"][0])})
    for _ in range(2):
        asked(hub, alice)
        assert told(hub)[0] == "queued"
        Worker(hub, HANDLERS).run_all()
        status, row = told(hub)
        assert status == "failed"
        assert row is not None
        assert "asks to run os.system" in (row.problem or "")
    commit(hub, alice, NAME, {}, large={"pytorch_model.bin": pickled()})
    assert told(hub) == ("none", None)  # what failed is not of these files


@on_sqlite
def test_limits_are_the_settings(hub, alice):
    hub = Hub(replace(hub.settings, convert_seconds=0), hub.database, hub.blobs, hub.staging)
    asked(hub, alice)
    Worker(hub, HANDLERS).run_all()
    _, row = told(hub)
    assert row is not None
    assert "more than 0 seconds" in (row.problem or "")
    assert not any((hub.settings.data / "conversions").iterdir())


def test_a_branch_that_moves_meanwhile_keeps_both(hub, alice, monkeypatch):
    """A commit that leaves the pickles alone arrives while they are read; one that changes them stops it."""
    meanwhile: list[dict[str, bytes]] = [
        {"pytorch_model.bin": pickled({"x": torch.ones(1)})},
        {"notes.bin": b"n"},
    ]

    def slowly(*places: Path, **options):
        commit(hub, alice, NAME, {}, large=meanwhile.pop())
        return to_safetensors(*places, **options)

    monkeypatch.setattr("modelcenter.registry.conversions.to_safetensors", slowly)
    asked(hub, alice)
    Worker(hub, HANDLERS).run_all()
    assert told(hub)[0] == "done"
    assert content(hub, "notes.bin") == b"n"
    repositories.commit(hub, alice, NAME, "main", [repositories.Delete("model.safetensors")], title="Back")
    row = asked(hub, alice)
    Worker(hub, HANDLERS).run_all()
    with hub.database.session() as session:
        failed = session.get_one(Conversion, (row.repository_id, row.commit_oid))
        assert failed.status == "failed"
        assert "moved" in (failed.problem or "")


def test_a_job_that_is_done_twice_commits_once(hub, alice):
    row = asked(hub, alice)
    payload = {"repository_id": row.repository_id, "commit": row.commit_oid}
    conversions.convert(hub, payload)
    first = told(hub)[1]
    with hub.database.transaction() as session:  # the worker died just before it wrote down its success
        session.execute(update(Conversion).values(status="queued"))
    conversions.convert(hub, payload)
    status, second = told(hub)
    assert status == "done"
    assert first is not None and second is not None
    assert first.result_oid == second.result_oid


def test_a_conversion_whose_workers_all_died_has_failed(hub, alice):
    asked(hub, alice)
    with hub.database.transaction() as session:
        session.execute(update(Job).where(Job.kind == "convert").values(attempts=MAX_ATTEMPTS))
    Worker(hub, HANDLERS).run_all()
    assert told(hub)[0] == "failed"


@on_sqlite
def test_an_account_that_is_gone_converts_nothing(hub, alice):
    asked(hub, alice)
    with hub.database.transaction() as session:
        session.execute(update(Conversion).values(requested_by_id=None))
        assert session.query(Account).count() == 1
    Worker(hub, HANDLERS).run_all()
    _, row = told(hub)
    assert row is not None
    assert "has no account here any more" in (row.problem or "")


def test_uploads_are_converted_unasked_where_that_is_set(hub, alice):
    hub = Hub(replace(hub.settings, convert_uploads=True), hub.database, hub.blobs, hub.staging)
    commit(hub, alice, NAME, {}, large={"pytorch_model.bin": pickled({"new": torch.zeros(2)})})
    Worker(hub, HANDLERS).run_all()
    status, row = told(hub)
    assert status == "done"
    assert row is not None
    assert row.requested_by_id == alice.account_id
    commit(hub, alice, NAME, {"README.md": b"# Again"})
    assert Worker(hub, HANDLERS).run_all() == 1  # its facts; there is nothing left to convert
