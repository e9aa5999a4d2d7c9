"""Models copied from another hub, which is a process of its own."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
from huggingface_hub import CommitOperationAdd, HfApi

from modelcenter.errors import BlobMismatch, HubUnreachable, Invalid, RepositoryNotFound, RevisionNotFound
from modelcenter.registry import adopting, bundle, fsck, mirror, repositories
from modelcenter.registry.accounts import create_user
from modelcenter.registry.hub import open_hub
from modelcenter.registry.upstream import Upstream
from tests.support.registry import commit, person
from tests.support.s3 import new_bucket
from tests.support.server import Server, running_server

PART = 1 << 16


@pytest.fixture(scope="module")
def upstream_server(tmp_path_factory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("there")) as running:
        yield running


@pytest.fixture
def there(upstream_server) -> Iterator[Server]:
    """The upstream, without a model."""
    yield upstream_server
    api = HfApi(endpoint=upstream_server.url, token=upstream_server.token)
    for model in list(api.list_models(author="alice")):
        api.delete_repo(model.id)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Files of some kilobytes travel in several parts; clients send by LFS."""
    monkeypatch.setattr(mirror, "PART_BYTES", PART)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)


@pytest.fixture
def upstream(there) -> Iterator[Upstream]:
    with Upstream(there.url) as opened:
        yield opened


@pytest.fixture
def root(hub):
    return person(hub, "root", is_admin=True)


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def published(there: Server, name: str, *versions: dict[str, bytes]) -> HfApi:
    """A model of alice's there, of one commit a version."""
    api = HfApi(endpoint=there.url, token=there.token)
    api.create_repo(name)
    for number, files in enumerate(versions):
        operations = [CommitOperationAdd(path, content) for path, content in files.items()]
        api.create_commit(name, operations, commit_message=f"Version {number}")
    return api


def content_of(hub, repo_id: str, path: str, revision: str = "main") -> bytes:
    with hub.database.session() as session:
        repository = repositories.find(session, repo_id)
        assert repository is not None
        at = repositories.resolve(session, repository, revision)
        (entry,) = repositories.paths(session, repository, at, [path])
    with hub.blobs.open(entry.sha256 or "") as stream:
        return stream.read()


def log_of(hub, repo_id: str, revision: str = "main") -> list[str]:
    with hub.database.session() as session:
        repository = repositories.find(session, repo_id)
        assert repository is not None
        found, _ = repositories.log(session, repositories.resolve(session, repository, revision))
        return [row.oid for row in found]


