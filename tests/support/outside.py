"""Fixtures: a running hub as people use it from outside, and a small checkpoint."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.server import Server


@pytest.fixture(scope="session")
def live_hub(tmp_path_factory) -> Iterator[Server]:
    """One running hub for all tests that leave others' repositories alone."""
    from tests.support.server import running_server

    with (
        running_server(tmp_path_factory.mktemp("live-hub")) as running,
        pytest.MonkeyPatch.context() as patch,
    ):
        # hf_xet remembers by the hub's address what it sent, and reads once where it keeps that.
        patch.setenv("HF_XET_CACHE", str(tmp_path_factory.mktemp("xet")))
        yield running


@pytest.fixture
def at_hub(live_hub, monkeypatch, tmp_path) -> Server:
    """The running hub, configured for alice's client here; logins and caches are the test's own."""
    for name in ("MODELCENTER_DATA", "HF_ENDPOINT", "HF_TOKEN", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MODELCENTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MODELCENTER_ENDPOINT", live_hub.url)
    monkeypatch.setenv("MODELCENTER_TOKEN", live_hub.token)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return live_hub


@pytest.fixture
def unique() -> str:
    """A repository's name that no other test uses."""
    return f"model-{secrets.token_hex(6)}"


@pytest.fixture(scope="session")
def kept_bert(tmp_path_factory) -> Path:
    """A small BERT as transformers saves it, with a vocabulary; not to be changed."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("bert") / "tiny-bert"
    config = BertConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24
    )
    BertModel(config).save_pretrained(folder)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    (folder / "vocab.txt").write_text("\n".join([*special, *"你好世界abcdefghij"]), "utf-8")
    (folder / "README.md").write_text("---\nlicense: mit\nlanguage: [en, zh]\n---\n# A tiny BERT\n")
    return folder


@pytest.fixture
def tiny_bert(kept_bert, tmp_path) -> Path:
    """A copy of the small BERT to change, with weights that no hub has seen."""
    folder = Path(shutil.copytree(kept_bert, tmp_path / "tiny-bert"))
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-3] + secrets.token_bytes(3))
    return folder
