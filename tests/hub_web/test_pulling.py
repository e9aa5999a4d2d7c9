"""Models that a hub fetches from its upstream, a hub of its own process, when somebody asks for them."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import secrets
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx2
import numpy as np
import pytest
import torch
from huggingface_hub import CommitOperationAdd, HfApi, RepoFile, hf_hub_download, snapshot_download
from safetensors.numpy import save

import modelcenter
from modelcenter.registry import adopting, mirror, repositories, seed
from modelcenter.registry.upstream import Upstream
from tests.support.html import form, visible
from tests.support.server import (
    Server,
    new_server,
    running_server,
    wait_for,
)

pytestmark = pytest.mark.slow

CARD = b"---\nlicense: mit\nlanguage: en\ntags: [x]\npipeline_tag: fill-mask\n---\n# Hello from there\n"
BIG_BYTES = 9_000_000
SEEDS = itertools.count()
SLOW_BYTES = 3 << 20  # of an answer that come before it waits


@pytest.fixture(scope="module")
def there(tmp_path_factory) -> Iterator[Server]:
    """The upstream."""
    with pytest.MonkeyPatch.context() as patch, running_server(tmp_path_factory.mktemp("there")) as running:
        patch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        yield running


class Between:
    """A listener before the upstream that passes all on, and can hold answers back, cut or spoil them."""

    def __init__(self, upstream: Server) -> None:
        self.target = int(upstream.url.rpartition(":")[2])
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.requests: list[str] = []
        self.spoil = False  # large answers come with another byte
        self.cut = False  # large answers end in the middle
        self.down = False  # nothing is answered
        self.without_git = False
        self.portal = b""  # what is answered to all, as by something that is no hub
        self.go = threading.Event()
        self.go.set()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if self.portal:
                with suppress(OSError), client:
                    client.recv(1 << 16)
                    client.sendall(self.portal)
            elif self.down:
                client.close()
            else:
                threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client: socket.socket) -> None:
        with (
            suppress(OSError),  # either end may die
            client,
            socket.create_connection(("127.0.0.1", self.target)) as server,
        ):
            threading.Thread(target=self.back, args=(server, client), daemon=True).start()
            while data := client.recv(1 << 16):
                line = data.split(b"\r\n", 1)[0].decode("latin-1")
                if self.without_git and "/info/refs" in line:
                    client.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                    continue
                if line.endswith("HTTP/1.1"):
                    self.requests.append(line.removesuffix(" HTTP/1.1"))
                server.sendall(data)

    def back(self, server: socket.socket, client: socket.socket) -> None:
        passed = 0
        with suppress(OSError):
            while data := server.recv(1 << 16):
                passed += len(data)
                if passed > SLOW_BYTES:
                    self.go.wait(60)
                    if self.cut:
                        break
                    if self.spoil:
                        data = bytes([data[0] ^ 1]) + data[1:]
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)

    def transfers(self) -> int:
        """How often files were asked for."""
        return sum("/resolve/" in request for request in self.requests)


@pytest.fixture(scope="module")
def kept_hub(there, tmp_path_factory) -> Iterator[tuple[Between, Server]]:
    """A hub of two processes whose upstream is behind a listener; its token there reads all."""
    listener = Between(there)
    server = new_server(tmp_path_factory.mktemp("here"), workers=2)
    server.environment = {
        "MODELCENTER_UPSTREAM": listener.url,
        "MODELCENTER_UPSTREAM_TOKEN": there.admin_token,
        "MODELCENTER_UPSTREAM_EXPIRY": "0",
    }
    try:
        server.start()
        yield listener, server
    finally:
        server.kill()
        listener.listener.close()


@pytest.fixture
def between(kept_hub) -> Between:
    listener, server = kept_hub
    listener.spoil = listener.cut = listener.down = listener.without_git = False
    listener.portal = b""
    listener.go.set()
    listener.requests.clear()
    # As after the while for which an upstream that is away is left in peace.
    (server.data / "pulling" / "away").unlink(missing_ok=True)
    return listener


@pytest.fixture
def here(kept_hub) -> Server:
    return kept_hub[1]


@pytest.fixture
def big() -> bytes:
    """A content that no hub has seen."""
    return random.Random(next(SEEDS)).randbytes(BIG_BYTES)


def published(there: Server, files: dict[str, bytes], *, private: bool = False) -> str:
    """A model there, in an organisation that is not here."""
    name = f"lab-{secrets.token_hex(4)}/model"
    api = HfApi(endpoint=there.url, token=there.admin_token)
    api.create_repo(name, private=private)
    operations = [CommitOperationAdd(path, content) for path, content in files.items()]
    api.create_commit(name, operations, commit_message="All")
    return name


def content(here: Server, name: str, path: str = "model.bin", span: str = "bytes=0-") -> bytes:
    answer = here.get(f"/{name}/resolve/main/{path}", headers={"Range": span})
    assert answer.status_code in (200, 206), answer.text
    return answer.content


def test_a_model_comes_once_and_is_served_when_the_upstream_is_down(there, between, here, big, tmp_path):
    name = published(there, {"model.bin": big, "config.json": b"{}"})
    theirs = HfApi(endpoint=there.url, token=False).model_info(name, files_metadata=True)
    api = HfApi(endpoint=here.url, token=False)
    ours = api.model_info(name, files_metadata=True)
    assert (ours.id, ours.sha, ours.siblings) == (name, theirs.sha, theirs.siblings)
    assert between.transfers() == 0
    assert [ref.target_commit for ref in api.list_repo_refs(name).branches] == [theirs.sha]
    (known,) = api.get_paths_info(name, "model.bin")
    assert isinstance(known, RepoFile) and known.lfs
    assert known.lfs["sha256"] == hashlib.sha256(big).hexdigest()
    head = here.request("HEAD", f"/{name}/resolve/main/model.bin")
    assert head.headers["X-Linked-Size"] == str(len(big))
    with here.hub() as hub:
        assert hashlib.sha256(big).hexdigest() not in set(hub.blobs)
    place = snapshot_download(name, endpoint=here.url, token=False, cache_dir=tmp_path / "cache")
    assert Path(place, "model.bin").read_bytes() == big
    assert between.transfers() == 1
    assert content(here, name) == big
    assert between.transfers() == 1
    between.down = True
    path = hf_hub_download(name, "model.bin", endpoint=here.url, token=False, cache_dir=tmp_path / "again")
    assert Path(path).read_bytes() == big
    missing = here.get("/api/models/nobody-knows/it")
    assert missing.status_code == 502 and between.url in missing.json()["error"]
    assert not list((here.data / "pulling").glob("?" * 64))


def test_all_who_ask_at_once_read_what_comes_once(there, between, here, big):
    name = published(there, {"model.bin": big})
    between.go.clear()
    with (
        ThreadPoolExecutor(6) as pool,
        httpx2.stream("GET", f"{here.url}/{name}/resolve/main/model.bin") as first,
    ):
        chunks = first.iter_bytes(1 << 16)
        begun = next(chunks)  # while the rest is held back
        others = [pool.submit(content, here, name) for _ in range(4)]
        last = pool.submit(content, here, name, span=f"bytes={len(big) - 10}-")
        between.go.set()
        assert begun + b"".join(chunks) == big
        assert all(other.result() == big for other in others)
        assert last.result() == big[-10:]
    assert between.transfers() == 1
    with here.hub() as hub, hub.database.session() as session:
        assert repositories.find(session, name) is not None


@pytest.mark.parametrize("fault", ["spoil", "cut"])
def test_what_is_broken_or_wrong_is_never_served_whole(there, between, here, big, fault):
    name = published(there, {"model.bin": big})
    here.get(f"/api/models/{name}")
    setattr(between, fault, True)
    if fault == "cut":
        between.go.clear()
    with httpx2.stream("GET", f"{here.url}/{name}/resolve/main/model.bin", timeout=60) as answer:
        assert answer.headers["Content-Length"] == str(len(big))
        chunks = answer.iter_bytes(1 << 16)
        next(chunks)
        between.down = fault == "cut"  # it dies in the middle, and stays dead
        between.go.set()
        with pytest.raises(httpx2.RemoteProtocolError):
            list(chunks)
    with here.hub() as hub:
        assert hashlib.sha256(big).hexdigest() not in set(hub.blobs)
    if fault == "spoil":
        between.spoil = False
        assert content(here, name) == big


def test_what_a_killed_hub_began_is_gone_on_with(there, between, here, big):
    name = published(there, {"model.bin": big})
    between.go.clear()
    with httpx2.stream("GET", f"{here.url}/{name}/resolve/main/model.bin", timeout=60) as answer:
        next(answer.iter_bytes(1 << 16))
        here.kill()
    (begun,) = (path for path in (here.data / "pulling").iterdir() if len(path.name) == 64)
    assert 0 < begun.stat().st_size < len(big)
    between.go.set()
    here.start()
    assert content(here, name) == big
    assert not begun.exists()


def test_a_mirror_brings_what_nobody_asked_for(there, between, here, big):
    name = published(there, {"model.bin": big})
    here.get(f"/api/models/{name}")
    with here.hub() as hub, Upstream(between.url) as upstream:
        with hub.database.session() as session:
            root = adopting.operator(session)
        assert mirror.mirror(hub, root, upstream, name).transferred == len(big)
    between.down = True
    assert content(here, name) == big


def test_branches_that_move_are_followed_and_what_becomes_private_is_closed(there, between, here):
    name = published(there, {"a.txt": b"one"})
    assert content(here, name, "a.txt") == b"one"
    api = HfApi(endpoint=there.url, token=there.admin_token)
    api.create_commit(name, [CommitOperationAdd("a.txt", b"two")], commit_message="Two")
    api.create_tag(name, tag="v2")
    assert content(here, name, "a.txt") == b"two"
    assert here.get(f"/{name}/resolve/v2/a.txt").content == b"two"
    assert here.get(f"/{name}/resolve/nothing/a.txt").headers["X-Error-Code"] == "RevisionNotFound"
    api.update_repo_settings(name, private=True)
    assert here.get(f"/{name}/resolve/main/a.txt").headers["X-Error-Code"] == "RepoNotFound"
    assert here.get(f"/api/models/{name}", here.token).status_code == 404
    assert here.get(f"/api/models/{name}", here.admin_token).json()["private"] is True


@pytest.mark.parametrize(
    "head", ["404 Not Found", "401 Unauthorized", "401 Unauthorized\r\nX-Error-Message: No", "410 Gone"]
)
def test_what_stands_before_the_upstream_closes_no_model(there, between, here, head):
    """A proxy or another site at its address says nothing of who may read a model."""
    name = published(there, {"a.txt": b"one"})
    assert content(here, name, "a.txt") == b"one"
    between.portal = (
        f"HTTP/1.1 {head}\r\nContent-Type: text/html\r\nContent-Length: 2\r\nConnection: close\r\n\r\nNo"
    ).encode()
    assert content(here, name, "a.txt") == b"one"
    absent = here.get(f"/api/models/lab-{secrets.token_hex(4)}/model")
    assert absent.status_code == 502, absent.text
    between.portal = b""
    api = HfApi(endpoint=there.url, token=there.admin_token)
    api.create_commit(name, [CommitOperationAdd("a.txt", b"two")], commit_message="Two")
    assert content(here, name, "a.txt") == b"two"


def test_no_private_model_comes_and_no_name_of_people_here(there, between, here):
    secret = published(there, {"a.txt": b"secret"}, private=True)
    HfApi(endpoint=there.url, token=there.token).create_repo("alice/hers")
    for name in (secret, "alice/hers"):
        for token in (None, here.admin_token):
            answer = here.get(f"/{name}/resolve/main/a.txt", token)
            assert answer.headers["X-Error-Code"] == "RepoNotFound", answer.text
    with here.hub() as hub, hub.database.session() as session:
        assert repositories.find(session, secret) is None


def test_to_name_a_hash_is_not_to_have_the_content(there, between, here, big):
    """The upstream's model has a file that somebody here keeps private: it comes from there or not at all."""
    own = HfApi(endpoint=here.url, token=here.token)
    own.create_repo("alice/private", private=True)
    own.create_commit("alice/private", [CommitOperationAdd("model.bin", big)], commit_message="Mine")
    name = published(there, {"model.bin": big})
    assert here.get(f"/api/models/{name}").status_code == 200
    between.down = True
    assert here.get(f"/{name}/resolve/main/model.bin").status_code == 502
    sha256 = hashlib.sha256(big).hexdigest()
    asked = {"operation": "download", "objects": [{"oid": sha256, "size": len(big)}]}
    batch = here.request("POST", f"/{name}.git/info/lfs/objects/batch", json=asked).json()
    assert here.get(href_of(here, batch)).status_code == 502
    bob = HfApi(endpoint=here.url, token=here.other_token)
    bob.create_repo("bob/copy")
    batch = here.request(
        "POST", "/bob/copy.git/info/lfs/objects/batch", here.other_token, json=asked | {"operation": "upload"}
    )
    assert "upload" in batch.json()["objects"][0]["actions"]
    copied = here.request(
        "POST", f"/api/models/{name}/duplicate", here.other_token, json={"repository": "bob/other"}
    )
    assert copied.status_code == 404 and "not here yet" in copied.json()["error"]