def test_a_mirror_has_the_upstreams_history_and_follows_it(hub, there, upstream, root):
    first, second = noise(1, 3 * PART + 17), noise(2, PART // 2)
    api = published(
        there,
        "alice/m",
        {"a.txt": b"1", "model.bin": first},
        {"子/b.txt": "你好".encode(), "model.bin": second},
    )
    done = mirror.mirror(hub, root, upstream, "alice/m")
    assert (done.changed, done.by_git, done.transferred) == (True, True, len(first) + len(second))
    commits = [row.commit_id for row in api.list_repo_commits("alice/m")]
    assert log_of(hub, "alice/m") == commits
    assert content_of(hub, "alice/m", "model.bin") == second
    assert content_of(hub, "alice/m", "model.bin", commits[1]) == first
    assert content_of(hub, "alice/m", "子/b.txt") == "你好".encode()
    assert mirror.mirror(hub, root, upstream, "alice/m") == replace(done, changed=False, transferred=0)
    api.upload_file(path_or_fileobj=b"2", path_in_repo="a.txt", repo_id="alice/m")
    again = mirror.mirror(hub, root, upstream, "alice/m")
    assert (again.changed, again.transferred) == (True, 0)
    assert log_of(hub, "alice/m")[1:] == commits
    assert list(fsck.check_all(hub, deep=True))
    with hub.database.session() as session:
        assert not fsck.damages(session)
    assert not list(hub.staging)


def test_a_tag_is_mirrored_as_a_tag_and_as_main_of_a_new_mirror(hub, there, upstream, root):
    api = published(there, "alice/tagged", {"a": b"1"}, {"a": b"2"})
    commits = [row.commit_id for row in api.list_repo_commits("alice/tagged")]
    api.create_tag("alice/tagged", tag="v1", revision=commits[1], tag_message="The first")
    done = mirror.mirror(hub, root, upstream, "alice/tagged", revision="v1", repo_id="root/copy")
    assert (done.commit, done.refs) == (commits[1], ["refs/heads/main", "refs/tags/v1"])
    assert log_of(hub, "root/copy", "v1") == log_of(hub, "root/copy") == commits[1:]
    mirror.mirror(hub, root, upstream, "alice/tagged", repo_id="root/copy")
    assert log_of(hub, "root/copy") == commits
    assert not mirror.mirror(
        hub, root, upstream, "alice/tagged", revision=commits[1], repo_id="root/copy"
    ).changed


def test_an_interrupted_mirror_fetches_the_rest_alone(hub, there, upstream, root):
    big = noise(3, 8 * PART)
    published(there, "alice/big", {"model.bin": big})

    def break_off(done: int, total: int) -> None:
        if done > total // 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        mirror.mirror(hub, root, upstream, "alice/big", progress=break_off)
    with hub.database.session() as session:
        entry = repositories.find(session, "alice/big")
        assert entry is not None and entry.is_linked
    done = mirror.mirror(hub, root, upstream, "alice/big")
    assert done.transferred <= len(big) // 2 + mirror.TOGETHER * PART
    assert content_of(hub, "alice/big", "model.bin") == big
    assert not list(hub.staging)


def test_what_is_private_or_gated_there_is_so_here(hub, there, root):
    api = published(there, "alice/secret", {"a": b"1"})
    api.update_repo_settings("alice/secret", private=True)
    with Upstream(there.url) as anonymous, pytest.raises(RepositoryNotFound):
        mirror.mirror(hub, root, anonymous, "alice/secret")
    with hub.database.session() as session:
        assert repositories.find(session, "alice/secret") is None
    with Upstream(there.url, there.token) as upstream:
        mirror.mirror(hub, root, upstream, "alice/secret")
    with hub.database.session() as session:
        mirrored = repositories.find(session, "alice/secret")
        assert mirrored is not None and mirrored.private


def test_what_becomes_private_there_becomes_so_here(hub, there, root):
    api = published(there, "alice/closing", {"a": b"1"})
    with Upstream(there.url, there.token) as upstream:
        mirror.mirror(hub, root, upstream, "alice/closing")
        api.update_repo_settings("alice/closing", private=True, gated="manual")
        api.upload_file(path_or_fileobj=b"2", path_in_repo="a", repo_id="alice/closing")
        mirror.mirror(hub, root, upstream, "alice/closing")
        api.update_repo_settings("alice/closing", private=False, gated=False)
        mirror.mirror(hub, root, upstream, "alice/closing")
    with hub.database.session() as session:
        mirrored = repositories.find(session, "alice/closing")
        assert mirrored is not None and (mirrored.private, mirrored.gated) == (True, "manual")


def test_other_peoples_files_are_not_taken_by_their_hash(hub, there, upstream, root):
    """Whoever names the hash of a file that is here still has to send it."""
    secret = noise(4, 1000)
    other = person(hub, "other")
    repositories.create(hub, other, "other/private", private=True)
    commit(hub, other, "other/private", {}, large={"model.bin": secret})
    published(there, "alice/claims", {"model.bin": secret})
    assert mirror.mirror(hub, root, upstream, "alice/claims").transferred == len(secret)


def test_what_is_no_mirror_of_it_is_left_alone(hub, there, upstream, root):
    published(there, "alice/mine", {"a": b"1"})
    repositories.create(hub, root, "root/mine")
    with pytest.raises(Invalid, match="is here already, and no mirror"):
        mirror.mirror(hub, root, upstream, "alice/mine", repo_id="root/mine")
    with pytest.raises(RevisionNotFound):
        mirror.mirror(hub, root, upstream, "alice/mine", revision="nowhere")


def test_a_branch_that_was_committed_to_here_moves_only_by_force(hub, there, upstream, root):
    api = published(there, "alice/both", {"a": b"1"})
    mirror.mirror(hub, root, upstream, "alice/both")
    commit(hub, root, "alice/both", {"b": b"ours"})
    theirs = api.upload_file(path_or_fileobj=b"theirs", path_in_repo="b", repo_id="alice/both").oid
    with pytest.raises(Invalid, match="--force"):
        mirror.mirror(hub, root, upstream, "alice/both")
    assert content_of(hub, "alice/both", "b") == b"ours"
    assert mirror.mirror(hub, root, upstream, "alice/both", force=True).commit == theirs
    assert content_of(hub, "alice/both", "b") == b"theirs"


class Lying(Upstream):
    """An upstream between whom and us somebody changes what it sends."""

    def read(self, *place: object) -> Iterator[bytes]:
        for chunk in super().read(*place):  # type: ignore[arg-type]
            yield bytes(len(chunk))


class WithoutGit(Upstream):
    """A hub that has no address for Git."""

    def git_answer(self, url, headers, data):
        return super().git_answer(url.replace("/info/refs", "/nowhere"), headers, data)


@pytest.mark.parametrize("size", [1000, 3 * PART])
def test_files_are_not_taken_that_are_not_what_their_pointers_say(hub, there, root, size):
    published(there, f"alice/forged-{size}", {"model.bin": noise(5, size)})
    with Lying(there.url) as upstream, pytest.raises(BlobMismatch):
        mirror.mirror(hub, root, upstream, f"alice/forged-{size}")
    with hub.database.session() as session:
        entry = repositories.find(session, f"alice/forged-{size}")
        assert entry is not None and entry.is_linked
    assert not list(hub.staging)
    assert not list(hub.blobs)


def test_without_git_a_revision_is_one_commit(hub, there, root):
    first, second = {"a": b"1", "gone": b"x", "model.bin": noise(6, 1000)}, {"a": b"2"}
    api = published(there, "alice/plain", first, second)
    with WithoutGit(there.url) as upstream:
        done = mirror.mirror(hub, root, upstream, "alice/plain")
        assert (done.by_git, done.changed, done.transferred) == (False, True, 1000)
        assert len(log_of(hub, "alice/plain")) == 2
        assert content_of(hub, "alice/plain", "model.bin") == first["model.bin"]
        assert not mirror.mirror(hub, root, upstream, "alice/plain").changed
        api.delete_file("gone", "alice/plain")
        assert mirror.mirror(hub, root, upstream, "alice/plain").changed
    with hub.database.session() as session:
        repository = repositories.find(session, "alice/plain")
        assert repository is not None
        head = repositories.resolve(session, repository)
        assert {entry.path for entry in repositories.tree(session, repository, head)} == {
            *(".gitattributes", "a", "model.bin")
        }


def test_a_hub_that_is_away_is_named(hub, root):
    with (
        Upstream("http://127.0.0.1:9") as upstream,
        pytest.raises(HubUnreachable, match=":9 does not answer"),
    ):
        mirror.mirror(hub, root, upstream, "alice/m")


def test_operators_act_in_the_name_of_a_site_admin(hub):
    with hub.database.transaction() as session:
        create_user(session, "ann")
        with pytest.raises(Invalid, match="--by NAME"):
            adopting.operator(session)
        assert adopting.operator(session, "Ann").name == "ann"
        create_user(session, "zoe", is_admin=True)
        assert adopting.operator(session).name == "zoe"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_mirror_and_its_bundle_lie_in_a_bucket_as_well(settings, there, upstream, s3, tmp_path):
    here = open_hub(replace(settings, s3=new_bucket(s3)))
    zoe = person(here, "zoe", is_admin=True)
    big = noise(7, 3 * PART + 1)
    published(there, "alice/bucket", {"model.bin": big})
    assert mirror.mirror(here, zoe, upstream, "alice/bucket").transferred == len(big)
    assert content_of(here, "alice/bucket", "model.bin") == big
    assert not list(here.staging)
    with (tmp_path / "bundle.tar").open("w+b") as file:
        bundle.write(here, zoe, "alice/bucket", file)
        file.seek(0)
        bundle.read(here, zoe, file, "zoe/again")
    assert content_of(here, "zoe/again", "model.bin") == big
    here.database.close()
