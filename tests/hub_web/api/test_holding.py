"""Withdrawn and frozen revisions, as our command and stock clients meet them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub.errors import HfHubHTTPError

from tests.support.server import client_environment

ROOT = "/api/modelcenter/{}/{}/{}"


@pytest.fixture
def commits(api, repo):
    """The ids of two commits, the later one bad."""
    return [
        api.upload_file(path_or_fileobj=content, path_in_repo="config.json", repo_id=repo).oid
        for content in (b"{}", b'{"bad": true}')
    ]


def command(server, tmp_path, *words) -> subprocess.CompletedProcess[str]:
    environment = client_environment(server, tmp_path / "home", server.token)
    environment |= {"MODELCENTER_ENDPOINT": server.url, "MODELCENTER_TOKEN": server.token}
    return subprocess.run(
        [sys.executable, "-m", "modelcenter.cli", *words], capture_output=True, text=True, env=environment
    )


def test_clients_without_a_pin_skip_what_is_withdrawn_and_others_are_warned(
    api, anonymous, repo, commits, server, tmp_path, caplog
):
    good, bad = commits
    done = command(server, tmp_path, "withdraw", repo, "main", "--reason", "it leaks 泄露")
    assert (done.returncode, bad in done.stdout) == (0, True), done.stderr
    assert anonymous.model_info(repo).sha == good
    (listed,) = (model for model in anonymous.list_models(author="alice", full=True) if model.id == repo)
    assert listed.sha == good
    assert anonymous.hf_hub_download(repo, "config.json", cache_dir=tmp_path / "a")
    for path in (f"/{repo}/resolve/{bad}/config.json", f"/api/models/{repo}/revision/{bad[:10]}"):
        warning = server.get(path).headers["X-HF-Warning"]
        assert warning.startswith("withdrawn; ")
        assert warning.endswith(f"{repo} was withdrawn by its owners: it leaks ??")
    assert "X-HF-Warning" not in server.get(f"/{repo}/resolve/{good}/config.json").headers
    path = anonymous.hf_hub_download(repo, "config.json", revision=bad, cache_dir=tmp_path / "b")
    assert json.loads(Path(path).read_text()) == {"bad": True}
    loaded = command(server, tmp_path, "download", repo, "--revision", bad)
    said = f"Warning: {bad[:12]} of {repo} was withdrawn by its owners: it leaks 泄露"
    assert said in loaded.stderr and said in command(server, tmp_path, "info", repo, "--revision", bad).stderr
    assert command(server, tmp_path, "withdraw", repo, bad, "--undo").returncode == 0
    assert anonymous.model_info(repo).sha == bad


def test_a_frozen_branch_stays_where_it_is(api, bob, repo, commits, server, tmp_path):
    done = command(server, tmp_path, "freeze", repo, "main")
    assert (done.returncode, "is frozen" in done.stdout) == (0, True), done.stderr
    for act in (
        lambda: api.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=repo),
        lambda: api.super_squash_history(repo),
    ):
        with pytest.raises(HfHubHTTPError, match="frozen") as raised:
            act()
        assert raised.value.response.status_code == 403
    assert (
        server.request("DELETE", ROOT.format(repo, "freeze", "main"), server.other_token).status_code == 403
    )
    assert command(server, tmp_path, "freeze", repo, "main", "--undo").returncode == 0
    assert api.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=repo)