def href_of(here: Server, batch: dict) -> str:
    """Where a batch of one says that the large file is, as a path of the hub."""
    href: str = batch["objects"][0]["actions"]["download"]["href"]
    return href.removeprefix(here.url)


def test_git_lfs_gets_what_has_not_come(there, between, here, big):
    name = published(there, {"model.bin": big})
    asked = {"operation": "download", "objects": [{"oid": hashlib.sha256(big).hexdigest(), "size": len(big)}]}
    batch = here.request("POST", f"/{name}.git/info/lfs/objects/batch", json=asked).json()
    for _ in range(2):
        answer = here.get(href_of(here, batch))
        assert (answer.status_code, answer.content == big) == (200, True)
    assert between.transfers() == 1


def test_headers_of_shards_are_told_before_the_shards_come(there, between, here):
    shard = save({"weight": np.zeros((8, 4), np.float32)})
    index = {"metadata": {"total_size": 128}, "weight_map": {"weight": "model-1.safetensors"}}
    place = "model.safetensors.index.json"
    name = published(there, {"model-1.safetensors": shard, place: json.dumps(index).encode()})
    path = f"/api/models/{name}/safetensors-metadata/{place}"
    assert here.get(path).json() == there.get(path).json()
    assert here.get(path).json()["headers"]["model-1.safetensors"]
    with here.hub() as hub:
        assert hashlib.sha256(shard).hexdigest() not in set(hub.blobs)


