"""Clients that the suite's own environment does not have: older ones, and heavy ones."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

SHARE = Path(__file__).parents[2] / ".venv" / "share" / "clients"
CONSTRAINTS = Path(__file__).parents[1] / "data" / "clients.txt"
# Before Xet, the last with requests, the first with httpx, before and after uploads in several commits, 2.
CLIENTS = ("0.30.2", "0.36.2", "1.0.1", "1.10.2", "1.33.0", "2.0.0")
SECONDS = 300


def interpreter(version: str) -> str:
    """The Python that has that version of huggingface_hub. Skips without an index; fails in CI."""
    return installed(version, f"huggingface_hub=={version}")


def with_sentence_transformers() -> str:
    """A Python that has sentence-transformers beside what this one has. Skips as `interpreter`."""
    return installed("sentence-transformers", "sentence-transformers", beside=True)


def installed(name: str, requirement: str, *, beside: bool = False) -> str:
    """The Python of an environment that has `requirement`, made the first time.

    beside: what this Python has is there, too, and is not installed again.
    """
    home = SHARE / name
    python, ready = home / "bin" / "python", home / "ready"
    if ready.exists():
        return str(python)
    venv.create(home, clear=True, with_pip=True, symlinks=True)
    if beside:
        packages = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
        (home / packages / "beside.pth").write_text(sysconfig.get_path("purelib"))
    done = subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check",
         "-c", str(CONSTRAINTS), requirement],
        capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    if done.returncode:
        reason = f"{requirement} could not be installed: {done.stderr.strip()[-300:]}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    ready.touch()
    return str(python)
