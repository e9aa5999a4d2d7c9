"""Loading plans as a hub serves them: enough to load a shard with nothing of ours, and its bytes."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from huggingface_hub import HfApi
from jsonschema import Draft202012Validator
from safetensors.numpy import load_file

from modelcenter.checkpoint.source import LocalFiles, open_checkpoint
from modelcenter.planning import plan
from modelcenter.weights.execute import execute
from tests.support import checkpoints
from tests.support.checkpoints import folder
from tests.support.recipe import Recipe
from tests.support.server import Server, wait_for

NUMPY = {"F32": np.float32, "F16": np.float16, "float32": np.float32, "float16": np.float16}


def named(family: str, name: str) -> Recipe:
    return next(recipe for recipe in checkpoints.FAMILIES[family] if recipe.name == name)


LLAMA, GPTJ, MIXTRAL = checkpoints.LLAMA[0], named("gptj", "gptj"), named("mixtral", "mixtral-window")


def uploaded(server: Server, api: HfApi, repo: str, recipe: Recipe, form: str = "safetensors") -> str:
    api.upload_folder(repo_id=repo, folder_path=folder(recipe, form))
    where = f"/api/modelcenter/{repo}/verdict"
    wait_for(lambda: server.get(where, server.token).json()["status"] != "pending")
    return f"/api/modelcenter/{repo}/plan/main"


def indices(stretches: list[list[int]]) -> np.ndarray:
    return np.concatenate([np.arange(*stretch) for stretch in stretches])


def assembled(told: dict[str, Any], read) -> dict[str, np.ndarray]:
    """The parameters that a plan describes, by what it says alone. read: bytes of a file."""
    tensors = {
        name: np.frombuffer(read(info["file"], info["start"], info["stop"]), NUMPY[info["dtype"]]).reshape(
            info["shape"]
        )
        for name, info in told["tensors"].items()
    }
    made = {}
    for parameter in told["parameters"]:
        out = made[parameter["name"]] = np.zeros(parameter["shape"], NUMPY[parameter["dtype"]])
        for gather in parameter["gathers"]:
            part = tensors[gather["tensor"]][np.ix_(*map(indices, gather["from"]))]
            own = [d for d in range(part.ndim) if d not in gather["dims"]]
            order = [d for d in gather["dims"] if d is not None]
            part = part.transpose(own + order).reshape([part.shape[d] for d in order])
            for k, d in enumerate(gather["dims"]):
                part = np.expand_dims(part, k) if d is None else part
            out[np.ix_(*map(indices, gather["to"]))] = part
    return made


@pytest.mark.parametrize(
    "recipe",
    [LLAMA, *(pytest.param(recipe, marks=pytest.mark.slow) for recipe in (GPTJ, MIXTRAL))],
    ids=["llama", "gptj", "mixtral"],
)
def test_a_plan_is_enough_to_load_a_shard_without_our_library(recipe, server, api, repo):
    place = uploaded(server, api, repo, recipe)
    told = server.get(f"{place}?tp=2&rank=1&dtype=float16", server.token).json()
    described = server.get("/api/modelcenter/openapi.json").json()["paths"]
    answers = described["/api/modelcenter/{owner}/{name}/plan/{revision}"]["get"]["responses"]
    Draft202012Validator(answers["200"]["content"]["application/json"]["schema"]).validate(told)

    def read(file: str, start: int, stop: int) -> bytes:
        span = {"Range": f"bytes={start}-{stop - 1}"}
        answer = server.get(f"/{repo}/resolve/{told['commit']}/{file}", server.token, headers=span)
        assert answer.status_code == 206
        return answer.content

    made = assembled(told, read)
    planned = plan(LocalFiles(folder(recipe)), dtype="float16", rank=1, world=2)
    wanted = execute(planned.steps, open_checkpoint(folder(recipe)))
    assert made.keys() == wanted.keys()
    for name, value in wanted.items():
        assert np.array_equal(made[name], value.numpy()), name


def test_the_stream_is_the_reads_in_their_order_with_a_digest_a_frame(server, planned_llama):
    place = planned_llama
    asked = "?tp=2&rank=1&dtype=float16"
    told = server.get(place + asked, server.token).json()["stream"]
    answer = server.get(f"{place}/bytes{asked}", server.token)
    assert answer.status_code == 200
    assert len(answer.content) == int(answer.headers["Content-Length"]) == told["bytes"]
    assert answer.headers["ETag"] == f'"{told["address"]}"'
    content = (folder(LLAMA) / "model.safetensors").read_bytes()
    payload = b"".join(
        content[start + n * stride :][:size]
        for _, start, size, count, stride in told["reads"]
        for n in range(count)
    )
    assert len(payload) == told["payload"] < told["frame"]
    assert answer.content == payload + hashlib.sha256(payload).digest()
    part = server.get(f"{place}/bytes{asked}", server.token, headers={"Range": "bytes=1000-1999"})
    assert (part.status_code, part.content) == (206, answer.content[1000:2000])
    assert part.headers["Content-Range"] == f"bytes 1000-1999/{told['bytes']}"
    tail = server.get(f"{place}/bytes{asked}", server.token, headers={"Range": f"bytes={told['bytes']}-"})
    assert tail.status_code == 416
    known = server.get(
        f"{place}/bytes{asked}", server.token, headers={"If-None-Match": answer.headers["ETag"]}
    )
    assert known.status_code == 304


def test_a_plan_has_an_address_of_its_content_and_may_be_kept(server, planned_llama):
    place = planned_llama
    first = server.get(f"{place}?dtype=float16", server.token)
    commit = first.json()["commit"]
    fixed = server.get(f"{place.replace('main', commit)}?dtype=float16", server.token)
    assert fixed.content == first.content
    assert first.headers["ETag"] == fixed.headers["ETag"] == f'"{hashlib.sha256(first.content).hexdigest()}"'
    assert "no-cache" in first.headers["Cache-Control"]
    assert "immutable" in fixed.headers["Cache-Control"] and "private" in fixed.headers["Cache-Control"]
    again = server.get(
        f"{place}?dtype=float16", server.token, headers={"If-None-Match": first.headers["ETag"]}
    )
    assert (again.status_code, again.content) == (304, b"")
    other = server.get(place, server.token)
    assert other.headers["ETag"] != first.headers["ETag"]
    # The same bytes make both dtypes.
    assert other.json()["stream"]["address"] == first.json()["stream"]["address"]
    assert load_file(folder(LLAMA) / "model.safetensors").keys() == other.json()["tensors"].keys()


@pytest.mark.parametrize(
    ("asked", "status", "sentence"),
    [
        ("tp=0", 400, "tp is '0'"),
        ("tp=99999999999999", 400, "tp is "),
        ("tp=2&rank=2", 400, "rank is '2'; expected a number from 0 to 1"),
        ("dtype=int8", 400, "is no floating dtype"),
        (f"dtype={'a' * 1000}", 400, "more than 100 letters"),
        ("fuse=perhaps", 400, "expected true or false"),
        ("head=nothing", 422, "nothing"),
        ("tp=1000", 422, ""),
    ],
)
def test_what_cannot_be_planned_is_told_in_a_sentence(asked, status, sentence, server, planned_llama):
    for place in (planned_llama, f"{planned_llama}/bytes"):
        answer = server.get(f"{place}?{asked}", server.token)
        assert answer.status_code == status
        assert sentence in answer.json()["error"]


@pytest.fixture(scope="module")
def planned_llama(shared_server) -> str:
    api = HfApi(endpoint=shared_server.url, token=shared_server.token)
    api.create_repo("alice/planned-llama", exist_ok=True)
    return uploaded(shared_server, api, "alice/planned-llama", LLAMA)


def test_who_may_not_read_the_files_gets_no_plan(server, api, repo):
    place = uploaded(server, api, repo, LLAMA)
    api.update_repo_settings(repo, gated="manual")
    for address in (place, f"{place}/bytes"):
        assert server.get(address, server.other_token).status_code == 403
        assert server.get(address).status_code == 401
    api.update_repo_settings(repo, gated=False, private=True)
    for address in (place, f"{place}/bytes"):
        assert server.get(address, server.other_token).status_code == 404
        assert server.get(address, server.token).status_code == 200
        assert server.get(address.replace("main", "v9"), server.token).status_code == 404


def test_what_does_not_load_has_no_plan(server, api, repo):
    api.upload_file(repo_id=repo, path_in_repo="config.json", path_or_fileobj=b"{}")
    where = f"/api/modelcenter/{repo}"
    wait_for(lambda: server.get(f"{where}/verdict", server.token).json()["status"] != "pending")
    answer = server.get(f"{where}/plan/main", server.token)
    assert answer.status_code == 422
    assert "no_checkpoint" in answer.json()["error"]
    place = uploaded(server, api, repo, named("gpt2", "gpt2"), "bin")
    assert server.get(place, server.token).status_code == 422
    assert "is a pickle" in server.get(place, server.token).json()["error"]