def test_a_page_offers_to_fetch_what_is_not_here(there, between, here, tmp_path):
    name = published(there, {"README.md": CARD})
    english = {"Accept-Language": "en"}
    page = here.get(f"/{name}", headers=english)
    assert page.status_code == 404 and "Fetch it from 127.0.0.1" in visible(page.text)
    assert not between.requests  # a visit alone asks for nothing
    sent = form(page.text, f"/{name}/fetch")
    between.down = True
    assert "could not be fetched" in here.request("POST", f"/{name}/fetch", data=sent, headers=english).text
    between.down = False
    (here.data / "pulling" / "away").unlink()
    fetched = here.request("POST", f"/{name}/fetch", data=sent)
    assert (fetched.status_code, fetched.headers["Location"]) == (303, f"/{name}")
    assert "Hello from there" in visible(here.get(f"/{name}").text)
    nobody = here.get("/nobody-knows/it", headers=english)
    sent = form(nobody.text, "/nobody-knows/it/fetch")
    answer = here.request("POST", "/nobody-knows/it/fetch", data=sent, headers=english)
    assert answer.status_code == 404 and "Fetch it" not in visible(answer.text)
    own = here.get("/alice/nothing", headers=english)  # alice is somebody here
    assert own.status_code == 404 and "Fetch it" not in visible(own.text)
    entry = f"lab-{secrets.token_hex(4)}/entry"
    (tmp_path / entry).mkdir(parents=True)
    (tmp_path / entry / "README.md").write_text("# A model elsewhere\n")
    with here.hub() as hub:
        seed.seed(hub, tmp_path)
    assert "Fetch it from 127.0.0.1" in visible(here.get(f"/{entry}", headers=english).text)


