"""Organisations and tokens over the API: who may change them, and what they are then good for."""

from __future__ import annotations

import itertools

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from modelcenter.registry import accounts

ORGANIZATIONS, TOKENS = "/api/modelcenter/organizations", "/api/modelcenter/tokens"
numbers = itertools.count()


@pytest.fixture
def tokens(server):
    """Tokens of scope admin, of alice and of bob."""
    with server.hub() as hub, hub.database.transaction() as session:
        return {
            name: accounts.create_token(session, accounts.find(session, name), scope="admin")
            for name in ("alice", "bob")
        }


@pytest.fixture
def lab(server, tokens):
    """A new organisation of alice's."""
    name = f"Lab-{next(numbers)}-{server.settings.database_url[:3]}"
    made = server.request("POST", ORGANIZATIONS, tokens["alice"], json={"name": name, "fullname": "The Lab"})
    assert made.status_code == 201, made.text
    return name


def role(server, token, lab, member, value) -> int:
    place = f"{ORGANIZATIONS}/{lab}/members/{member}"
    if value is None:
        return server.request("DELETE", place, token).status_code
    return server.request("PUT", place, token, json={"role": value}).status_code


def test_members_come_change_and_go(server, api, bob, tokens, lab):
    api.create_repo(f"{lab}/private", private=True)
    with pytest.raises(RepositoryNotFoundError):
        bob.model_info(f"{lab}/private")
    assert role(server, tokens["bob"], lab, "bob", "admin") == 403
    assert role(server, server.token, lab, "bob", "read") == 403  # of scope write
    assert role(server, tokens["alice"], lab, "bob", "king") == 400
    assert role(server, tokens["alice"], lab, "nobody", "read") == 404
    assert role(server, tokens["alice"], lab, "bob", "read") == 200
    assert bob.model_info(f"{lab}/private").private
    assert [(org["name"], org["roleInOrg"]) for org in bob.whoami()["orgs"] if org["name"] == lab] == [
        (lab, "read")
    ]
    members = server.get(f"/api/organizations/{lab}/members", server.other_token).json()
    assert [(member["user"], member["role"]) for member in members] == [("alice", "admin"), ("bob", "read")]
    assert "role" not in server.get(f"/api/organizations/{lab}/members").json()[0]
    assert role(server, tokens["bob"], lab, "bob", None) == 200  # whoever belongs may leave
    assert role(server, tokens["bob"], lab, "bob", None) == 404
    assert role(server, tokens["alice"], lab, "bob", None) == 404
    with pytest.raises(RepositoryNotFoundError):
        bob.model_info(f"{lab}/private")


def test_names_have_an_end(server, tokens):
    body = {"name": f"long-{next(numbers)}", "fullname": "名" * 201}
    refused = server.request("POST", ORGANIZATIONS, tokens["alice"], json=body)
    assert refused.status_code == 400
    assert "200" in refused.json()["error"]


def test_the_last_administrator_stays(server, tokens, lab):
    for value in (None, "write"):
        assert role(server, tokens["alice"], lab, "alice", value) == 400
    assert role(server, tokens["alice"], lab, "bob", "admin") == 200
    assert role(server, tokens["alice"], lab, "alice", None) == 200
    assert role(server, tokens["bob"], lab, "bob", None) == 400


def test_new_repositories_are_private_where_the_organisation_says_so(server, api, tokens, lab):
    place = f"{ORGANIZATIONS}/{lab}/settings"
    for token, status in ((None, 401), (tokens["bob"], 403), (server.token, 403), (tokens["alice"], 200)):
        answer = server.request("PUT", place, token, json={"privateByDefault": True})
        assert answer.status_code == status, answer.text
    api.create_repo(f"{lab}/m")
    assert api.model_info(f"{lab}/m").private
    assert server.request("PUT", place, tokens["alice"], json={"privateByDefault": 1}).status_code == 400


def test_a_token_is_good_for_its_resources_alone(server, api, tokens, lab):
    for name in ("one", "two"):
        api.create_repo(f"{lab}/{name}", private=True)
    api.create_repo(f"{lab}/open")
    made = server.request(
        "POST",
        TOKENS,
        tokens["alice"],
        json={"name": "ci", "scope": "write", "resources": [f"{lab.upper()}/one"], "expiresAt": "2099-01-01"},
    )
    limited = HfApi(endpoint=server.url, token=made.json()["token"])
    assert limited.whoami()["auth"]["accessToken"] == {
        "displayName": "ci",
        "role": "write",
        "resources": [f"{lab.lower()}/one"],
    }
    assert [org["name"] for org in limited.whoami()["orgs"]] == [lab]
    own = {"name": "own", "resources": ["alice"]}
    own = server.request("POST", TOKENS, tokens["alice"], json=own).json()["token"]
    assert server.get("/api/whoami-v2", own).json()["orgs"] == []
    limited.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=f"{lab}/one")
    assert limited.model_info(f"{lab}/open").id == f"{lab}/open"
    with pytest.raises(RepositoryNotFoundError, match="limited to"):
        limited.model_info(f"{lab}/two")
    for act in (
        lambda: limited.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=f"{lab}/open"),
        lambda: limited.create_repo(f"{lab}/three"),
        lambda: limited.create_discussion(f"{lab}/open", title="Hello"),
    ):
        with pytest.raises(HfHubHTTPError, match="limited to") as raised:
            act()
        assert raised.value.response.status_code == 403
    seen = {model.id for model in limited.list_models(author=lab)}
    assert seen == {f"{lab}/one", f"{lab}/open"}
    assert server.get(TOKENS, made.json()["token"]).status_code == 403


def test_tokens_are_listed_and_taken_back(server, tokens):
    made = server.request("POST", TOKENS, tokens["bob"], json={"name": "short"}).json()["token"]
    assert server.get("/api/whoami-v2", made).json()["auth"]["accessToken"]["role"] == "read"
    listed = server.get(TOKENS, tokens["bob"]).json()
    assert made not in str(listed)
    (mine,) = [token for token in listed if token["hint"] == made[-4:]]
    assert (mine["name"], mine["scope"], mine["resources"]) == ("short", "read", None)
    assert server.request("DELETE", f"{TOKENS}/{mine['id']}", tokens["alice"]).status_code == 404
    assert server.request("DELETE", f"{TOKENS}/{mine['id']}", tokens["bob"]).status_code == 200
    assert server.get("/api/whoami-v2", made).status_code == 401
    for body in (
        {"name": ""},
        {"name": "x", "scope": "all"},
        {"name": "x", "expiresAt": "2001-01-01"},
        {"name": "x", "expiresAt": "soon"},
        {"name": "x", "expiresAt": "9999-12-31T23:59:59-10:00"},
        {"name": "x", "expiresAt": "0001-01-01T00:00:00+10:00"},
        {"name": "x", "resources": []},
        {"name": "x", "resources": "bob"},
        {"name": "x", "resources": ["bob/m/n"]},
    ):
        assert server.request("POST", TOKENS, tokens["bob"], json=body).status_code == 400, body
    for resource in ("nobody", "bob/nothing"):
        unknown = server.request("POST", TOKENS, tokens["bob"], json={"name": "x", "resources": [resource]})
        assert unknown.status_code == 404


def test_a_disabled_account_is_nobodys(server, api, tokens):
    with server.hub() as hub:
        for disabled, status in ((True, 401), (False, 200)):
            with hub.database.transaction() as session:
                accounts.disable(session, accounts.find(session, "bob"), disabled=disabled)
            assert server.get("/api/whoami-v2", server.other_token).status_code == status
