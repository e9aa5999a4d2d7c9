"""Clients of the running hub."""

from __future__ import annotations

import itertools

import pytest
from huggingface_hub import HfApi

from tests.support.server import Server

numbers = itertools.count()


@pytest.fixture(autouse=True)
def plain_uploads(monkeypatch):
    """The LFS protocol, as clients without Xet speak it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", "/nonexistent/token")


@pytest.fixture
def api(server: Server) -> HfApi:
    """alice's client, who may write."""
    return HfApi(endpoint=server.url, token=server.token)


@pytest.fixture
def anonymous(server: Server) -> HfApi:
    """A client without a token."""
    return HfApi(endpoint=server.url, token=False)


@pytest.fixture
def bob(server: Server) -> HfApi:
    """Another person's client."""
    return HfApi(endpoint=server.url, token=server.other_token)


@pytest.fixture
def repo(api: HfApi) -> str:
    """A new repository of alice's."""
    repo_id = f"alice/repo-{next(numbers)}"
    api.create_repo(repo_id)
    return repo_id