def test_an_upstream_without_git_is_followed_in_commits_of_our_own(there, between, here, big):
    between.without_git = True
    name = published(there, {"a.txt": b"one", "deep/b.txt": b"same", "model.bin": big})
    assert content(here, name, "a.txt") == b"one"
    first = here.get(f"/api/models/{name}").json()["sha"]
    assert content(here, name) == big and between.transfers() >= 1
    assert here.get(f"/api/models/{name}").json()["sha"] == first
    api = HfApi(endpoint=there.url, token=there.admin_token)
    api.create_commit(name, [CommitOperationAdd("a.txt", b"two")], commit_message="Two")
    api.create_branch(name, branch="next")
    between.requests.clear()
    assert content(here, name, "a.txt") == b"two"
    assert between.transfers() == 1  # of what is new alone
    assert [commit["id"] for commit in here.get(f"/api/models/{name}/commits/main").json()][1:] == [first]
    assert here.get(f"/{name}/resolve/next/deep/b.txt").content == b"same"
    theirs = api.model_info(name).sha
    assert here.get(f"/{name}/resolve/{theirs}/a.txt").headers["X-Error-Code"] == "RevisionNotFound"
    assert content(here, name, "a.txt") == b"two"


def test_an_entry_of_the_catalogue_is_hosted_when_it_is_loaded(
    there, between, here, tiny_bert, tmp_path, monkeypatch
):
    from transformers import AutoModel

    monkeypatch.setenv("MODELCENTER_HOME", str(tmp_path / "home"))
    files = {path.name: path.read_bytes() for path in tiny_bert.iterdir()}
    name = published(there, files)
    cards = tmp_path / "cards" / name
    cards.mkdir(parents=True)
    (cards / "README.md").write_text("---\nlicense: mit\n---\n# A model elsewhere\n")
    with here.hub() as hub:
        seed.seed(hub, tmp_path / "cards")
    ids = torch.tensor([[2, 7, 3]])
    ours = modelcenter.load(name, endpoint=here.url, head="none")(ids)
    folder = snapshot_download(name, endpoint=here.url, token=False, cache_dir=tmp_path / "cache")
    theirs = AutoModel.from_pretrained(folder).eval()(ids)
    torch.testing.assert_close(ours.last_hidden_state, theirs.last_hidden_state, atol=1e-5, rtol=0)
    told = wait_for(
        lambda: (
            (found := here.get(f"/api/models/{name}").json())
            and found["modelcenter"].get("verdict") != "pending"
            and found
        )
    )
    assert told["modelcenter"]["verdict"] == "complete", told
    assert told["sha"] == HfApi(endpoint=there.url, token=False).model_info(name).sha
