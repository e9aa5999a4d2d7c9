from __future__ import annotations

import hashlib
import threading

import pytest

from modelcenter.errors import AccessDenied, BlobMismatch, Gated, NotAuthenticated, RepositoryNotFound
from modelcenter.registry import repositories, uploads
from modelcenter.registry.access import ANONYMOUS
from modelcenter.registry.blobs.interface import Blob
from modelcenter.registry.uploads import Announced
from tests.support.registry import commit, limited, person, upload


@pytest.fixture
def ann(hub):
    ann = person(hub, "ann")
    repositories.create(hub, ann, "ann/m")
    return ann


def blob_of(data: bytes) -> Blob:
    return Blob(hashlib.sha256(data).hexdigest(), len(data))


def is_here(hub, actor, repo_id, blob) -> bool:
    with hub.database.session() as session:
        return uploads.is_here(hub, session, actor, repositories.get(session, actor, repo_id), blob)


def test_what_arrived_whole_is_not_sent_again(hub, ann):
    blob = blob_of(b"weights")
    assert not is_here(hub, ann, "ann/m", blob)
    uploads.receive(hub, ann, "ann/m", blob, [b"wei", b"ghts"])
    assert is_here(hub, ann, "ann/m", blob)
    assert not is_here(hub, ann, "ann/m", Blob(blob.sha256, 8))
    uploads.receive(hub, ann, "ann/m", blob, [b"weights"])


def test_other_bytes_than_announced_leave_nothing(hub, ann):
    before = set(hub.blobs)
    for announced in (
        blob_of(b"other"),
        Blob(blob_of(b"weights").sha256, 6),
        Blob(blob_of(b"weights").sha256, 8),
    ):
        with pytest.raises(BlobMismatch):
            uploads.receive(hub, ann, "ann/m", announced, [b"weights"])
        assert not is_here(hub, ann, "ann/m", announced)
    assert set(hub.blobs) == before


def test_only_those_who_may_write_or_propose_send(hub, ann):
    repositories.create(hub, ann, "ann/secret", private=True)
    repositories.create(hub, ann, "ann/gated")
    with hub.database.transaction() as session:
        repositories.update(session, ann, "ann/gated", gated="manual")
    bob, reader = person(hub, "bob"), person(hub, "reader", scope="read")
    for actor, repo_id, reason in [
        (ANONYMOUS, "ann/m", NotAuthenticated),
        (reader, "ann/m", AccessDenied),
        (bob, "ann/gated", Gated),
        (bob, "ann/secret", RepositoryNotFound),
    ]:
        with pytest.raises(reason):
            uploads.receive(hub, actor, repo_id, blob_of(b"x"), [b"x"])
    assert blob_of(b"x").sha256 not in set(hub.blobs)


def test_what_is_sent_to_be_proposed_is_its_senders_alone(hub, ann):
    """Until a commit names it: neither the repository's owner nor another reader gains by the hash."""
    bob, eve = person(hub, "bob"), person(hub, "eve")
    blob = upload(hub, bob, "ann/m", b"weights")
    for actor, expected in ((bob, True), (eve, False), (ann, False)):
        assert is_here(hub, actor, "ann/m", blob) is expected
    owned = upload(hub, ann, "ann/m", b"of ann, not yet committed")
    assert not is_here(hub, bob, "ann/m", owned)
    upload(hub, ann, "ann/m", b"weights")
    assert is_here(hub, ann, "ann/m", blob)


def test_what_everybody_may_read_need_not_be_sent(hub, ann):
    bob = person(hub, "bob")
    repositories.create(hub, bob, "bob/m")
    blob = upload(hub, ann, "ann/m", b"weights")
    assert not is_here(hub, bob, "bob/m", blob)  # uploaded, not yet published
    commit(hub, ann, "ann/m", {}, large={"model.bin": b"weights"})
    assert is_here(hub, bob, "bob/m", blob)
    repositories.commit(
        hub, bob, "bob/m", "main", [repositories.AddLfs("model.bin", blob.sha256)], title="Copy"
    )
    with hub.database.transaction() as session:
        repositories.delete(session, ann, "ann/m")
    with hub.database.session() as session:
        repository = repositories.get(session, bob, "bob/m")
        head = repositories.resolve(session, repository)
    assert repositories.RevisionFiles(hub, repository, head).read("model.bin") == b"weights"


@pytest.mark.parametrize("closed", [{"private": True}, {"gated": "manual"}])
def test_what_not_everybody_may_read_must_be_sent(hub, ann, closed):
    commit(hub, ann, "ann/m", {"small": b"secret text"}, large={"model.bin": b"weights"})
    with hub.database.transaction() as session:
        repositories.update(session, ann, "ann/m", **closed)
    bob = person(hub, "bob")
    repositories.create(hub, bob, "bob/m")
    repositories.create(hub, ann, "ann/other")
    for data in (b"weights", b"secret text"):
        assert not is_here(hub, bob, "bob/m", blob_of(data))
    assert is_here(hub, ann, "ann/other", blob_of(b"weights"))  # ann has sent it once


