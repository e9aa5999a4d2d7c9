"""An upload whose sender dies in the middle: nothing of it is seen, and the next one goes on from there."""

import os
import signal
import subprocess
import sys

import pytest
from huggingface_hub import HfApi

from modelcenter.client import Hub

pytestmark = pytest.mark.slow
# Dies while the large file is on its way.
PROGRAM = """
import os, signal, sys
from modelcenter.client import Hub

def progress(stage, path, count, seen=[0]):
    if stage == "sending" and path == "b-large.bin":
        seen[0] += count
        if seen[0] > 4_000_000:
            os.kill(os.getpid(), signal.SIGKILL)

Hub().upload(sys.argv[1], sys.argv[2], progress=progress)
"""


def test_a_killed_upload_leaves_nothing_and_its_retry_sends_only_the_rest(at_hub, tmp_path, unique):
    folder, name = tmp_path / "folder", f"alice/{unique}"
    folder.mkdir()
    (folder / "b-large.bin").write_bytes(os.urandom(30_000_000))
    Hub().api.create_repo(name)
    before = Hub().info(name)["sha"]
    run = subprocess.run([sys.executable, "-c", PROGRAM, str(folder), name], env=dict(os.environ))
    assert run.returncode == -signal.SIGKILL
    assert Hub().info(name)["sha"] == before
    assert [each["rfilename"] for each in Hub().info(name)["siblings"]] == [".gitattributes"]

    (folder / "a-small.bin").write_bytes(os.urandom(100_000))
    api = HfApi(endpoint=at_hub.url, token=at_hub.token)
    arrived = Hub().upload(folder / "a-small.bin", f"{name}-elsewhere")
    assert arrived.sent == ("a-small.bin",)
    uploaded = Hub().upload(folder, name)
    assert uploaded.sent == ("b-large.bin",)
    assert {file.path for file in api.list_repo_tree(name)} == {
        ".gitattributes",
        "a-small.bin",
        "b-large.bin",
    }
