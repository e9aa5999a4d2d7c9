"""Weights from a hub straight into memory: whole, by rank, over bad connections, from any server."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import torch

from modelcenter import load, save
from modelcenter.checkpoint.source import LocalFiles, open_checkpoint
from modelcenter.client import Hub, streaming
from modelcenter.client.remote import RemoteFiles
from modelcenter.errors import (
    AccessDenied,
    BeyondRange,
    BlobDamaged,
    CheckpointDamaged,
    CheckpointUnsupported,
    HubError,
    Invalid,
    NotAuthenticated,
    RepositoryNotFound,
    RevisionNotFound,
)
from modelcenter.planning import plan
from modelcenter.registry import blocks, fsck
from modelcenter.registry.blobs.interface import Blob
from modelcenter.streaming import open_stream, query
from modelcenter.weights.execute import execute
from modelcenter.weights.gathered import FRAME_BYTES, Gathered, spans
from modelcenter.weights.receive import SCRATCH_BYTES
from tests.support import checkpoints
from tests.support.checkpoints import folder
from tests.support.network import meddler
from tests.support.recipe import Recipe
from tests.support.s3 import CREDENTIALS, new_bucket
from tests.support.server import new_server, wait_for

_WIDE = {"vocab_size": 6000, "hidden_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2}
# 7 MB, of which each rank of two has row slices, column slices and wholes.
WIDE = Recipe(
    "llama-wide", "LlamaForCausalLM", checkpoints.LLAMA[0].settings | _WIDE | {"intermediate_size": 512}
)


def named(family: str, name: str) -> Recipe:
    return next(recipe for recipe in checkpoints.FAMILIES[family] if recipe.name == name)


RECIPES = [
    WIDE,
    named("gpt2", "gpt2"),
    named("mixtral", "mixtral-window"),
    named("t5", "t5"),
    named("gptj", "gptj"),
    named("bert", "bert-pretraining"),
]


def stored(recipe: Recipe) -> Path:
    return folder(recipe, "sharded" if recipe.name == "t5" else "safetensors")


def settled(server, name: str) -> None:
    """Waits until the hub knows that the model loads."""
    where = f"/api/modelcenter/{name}/verdict"
    wait_for(lambda: server.get(where, server.token).json()["status"] == "complete")


@pytest.fixture(scope="module")
def there(live_hub) -> dict[str, str]:
    """The recipes' names on the hub."""
    hub = Hub(live_hub.url, live_hub.token)
    names = {recipe.name: f"alice/streamed-{recipe.name}" for recipe in RECIPES}
    for recipe in RECIPES:
        hub.upload(stored(recipe), names[recipe.name])
    for name in names.values():
        settled(live_hub, name)
    return names


def parameters(name: str, dtype: str | None = None, rank: int = 0, world: int = 1, fuse: bool = True, **at):
    """What a rank streams."""
    checkpoint = open_stream(name, **at)
    planned = plan(checkpoint.files, dtype=dtype, rank=rank, world=world, fuse=fuse, header=checkpoint.header)
    asked = query(dtype=dtype, fuse=fuse, tp=world, rank=rank)
    return checkpoint.parameters(planned, asked, device="cpu", clamp=False, progress=lambda done, total: None)


def expected(recipe: Recipe, dtype: str | None = None, rank: int = 0, world: int = 1, fuse: bool = True):
    """What it reads from the folder."""
    place = stored(recipe)
    planned = plan(LocalFiles(place), dtype=dtype, rank=rank, world=world, fuse=fuse)
    return planned, execute(planned.steps, open_checkpoint(place))


def same(found, wanted) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value), name


@contextlib.contextmanager
def between(server, monkeypatch, **how):
    """A meddler before the hub, that the client takes for it."""
    with meddler(server.url, **how) as running:
        monkeypatch.setenv("MODELCENTER_ENDPOINT", running.url)
        yield running


