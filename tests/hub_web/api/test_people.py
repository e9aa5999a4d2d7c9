"""Likes, and what is told of people and organisations."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from modelcenter.registry import accounts, organizations


def like(server, repo: str, token: str | None, method: str = "POST") -> int:
    return server.request(method, f"/api/models/{repo}/like", token).status_code


def test_likes_are_counted_once_each(server, api, bob, anonymous, repo):
    for _ in range(2):
        assert like(server, repo, server.token) == 200
    assert like(server, repo, server.other_token) == 200
    assert like(server, repo, server.read_token) == 403
    assert like(server, repo, None) == 401
    assert api.model_info(repo).likes == 2
    assert [user.username for user in anonymous.list_repo_likers(repo)] == ["bob", "alice"]
    assert repo in anonymous.list_liked_repos("bob").models
    bob.unlike(repo)
    bob.unlike(repo)
    assert api.model_info(repo).likes == 1
    assert repo not in bob.list_liked_repos().models
    with pytest.raises(RepositoryNotFoundError):
        bob.unlike("alice/missing")


def test_likes_at_once_are_all_counted(server, api, repo):
    people = 12
    with server.hub() as hub, hub.database.transaction() as session:
        found = [
            accounts.create_user(session, f"{repo.replace('/', '-')}-{number}") for number in range(people)
        ]
        tokens = [accounts.create_token(session, account, scope="write") for account in found]
    with ThreadPoolExecutor(people) as pool:
        assert set(pool.map(lambda token: like(server, repo, token), tokens * 2)) == {200}
    assert api.model_info(repo).likes == people
    pages = list(server.pages(f"/api/models/{repo}/likers?limit=5"))
    assert [len(page) for page in pages] == [5, 5, 2]
    with ThreadPoolExecutor(people) as pool:
        list(pool.map(lambda token: like(server, repo, token, "DELETE"), tokens[:7] * 2))
    assert api.model_info(repo).likes == people - 7


def test_what_is_private_is_liked_unseen(server, api, bob, repo):
    like(server, repo, server.token)
    like(server, repo, server.other_token)
    api.update_repo_settings(repo, private=True)
    assert repo in api.list_liked_repos("bob").models
    assert repo not in bob.list_liked_repos("bob").models
    with pytest.raises(RepositoryNotFoundError):
        list(bob.list_repo_likers(repo))
    assert like(server, repo, server.other_token) == 404


def test_people_and_organisations(server, api, anonymous, repo):
    api.create_discussion(repo, "Hello")
    with server.hub() as hub, hub.database.transaction() as session:
        name = "org-" + repo.partition("/")[2]
        alice = accounts.actor_of(session, accounts.find(session, "alice"))
        organizations.create(session, alice, name, fullname="Some people")
    user = anonymous.get_user_overview("alice")
    assert (user.username, user.fullname, user.user_type) == ("alice", "Alice Liddell", "user")
    assert user.num_models >= 1
    assert user.num_discussions >= 1
    assert name in [organization.name for organization in user.orgs]
    organization = anonymous.get_organization_overview(name)
    assert (organization.name, organization.fullname, organization.num_users) == (name, "Some people", 1)
    assert [member.username for member in anonymous.list_organization_members(name)] == ["alice"]
    assert list(anonymous.list_organization_followers(name)) == []
    assert list(anonymous.list_user_followers("alice")) == list(anonymous.list_user_following("alice")) == []
    for call in (anonymous.get_user_overview, anonymous.get_organization_overview):
        with pytest.raises(HfHubHTTPError, match="404"):
            call("nobody-here")
    with pytest.raises(HfHubHTTPError, match="404"):
        anonymous.get_user_overview(name)
