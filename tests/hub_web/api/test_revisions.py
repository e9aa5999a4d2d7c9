"""A model at a revision: described as of that commit, whatever the default branch has."""

from __future__ import annotations

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete

from tests.support.server import wait_for

CARD = "---\nlicense: {license}\npipeline_tag: fill-mask\n---\n# A model\n"


@pytest.fixture
def branched(api, repo, kept_bert):
    """A model that is complete on main, and has another card and no weights on dev."""
    names = ("config.json", "vocab.txt", "model.safetensors")
    files = [CommitOperationAdd(name, kept_bert / name) for name in names]
    card = CommitOperationAdd("README.md", CARD.format(license="mit").encode())
    api.create_commit(repo, [*files, card], commit_message="Upload")
    api.create_branch(repo, branch="dev")
    card = CommitOperationAdd("README.md", CARD.format(license="gpl-3.0").encode())
    api.create_commit(
        repo, [card, CommitOperationDelete("model.safetensors")], commit_message="Drop", revision="dev"
    )
    return repo


def test_a_revision_has_its_own_facts(server, api, branched):
    def told(revision: str) -> dict:
        return server.get(f"/api/models/{branched}/revision/{revision}").json()

    wait_for(
        lambda: {told(name)["modelcenter"]["verdict"] for name in ("main", "dev")}.isdisjoint({"pending"})
    )
    dev, main = told("dev"), told("main")
    assert main["modelcenter"]["verdict"] == "complete"
    assert main["safetensors"]["total"] > 0
    assert dev["modelcenter"]["verdict"] == "no_checkpoint"
    assert "safetensors" not in dev
    assert dev["cardData"]["license"] == "gpl-3.0"
    assert "license:gpl-3.0" in dev["tags"]
    assert "license:mit" not in dev["tags"]
    assert told(main["sha"])["modelcenter"] == main["modelcenter"]
    assert server.get(f"/api/models/{branched}").json()["modelcenter"] == main["modelcenter"]


def test_a_branch_that_is_behind_keeps_its_verdict(server, api, branched):
    def verdict(revision: str) -> str:
        return server.get(f"/api/models/{branched}/revision/{revision}").json()["modelcenter"]["verdict"]

    wait_for(lambda: verdict("dev") == "no_checkpoint" and verdict("main") == "complete")
    old = api.model_info(branched).sha
    api.delete_file("model.safetensors", branched)
    wait_for(lambda: verdict("main") == "no_checkpoint")
    assert verdict(old) == "complete"
    found = server.get(f"/api/models/{branched}/revision/{old}").json()
    assert found["safetensors"]["total"] == found["modelcenter"]["parameters"]


def test_the_address_of_a_commit_is_there(server, api, repo):
    info = api.upload_file(path_or_fileobj=b"x", path_in_repo="a.txt", repo_id=repo)
    answer = server.get(info.commit_url.removeprefix(server.url))
    assert answer.status_code == 200
    assert info.oid in answer.text