# --- the same parameters as from a folder


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
@pytest.mark.parametrize("is_plain", [False, True], ids=["gathered", "ranges"])
def test_every_rank_streams_what_it_would_read(recipe, is_plain, there, at_hub, monkeypatch):
    with between(at_hub, monkeypatch, hidden="/plan/" if is_plain else "") as seen:
        for rank, world, dtype, fuse in ((0, 1, None, True), (1, 2, "float16", True), (0, 2, None, False)):
            found = parameters(there[recipe.name], dtype, rank, world, fuse)
            same(found, expected(recipe, dtype, rank, world, fuse)[1])
        asked = [line for line in seen.asked if "/bytes" in line and line.startswith("GET")]
        assert bool(asked) is not is_plain


def test_load_streams_the_model_and_leaves_no_weights_on_the_disk(there, at_hub, tmp_path):
    recipe = named("bert", "bert-pretraining")
    model, other = load(there[recipe.name], stream=True), load(str(stored(recipe)))
    same(dict(model.named_parameters()), dict(other.named_parameters()))
    assert model.report.bytes_read == other.report.bytes_read
    assert model.report.audit.read == other.report.audit.read
    kept = [path.name for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert "config.json" in kept
    assert not [name for name in kept if name.endswith((".safetensors", ".bin"))]
    largest = max(path.stat().st_size for path in (tmp_path / "home").rglob("*") if path.is_file())
    assert largest < 50_000
    save(model, tmp_path / "saved")
    same(
        {k: v.clone() for k, v in checkpoints.stored(tmp_path / "saved").items()},
        checkpoints.stored(stored(recipe)),
    )


def test_what_was_rounded_on_the_way_is_not_saved_as_if_it_were_whole(at_hub, unique, tmp_path):
    source = stored(named("gpt2", "gpt2"))
    tensors = checkpoints.stored(source)
    names = sorted(name for name in tensors if name.endswith("c_fc.weight"))
    checkpoints.copy_companions(source, tmp_path / "mixed")
    checkpoints.write(
        tmp_path / "mixed",
        {name: value if name in names else value.half() for name, value in tensors.items()},
    )
    config = (tmp_path / "mixed" / "config.json").read_text().replace('"float32"', '"float16"')
    (tmp_path / "mixed" / "config.json").write_text(config)
    Hub().upload(tmp_path / "mixed", f"alice/{unique}")
    model = load(f"alice/{unique}", stream=True)
    assert model.dtype is torch.float16
    with pytest.raises(Invalid, match=f"{names[0]}.* rounded .*without stream"):
        save(model, tmp_path / "saved")


def test_overflow_is_told_as_without_a_stream(at_hub, unique, tmp_path):
    source = stored(named("gpt2", "gpt2"))
    tensors = checkpoints.stored(source)
    (first, *_) = [name for name in tensors if name.endswith("c_fc.weight")]
    tensors[first][0, 0] = 1e6
    checkpoints.copy_companions(source, tmp_path / "large")
    checkpoints.write(tmp_path / "large", tensors)
    Hub().upload(tmp_path / "large", f"alice/{unique}")
    with pytest.raises(BeyondRange, match=first):
        load(f"alice/{unique}", stream=True, dtype="fp16")
    clamped = load(f"alice/{unique}", stream=True, dtype="fp16", clamp=True)
    assert max(p.max() for p in clamped.parameters()) == torch.finfo(torch.float16).max


# --- what is transferred


def test_a_rank_transfers_its_share_and_hardly_more(there, at_hub, monkeypatch):
    planned = expected(WIDE, "float16", 1, 2)[0]
    with between(at_hub, monkeypatch, mark="/bytes") as seen:
        parameters(there[WIDE.name], "float16", 1, 2)
    assert planned.bytes_read < 0.52 * planned.header.size_bytes
    assert planned.bytes_read < seen.marked < 1.01 * planned.bytes_read


def test_a_plain_server_is_asked_for_merged_ranges_as_planned(there, at_hub, monkeypatch):
    planned = expected(WIDE, None, 1, 2)[0]
    assert planned.ranges < len(planned.reads)
    assert 0 < planned.bytes_over_read < 0.3 * planned.bytes_read
    with between(at_hub, monkeypatch, hidden="/plan/", mark="model.safetensors") as seen:
        checkpoint = open_stream(there[WIDE.name])
        header = seen.marked
        checkpoint.parameters(planned, {}, device="cpu", clamp=False, progress=lambda done, total: None)
    wanted = planned.bytes_read + planned.bytes_over_read
    assert wanted < seen.marked - header < wanted + 2000 * planned.ranges  # the answers' heads


# --- bad connections


@pytest.mark.parametrize("is_plain", [False, True], ids=["gathered", "ranges"])
def test_a_connection_cut_fifty_times_brings_every_bit(is_plain, there, at_hub, monkeypatch):
    how = {"mark": "model.safetensors", "hidden": "/plan/"} if is_plain else {"mark": "/bytes"}
    with between(at_hub, monkeypatch, longest=150_000, seed=7, **how) as seen:
        checkpoint = open_stream(there[WIDE.name])
        planned = plan(checkpoint.files, header=checkpoint.header)
        seen.cuts = 50
        before = seen.marked
        found = checkpoint.parameters(
            planned, query(), device="cpu", clamp=False, progress=lambda done, total: None
        )
    assert seen.cuts == 0
    same(found, expected(WIDE)[1])
    # What has come is not asked for again: an answer's head, and what was under way when it was cut.
    assert seen.marked - before < planned.bytes_read + 51 * 2000


def test_a_hub_that_hangs_up_for_good_is_named(there, at_hub, monkeypatch):
    monkeypatch.setattr(streaming, "FIRST_PAUSE", 0.0)
    with between(at_hub, monkeypatch, mark="/bytes", cuts=10**6) as seen, pytest.raises(HubError) as caught:
        parameters(there[WIDE.name])
    assert caught.value.code == "hub-unreachable"
    assert seen.url in str(caught.value)


def test_a_corrupted_byte_is_found_and_asked_for_again(there, at_hub, monkeypatch, caplog):
    with (
        between(at_hub, monkeypatch, mark="/bytes", flips={1_500_000}) as seen,
        caplog.at_level(logging.WARNING, "modelcenter"),
    ):
        found = parameters(there[WIDE.name])
    same(found, expected(WIDE)[1])
    assert seen.marked > 1_500_000
    assert "model.safetensors is damaged: bytes" in caplog.text


def test_what_keeps_coming_corrupted_is_named(there, at_hub, monkeypatch):
    flips = set(range(5000, 10**8, 20_000))
    with (
        between(at_hub, monkeypatch, mark="/bytes", flips=flips),
        pytest.raises(CheckpointDamaged, match=r"model\.safetensors .* bytes [\d,]+ to [\d,]+ \(.*weight"),
    ):
        parameters(there[WIDE.name])


def test_bytes_that_rot_in_the_store_are_not_taken_for_weights(at_hub, unique, tmp_path):
    name = f"alice/{unique}"
    source = stored(WIDE)
    tensors = checkpoints.stored(source)
    tensors["model.norm.weight"] += 1  # a content of its own
    checkpoints.copy_companions(source, tmp_path / "m")
    checkpoints.write(tmp_path / "m", tensors)
    Hub().upload(tmp_path / "m", name)
    settled(at_hub, name)
    size = (tmp_path / "m" / "model.safetensors").stat().st_size
    blob = Blob(open_stream(name).files.content("model.safetensors"), size)
    with at_hub.hub() as hub:
        wait_for(lambda: is_known(hub, blob))
        path = hub.blobs.path(blob.sha256)
        path.chmod(0o644)
        with path.open("r+b") as file:
            file.seek(3 * FRAME_BYTES + 5)
            byte = file.read(1)
            file.seek(-1, 1)
            file.write(bytes([byte[0] ^ 4]))
    with pytest.raises((HubError, BlobDamaged), match=r"3,145,728 and 4,194,304 \(model\.safetensors\)"):
        parameters(name)
    with at_hub.hub() as hub:  # and it was had checked
        wait_for(lambda: is_damaged(hub, blob))


def is_known(hub, blob: Blob) -> bool:
    with hub.database.session() as session:
        return blob.sha256 in blocks.known(session, [blob])


def is_damaged(hub, blob: Blob) -> bool:
    with hub.database.session() as session:
        return any(damage.sha256 == blob.sha256 for damage in fsck.damages(session))


# --- who may, and what cannot be


def test_a_private_model_is_streamed_by_who_may_read_it(at_hub, unique, monkeypatch):
    name = f"alice/{unique}"
    Hub().upload(stored(named("gpt2", "gpt2")), name, private=True)
    same(parameters(name), expected(named("gpt2", "gpt2"))[1])
    with pytest.raises(RepositoryNotFound):
        parameters(name, token=at_hub.other_token)


def test_a_gated_model_is_streamed_by_who_was_let_in(at_hub, unique):
    name = f"alice/{unique}"
    Hub().upload(stored(named("gpt2", "gpt2")), name)
    Hub().api.update_repo_settings(name, gated="manual")
    with pytest.raises(AccessDenied):
        parameters(name, token=at_hub.other_token)
    same(parameters(name), expected(named("gpt2", "gpt2"))[1])


def test_what_cannot_be_streamed_is_told(there, at_hub, unique):
    place = stored(WIDE)
    with pytest.raises(Invalid, match="only models on a hub"):
        load(place, stream=True)
    with pytest.raises(Invalid, match="without asking its hub"):
        load(there[WIDE.name], stream=True, local_files_only=True)
    with pytest.raises(RevisionNotFound):
        load(there[WIDE.name], stream=True, revision="v9")
    with pytest.raises(NotAuthenticated):
        load(there[WIDE.name], stream=True, token="mc_wrong")
    Hub().upload(folder(named("gpt2", "gpt2"), "bin"), f"alice/{unique}")
    with pytest.raises(CheckpointUnsupported, match="only safetensors can be streamed"):
        load(f"alice/{unique}", stream=True)


class Longer(RemoteFiles):
    """Files that were another content when the hub was asked."""

    def size(self, name: str) -> int:
        return super().size(name) + 1

    def content(self, name: str) -> str:
        return f"before {super().content(name)}"


def test_a_file_that_is_another_than_its_header_was_is_told(there, at_hub, monkeypatch):
    checkpoint = open_stream(there[WIDE.name])
    planned = plan(checkpoint.files, header=checkpoint.header)
    files = checkpoint.files
    other = Longer(files.name, files.commit, files.endpoint, files.token)
    checkpoint = dataclasses.replace(checkpoint, files=other)
    with pytest.raises(CheckpointDamaged, match="another content than when its header was read"):
        checkpoint.parameters(planned, query(), device="cpu", clamp=False, progress=lambda done, total: None)


def test_spans_hold_every_read():
    planned = expected(WIDE, None, 1, 2)[0]
    gathered, covered = Gathered(planned.reads), 0
    for span in spans(gathered.reads):
        covered += sum(stop - start for _, start, stop in gathered.wanted(span.file, span.start, span.stop))
    assert covered == planned.bytes_read


# --- other servers


@pytest.mark.slow
@pytest.mark.parametrize("is_plain", [False, True], ids=["gathered", "redirected"])
def test_a_hub_that_keeps_files_in_s3_streams_them(is_plain, s3, tmp_path, monkeypatch):
    """Gathered by the hub, or range by range from signed addresses that it leads to."""
    server = new_server(tmp_path / "hub")
    bucket = new_bucket(s3)
    server.environment |= {**CREDENTIALS, **bucket.environment()}
    server.settings = dataclasses.replace(server.settings, s3=bucket)
    monkeypatch.setenv("MODELCENTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MODELCENTER_TOKEN", server.token)
    server.start()
    try:
        Hub(server.url).upload(stored(WIDE), "alice/m")
        settled(server, "alice/m")
        with between(server, monkeypatch, hidden="/plan/" if is_plain else "") as seen:
            found = parameters("alice/m", "float16", 1, 2)
        assert any("/bytes" in line for line in seen.asked if line.startswith("GET")) is not is_plain
    finally:
        server.kill()
    same(found, expected(WIDE, "float16", 1, 2)[1])


@contextlib.contextmanager
def files_of(place: Path, *, knows_ranges: bool = True, busy: int = 0, elsewhere: str = ""):
    """The least that speaks the Hub's protocol: a listing, and files that answer Range; nothing is ours.

    busy: how often it is. elsewhere: where it sends those who want a part of large files. Tokens are kept.
    """
    left, tokens = [busy], list[str]()

    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None: ...

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            if "resolve" in path and path.endswith(".safetensors"):
                tokens.append(self.headers.get("Authorization", ""))
            if path.startswith("/api/models/a/m/tree/"):
                self.say(json.dumps([{"type": "file", "oid": "0" * 40, **file} for file in listing]).encode())
            elif path.startswith("/api/models/a/m"):
                siblings = [{"rfilename": file["path"], "size": file["size"]} for file in listing]
                self.say(json.dumps({"id": "a/m", "sha": "1" * 40, "siblings": siblings}).encode())
            elif path.startswith(f"/a/m/resolve/{'1' * 40}/") and (place / path.split("/", 5)[5]).is_file():
                self.file((place / path.split("/", 5)[5]).read_bytes(), path.endswith(".safetensors"))
            else:
                self.say(b"", 404)

        def file(self, content: bytes, is_large: bool) -> None:
            asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            if asked and is_large and int(asked[1]) > 0 and left[0]:
                left[0] -= 1
                self.say(b"", 503, {"Retry-After": "0"})
            elif is_large and elsewhere:
                self.say(b"", 302, {"Location": elsewhere + self.path})
            elif asked and knows_ranges:
                start, stop = int(asked[1]), int(asked[2]) + 1
                where = {"Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"}
                self.say(content[start:stop], 206, where)
            else:
                self.say(content)

        def say(self, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            about = {"ETag": '"e"', "X-Repo-Commit": "1" * 40, "Content-Length": str(len(body))}
            for name, value in {**about, **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

    listing = [{"path": file.name, "size": file.stat().st_size} for file in place.iterdir()]
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", tokens
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def alone(monkeypatch, tmp_path) -> None:
    """A client that knows no hub."""
    monkeypatch.setenv("MODELCENTER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MODELCENTER_TOKEN", raising=False)


def test_any_server_of_ranges_will_do_and_may_be_busy(alone):
    with files_of(stored(WIDE), busy=5) as (address, _):
        model = load("a/m", stream=True, dtype="fp16", endpoint=address)
    other = load(str(stored(WIDE)), dtype="fp16")
    same(dict(model.named_parameters()), dict(other.named_parameters()))


def test_who_is_sent_to_another_host_takes_no_token_there(alone):
    with (
        files_of(stored(WIDE)) as (store, shown),
        files_of(stored(WIDE), elsewhere=store) as (address, asked),
    ):
        model = load("a/m", stream=True, endpoint=address, token="secret")
    same(dict(model.named_parameters()), dict(load(str(stored(WIDE))).named_parameters()))
    assert len(shown) == len(asked) > 1
    assert set(asked) == {"Bearer secret"}
    assert set(shown) == {""}


def test_a_server_that_is_busy_for_good_is_named(alone):
    with files_of(stored(WIDE), busy=10**6) as (address, _), pytest.raises(HubError, match=r"too busy.*503"):
        load("a/m", stream=True, endpoint=address)


def test_a_server_that_knows_no_ranges_is_named(alone):
    with (
        files_of(stored(WIDE), knows_ranges=False) as (address, _),
        pytest.raises(HubError, match=r"model\.safetensors whole or .* Load without stream"),
    ):
        load("a/m", stream=True, endpoint=address)


# --- real ranks

RANK = """
import sys
import torch, torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from modelcenter import load
place, name, rank = sys.argv[1], sys.argv[2], int(sys.argv[3])
dist.init_process_group("gloo", init_method=f"file://{place}/meeting", rank=rank, world_size=2)
model = load(name, stream=True, dtype="fp16", mesh=init_device_mesh("cpu", (2,), mesh_dim_names=("tp",)))
whole = {key: value.full_tensor() for key, value in model.named_parameters()}
if rank == 0:
    torch.save({"whole": whole, "bytes_read": model.report.bytes_read}, f"{place}/found.pt")
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_ranks_stream_their_shares_of_one_model(there, at_hub, tmp_path, monkeypatch):
    with between(at_hub, monkeypatch, mark="/bytes") as seen:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
        words = [sys.executable, "-c", RANK, str(tmp_path), there[WIDE.name]]
        ranks = [subprocess.Popen([*words, str(rank)], env=environment) for rank in range(2)]
        assert [process.wait(200) for process in ranks] == [0, 0]
    found = torch.load(tmp_path / "found.pt")
    same(found["whole"], dict(load(str(stored(WIDE)), dtype="fp16").named_parameters()))
    shares = sum(expected(WIDE, "float16", rank, 2)[0].bytes_read for rank in range(2))
    assert shares < seen.marked < 1.01 * shares


@pytest.fixture(scope="module")
def large(live_hub) -> tuple[Recipe, str]:
    """A model of 130 MB, and its name on the hub."""
    settings = checkpoints.LLAMA[0].settings | _WIDE | {"hidden_size": 512, "intermediate_size": 2048}
    settings |= {"vocab_size": 24_000, "num_hidden_layers": 4}
    recipe = Recipe("llama-large", "LlamaForCausalLM", settings)
    Hub(live_hub.url, live_hub.token).upload(stored(recipe), "alice/streamed-large")
    settled(live_hub, "alice/streamed-large")
    return recipe, "alice/streamed-large"


@pytest.mark.slow
def test_all_that_a_rank_transfers_is_its_share_and_one_percent(large, at_hub, monkeypatch):
    """Headers, configuration and what else is asked are in it."""
    recipe, name = large
    planned = expected(recipe, "float16", 1, 2)[0]
    with between(at_hub, monkeypatch) as seen:
        found = parameters(name, "float16", 1, 2)
    assert seen.sent < 1.01 * planned.bytes_read
    same(found, expected(recipe, "float16", 1, 2)[1])


MEMORY = """
import re, sys, threading
import torch
from modelcenter import load

def private():
    return int(re.search(r"RssAnon:\\s*(\\d+) kB", open("/proc/self/status").read())[1]) * 1024

load(sys.argv[1], stream=True)  # what is imported and made once
before, most, done = private(), 0, threading.Event()

def watch():
    global most
    while not done.wait(0.001):
        most = max(most, private())

watching = threading.Thread(target=watch, daemon=True)
watching.start()
model = load(sys.argv[2], stream=True, dtype="fp16")
done.set()
watching.join()
print(most - before, sum(p.nbytes for p in model.parameters()))
"""


@pytest.mark.slow
@pytest.mark.parametrize("is_plain", [False, True], ids=["gathered", "ranges"])
def test_a_stream_takes_the_result_and_a_bounded_scratch(is_plain, large, there, at_hub, monkeypatch):
    with between(at_hub, monkeypatch, hidden="/plan/" if is_plain else ""):
        words = [sys.executable, "-c", MEMORY, there["gpt2"], large[1]]
        said = subprocess.run(words, check=True, capture_output=True, text=True, timeout=200).stdout
    most, result = map(int, said.split())
    assert result < most < result + SCRATCH_BYTES + (16 << 20)  # the files have twice the result
