"""Gated repositories as stock clients meet them: who asks, who answers, who reads."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import BadRequestError, GatedRepoError, HfHubHTTPError

ROOT = "/api/models/{}/user-access-request"


@pytest.fixture
def gated(api, repo):
    api.upload_file(path_or_fileobj=b"weights", path_in_repo="w.txt", repo_id=repo)
    api.update_repo_settings(repo, gated="manual")
    return repo


def names(requests) -> list[str]:
    return [request.username for request in requests]


def read(client: HfApi, repo: str, tmp_path) -> bytes:
    return Path(client.hf_hub_download(repo, "w.txt", cache_dir=tmp_path)).read_bytes()


def refused(client: HfApi, repo: str, tmp_path, words: str) -> None:
    with pytest.raises(GatedRepoError, match=words):
        read(client, repo, tmp_path)


def test_a_request_waits_is_accepted_rejected_and_taken_back(api, bob, server, gated, tmp_path):
    refused(bob, gated, tmp_path, "Ask for access on its page")
    asked = server.request("POST", ROOT.format(gated), server.other_token)
    assert asked.json()["status"] == "pending"
    refused(bob, gated, tmp_path, "waits for its owners")
    (request,) = api.list_pending_access_requests(gated)
    assert (request.username, request.status) == ("bob", "pending")
    api.accept_access_request(gated, request_id=request.request_id)
    assert read(bob, gated, tmp_path) == b"weights"
    assert server.get(f"/api/models/{gated}/tree/main", server.other_token).status_code == 200
    assert names(api.list_accepted_access_requests(gated)) == ["bob"]
    api.reject_access_request(gated, "bob", rejection_reason="not yet")
    refused(bob, gated, tmp_path / "2", "rejected")
    assert server.request("POST", ROOT.format(gated), server.other_token).json()["status"] == "rejected"
    assert names(api.list_rejected_access_requests(gated)) == ["bob"]
    api.cancel_access_request(gated, "bob")
    assert names(api.list_pending_access_requests(gated)) == ["bob"]


def test_an_automatic_gate_lets_in_who_asks(api, bob, anonymous, server, gated, tmp_path):
    api.update_repo_settings(gated, gated="auto")
    assert server.request("POST", ROOT.format(gated)).status_code == 401
    assert server.request("POST", ROOT.format(gated), server.other_token).json()["status"] == "accepted"
    assert read(bob, gated, tmp_path) == b"weights"
    assert bob.auth_check(gated) is None
    with pytest.raises(GatedRepoError):
        anonymous.auth_check(gated)


def test_access_is_granted_unasked_and_errors_are_the_clients(api, bob, server, gated, repo):
    api.grant_access(gated, "bob")
    assert names(api.list_accepted_access_requests(gated)) == ["bob"]
    acts = [
        (BadRequestError, lambda: api.grant_access(gated, "bob")),
        (HfHubHTTPError, lambda: api.accept_access_request(gated, "bob")),
        (HfHubHTTPError, lambda: api.accept_access_request(gated, "root")),
        (HfHubHTTPError, lambda: api.accept_access_request(gated, request_id="nonsense")),
        *[
            (HfHubHTTPError, lambda act=act: act(gated, "nobody"))
            for act in (api.grant_access, api.accept_access_request, api.cancel_access_request)
        ],
    ]
    for number, (kind, act) in enumerate(acts):
        with pytest.raises(kind) as raised:
            act()
        assert raised.value.response.status_code == (400 if kind is BadRequestError else 404), number
    for client in (bob, HfApi(endpoint=server.url, token=server.read_token)):
        with pytest.raises(HfHubHTTPError) as raised:
            list(client.list_pending_access_requests(gated))
        assert raised.value.response.status_code == 403
    api.update_repo_settings(repo, gated=False)
    for act in (lambda: list(api.list_pending_access_requests(repo)), lambda: api.grant_access(repo, "root")):
        with pytest.raises(BadRequestError, match="not gated"):
            act()
    assert server.request("POST", ROOT.format("alice/none"), server.other_token).status_code == 404
