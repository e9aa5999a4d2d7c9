"""Models from other hubs, by the command: over the network, by a hub in one's name, and in a file."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import httpx2
import pytest
from huggingface_hub import CommitOperationAdd, HfApi

from tests.support.server import Server, clean_environment, new_server, running_server, wait_for

pytestmark = pytest.mark.slow

BIG = random.Random(1).randbytes(3 * (16 << 20) + 5)


@pytest.fixture(scope="module")
def there(tmp_path_factory) -> Iterator[Server]:
    """The upstream, with a model that has a file of some parts."""
    with pytest.MonkeyPatch.context() as patch, running_server(tmp_path_factory.mktemp("there")) as running:
        patch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        api = HfApi(endpoint=running.url, token=running.token)
        api.create_repo("alice/big")
        api.create_commit("alice/big", [CommitOperationAdd("model.bin", BIG)], commit_message="Big")
        api.create_repo("alice/secret", private=True)
        yield running


def command(here: Server, *words: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "modelcenter.cli", *words],
        env={**clean_environment(), **environment, "MODELCENTER_HOME": str(here.data / "home")},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def done(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def test_a_killed_mirror_begun_again_fetches_the_rest_and_travels_on_in_a_file(there, tmp_path):
    here = new_server(tmp_path / "here")
    words = ["mirror", "alice/big", "--upstream", there.url, "--data", str(here.data), "--json"]
    process = command(here, *words)

    database = f"file:{here.data / 'modelcenter.sqlite3'}?mode=ro"

    def parts() -> int:
        with closing(sqlite3.connect(database, uri=True)) as connection:
            return int(connection.execute("SELECT count(*) FROM upload_parts").fetchone()[0])

    # A part is kept for the next time once it is written down.
    wait_for(lambda: (here.data / "staging").is_dir() and parts(), 60)
    process.send_signal(signal.SIGKILL)
    assert done(process)[0] == -signal.SIGKILL
    status, out, err = done(command(here, *words))
    assert status == 0, err
    told = json.loads(out)
    head = HfApi(endpoint=there.url, token=False).model_info("alice/big").sha
    assert (told["commit"], told["changed"], told["history"]) == (head, True, True)
    assert told["transferred_bytes"] < len(BIG)
    bundle = tmp_path / "big.tar"
    assert done(command(here, "export", "alice/big", str(bundle), "--data", str(here.data)))[0] == 0
    far = new_server(tmp_path / "far")
    status, out, err = done(command(far, "import", str(bundle), "--as", "far/big", "--data", str(far.data)))
    assert (status, out) == (0, "far/big\n"), err
    with far.hub() as hub:
        assert [hub.blobs.stat(blob) for blob in hub.blobs].count(len(BIG)) == 1
    assert not list(tmp_path.glob(".big.tar*"))
    bundle.write_bytes(bundle.read_bytes()[:-25_000_000])
    status, out, err = done(command(far, "import", str(bundle), "--as", "far/two", "--data", str(far.data)))
    assert (status, out) == (1, "")
    assert "cut short" in err


def test_a_hubs_token_goes_to_its_upstream_alone(there, tmp_path):
    """What is saved for huggingface.co is no other hub's to see, whoever names that."""
    api = HfApi(endpoint=there.url, token=there.token)
    api.create_repo("alice/closed", private=True)
    here = new_server(tmp_path / "here")
    words = ["mirror", "alice/closed", "--upstream", there.url, "--data", str(here.data)]
    token = {"MODELCENTER_UPSTREAM_TOKEN": there.token}
    status, _, err = done(command(here, *words, **token))
    assert status == 1 and "alice/closed" in err
    status, _, err = done(command(here, *words, **token, MODELCENTER_UPSTREAM=there.url))
    assert status == 0, err


def test_a_hub_mirrors_in_ones_name(there, tmp_path):
    here = new_server(tmp_path / "here")
    here.environment = {"MODELCENTER_UPSTREAM": there.url, "MODELCENTER_UPSTREAM_TOKEN": there.token}
    try:
        here.start()
        status, out, err = done(
            command(
                here,
                *("mirror", "alice/big", "--as", "alice/mine", "--endpoint", here.url),
                MODELCENTER_TOKEN=here.token,
            )
        )
        assert (status, out) == (0, "alice/mine\n"), err
        api = HfApi(endpoint=here.url, token=False)
        assert (
            api.model_info("alice/mine").sha
            == HfApi(endpoint=there.url, token=False).model_info("alice/big").sha
        )
        state = here.get("/api/modelcenter/mirror/alice/mine").json()
        assert (state["state"], state["upstream_id"], state["problem"]) == ("done", "alice/big", None)

        def asked(token: str | None, **body: str) -> httpx2.Response:
            return here.request("POST", "/api/modelcenter/mirror", token, json=body)

        assert asked(None, upstream_id="alice/big").status_code == 401
        assert asked(here.read_token, upstream_id="alice/big").status_code == 403
        assert asked(here.other_token, upstream_id="alice/big").status_code == 403
        elsewhere = asked(here.token, upstream_id="alice/big", upstream="http://127.0.0.1:9")
        assert elsewhere.status_code == 403 and "site admins" in elsewhere.json()["error"]
        # The hub's own token reads there what alice may not be shown here.
        assert asked(here.token, upstream_id="alice/secret").status_code == 202
        address = "/api/modelcenter/mirror/alice/secret"
        problem = wait_for(lambda: here.get(address, here.token).json()["problem"])
        assert "alice/secret does not exist" in problem
        assert here.get(address, here.token).json()["state"] == "failed"
        assert here.get(address, here.other_token).status_code == 404
        assert asked(here.admin_token, upstream_id="alice/secret", **{"as": "root/secret"}).status_code == 202
        wait_for(
            lambda: here.get("/api/modelcenter/mirror/root/secret", here.admin_token).json()["checked_at"]
        )
        assert here.get("/api/models/root/secret", here.token).status_code == 404
        assert here.get("/api/models/root/secret", here.admin_token).status_code == 200
    finally:
        if here.process is not None:
            here.kill()
