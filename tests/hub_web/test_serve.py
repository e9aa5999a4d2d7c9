"""The hub as a process: where it listens, whom it believes, what it says when it cannot."""

from __future__ import annotations

import socket

import pytest

from tests.support.server import Server, new_server, running_server

FORWARDED = {"X-Forwarded-Host": "hub.example", "X-Forwarded-Proto": "https", "X-Forwarded-For": "10.0.0.1"}


def commit_address(server: Server, headers: dict[str, str] | None = None) -> str:
    """The address that a new repository is said to have."""
    answer = server.request(
        "POST", "/api/repos/create", server.token, json={"name": "addressed"}, headers=headers or {}
    )
    return answer.json()["url"]


def test_addresses_are_those_that_the_client_asked_at(server):
    port = server.url.rpartition(":")[2]
    assert commit_address(server, {"Host": f"localhost:{port}"}).startswith(f"http://localhost:{port}/alice/")
    assert commit_address(server).startswith(server.url)


def test_forwarded_headers_are_nobodys_word_unless_a_proxy_is_configured(server):
    assert commit_address(server, FORWARDED).startswith(server.url)


def test_a_configured_proxy_is_believed(tmp_path):
    server = new_server(tmp_path)
    server.environment["MODELCENTER_TRUSTED_PROXIES"] = "1"
    server.start()
    try:
        assert commit_address(server, FORWARDED) == "https://hub.example/alice/addressed"
    finally:
        server.kill()


def test_a_configured_address_comes_before_all(tmp_path):
    server = new_server(tmp_path)
    server.environment["MODELCENTER_EXTERNAL_URL"] = "https://models.example/"
    server.start()
    try:
        assert commit_address(server, FORWARDED) == "https://models.example/alice/addressed"
    finally:
        server.kill()


def test_a_taken_port_is_said_and_ends_the_process(tmp_path):
    server = new_server(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(AssertionError, match="did not say"):
        server.start(port=taken.getsockname()[1])
    assert server.join() == 1


def test_several_workers_share_one_hub(tmp_path):
    with running_server(tmp_path, workers=3) as server:
        for number in range(12):
            body = {"name": f"model-{number}"}
            assert server.request("POST", "/api/repos/create", server.token, json=body).status_code == 200
        for _ in range(6):
            assert len(server.get("/api/models?author=alice").json()) == 12


def test_answers_are_no_ones_to_cache_unasked(server):
    for path in ("/api/models", "/health", "/api/models/alice/none"):
        assert server.get(path).headers["Cache-Control"] == "private, no-cache"