def test_a_limited_token_brings_nothing_out_of_where_it_does_not_reach(hub, ann):
    """Whoever holds it holds hashes, not the content: neither what ann committed nor what she proposed."""
    repositories.create(hub, ann, "ann/secret", private=True)
    repositories.create(hub, person(hub, "bob"), "bob/m")
    commit(hub, ann, "ann/secret", {}, large={"model.bin": b"secret weights"})
    proposed = upload(hub, ann, "bob/m", b"proposed weights")
    narrow, wide = limited(hub, ann, "ann/m"), limited(hub, ann, "ann")
    for blob in (blob_of(b"secret weights"), proposed):
        assert is_here(hub, ann, "ann/m", blob)
        assert not is_here(hub, narrow, "ann/m", blob)
    assert is_here(hub, wide, "ann/m", blob_of(b"secret weights"))
    assert is_here(hub, narrow, "ann/m", upload(hub, narrow, "ann/m", b"its own"))


def test_what_the_store_lost_must_be_sent_again(hub, ann):
    blob = upload(hub, ann, "ann/m", b"weights")
    hub.blobs.delete(blob.sha256)
    assert not is_here(hub, ann, "ann/m", blob)


def test_a_far_store_is_asked_for_several_files_at_once(hub, ann, monkeypatch):
    blobs = [upload(hub, ann, "ann/m", b"%d" % number) for number in range(9)]
    hub.blobs.delete(blobs[8].sha256)
    asked, stat = threading.Barrier(4), hub.blobs.stat

    def slow(sha256: str) -> int:
        if sha256 != blobs[8].sha256:
            asked.wait(20)
        return stat(sha256)

    monkeypatch.setattr(hub.blobs, "stat", slow)
    with hub.database.session() as session:
        repository = repositories.get(session, ann, "ann/m")
        assert uploads.which_are_here(hub, session, ann, repository, blobs) == set(blobs[:8])


def plans(hub, files, gitignore=None, repo_id="ann/m"):
    with hub.database.session() as session:
        repository = repositories.get(session, ANONYMOUS, repo_id)
        head = None if repository.is_linked else repositories.resolve(session, repository)
        found = uploads.plan(hub, session, repository, head, files, gitignore)
    return {plan.path: plan for plan in found}


def test_files_travel_by_pattern_content_and_size(hub, ann):
    chinese = "中文说明".encode()
    found = plans(
        hub,
        [
            Announced("config.json", 10, b"{}"),
            Announced("model.safetensors", 10, b"{}"),
            Announced("empty.safetensors", 0, b""),
            Announced("image.raw", 10, b"\x89PNG\r\n\x1a\n"),
            Announced("nul.txt", 10, b"text\0text"),
            Announced("cut.txt", 10, chinese[:-1]),
            Announced("big.txt", uploads.REGULAR_MAX + 1, b"text"),
            Announced("nearly.txt", uploads.REGULAR_MAX, b"text"),
        ],
    )
    assert {path for path, plan in found.items() if plan.mode == "lfs"} == {
        "model.safetensors",
        "image.raw",
        "nul.txt",
        "big.txt",
    }


def test_the_revisions_own_gitattributes_decide(hub, ann):
    commit(hub, ann, "ann/m", {".gitattributes": b"*.txt filter=lfs\n"})
    found = plans(hub, [Announced("a.txt", 1, b"x"), Announced("a.safetensors", 1, b"x")])
    assert [plan.mode for plan in found.values()] == ["lfs", "regular"]


def test_ignored_by_what_is_sent_else_by_the_revision(hub, ann):
    files = [Announced("a.log", 1, b"x"), Announced("b/c.tmp", 1, b"x"), Announced("keep.txt", 1, b"x")]
    assert not any(plan.ignored for plan in plans(hub, files).values())
    commit(hub, ann, "ann/m", {".gitignore": b"# logs\n*.log\n"})
    assert {path for path, plan in plans(hub, files).items() if plan.ignored} == {"a.log"}
    sent = plans(hub, files, gitignore="b/\n!keep.txt\n")
    assert {path for path, plan in sent.items() if plan.ignored} == {"b/c.tmp"}


def test_what_is_present_is_named(hub, ann):
    commit(hub, ann, "ann/m", {"config.json": b"{}", "sub/x": b""}, large={"model.bin": b"weights"})
    found = plans(hub, [Announced(path, 1, b"x") for path in ("config.json", "model.bin", "new", "sub")])
    assert found["model.bin"].present == blob_of(b"weights").sha256
    assert found["config.json"].present == "9e26dfeeb6e641a33dae4961196235bdb965b21b"
    assert found["new"].present is None
    assert found["sub"].present is None


def test_a_linked_entry_can_be_planned_for(hub):
    with hub.database.transaction() as session:
        repositories.link(session, "up/stream", "up/stream")
    found = plans(hub, [Announced("model.safetensors", 1, b"x")], repo_id="up/stream")
    assert found["model.safetensors"].mode == "lfs"
