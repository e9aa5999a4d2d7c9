"""The suite: groups tried one after the other, each in a process that knows one server and no settings."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from modelcenter.conformance.cases import Outcome
from modelcenter.conformance.groups import GROUPS

GROUP_SECONDS, LONG_GROUP_SECONDS = 300, 1500  # for a group, without and with its long cases
# Variables by which this process's own client is led elsewhere, or made less than stock.
FOREIGN = ("HF_", "HUGGING", "MODELCENTER_", "TRANSFORMERS_", "PYTHON", "GIT_")
# The package by its place and nothing beside it: another interpreter has packages of its own.
START = """
import sys, types
ours = types.ModuleType("modelcenter")
ours.__path__ = [sys.argv[1]]
sys.modules["modelcenter"] = ours
from modelcenter.conformance.process import main
main()
"""


def run(
    endpoint: str,
    token: str,
    other_token: str | None = None,
    *,
    groups: Sequence[str] = GROUPS,
    quick: bool = True,
    long: bool = False,
    python: str = sys.executable,
) -> Iterator[Outcome]:
    """The outcomes of the cases of `groups`, as they come.

    token, other_token: of two people who may create repositories of their own. quick, long: whether the short
    and the long cases are tried. python: the interpreter whose huggingface_hub is the client.
    """
    for group in groups:
        with tempfile.TemporaryDirectory(prefix="conformance-", ignore_cleanup_errors=True) as folder:
            asked: dict[str, object] = {
                "endpoint": endpoint.rstrip("/"),
                "token": token,
                "other_token": other_token,
                "group": group,
                "quick": quick,
                "long": long,
                "folder": folder,
            }
            seconds = LONG_GROUP_SECONDS if long else GROUP_SECONDS
            yield from _group(asked, python, environment(endpoint, Path(folder)), seconds)


def environment(endpoint: str, home: Path) -> dict[str, str]:
    """The environment of a stock client: nothing configured but the server and a cache of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return {
        **kept,
        "HOME": str(home),
        "HF_ENDPOINT": endpoint.rstrip("/"),
        "HF_HOME": str(home / "hf"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
    }


def _group(asked: dict[str, object], python: str, environ: dict[str, str], seconds: int) -> Iterator[Outcome]:
    process = subprocess.Popen(
        [python, "-c", START, str(Path(__file__).parent.parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environ,
    )
    said: list[str] = []  # the end of what it wrote to stderr
    assert process.stdin and process.stdout and process.stderr
    listener = threading.Thread(target=_listen, args=(process.stderr, said), daemon=True)
    listener.start()
    clock = threading.Timer(seconds, process.kill)
    clock.start()
    try:
        with contextlib.suppress(BrokenPipeError), process.stdin:  # it may end before it reads
            json.dump(asked, process.stdin)
        for line in process.stdout:
            yield Outcome(**json.loads(line))
        process.wait()
    finally:
        clock.cancel()
        process.kill()
        process.wait()
        listener.join()
        process.stdout.close()
        process.stderr.close()
    if process.returncode:
        yield Outcome(
            group=str(asked["group"]),
            case="process",
            title="The client's process ends by itself.",
            required=True,
            status="failed",
            detail=f"It ended with status {process.returncode} (killed after {seconds} s where that is -9):"
            f" {''.join(said)[-1500:]}",
        )


def _listen(stream: Iterator[str], said: list[str]) -> None:
    for line in stream:
        said.append(line)
        del said[:-40]
