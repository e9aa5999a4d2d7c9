"""Repositories, refs and histories, and who may see and change them."""

from __future__ import annotations

import itertools

import httpx2
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

fresh = (f"alice/own-{number}" for number in itertools.count())


def test_whoami_tells_account_and_token(api, server):
    me = api.whoami()
    assert (me["type"], me["name"], me["fullname"]) == ("user", "alice", "Alice Liddell")
    assert isinstance(me["orgs"], list)
    assert me["auth"]["accessToken"] == {"displayName": "alice's", "role": "write"}
    assert (
        HfApi(endpoint=server.url, token=server.read_token).whoami()["auth"]["accessToken"]["role"] == "read"
    )


def test_an_unknown_token_is_refused_with_the_words_clients_know(server):
    for token in ("mc_wrong", "hf_wrong", "x"):
        answer = server.get("/api/whoami-v2", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401
        assert answer.headers["X-Error-Message"] == "Invalid credentials in Authorization header"
        assert "X-Error-Code" not in answer.headers
    with pytest.raises(HfHubHTTPError, match="401") as refusal:
        HfApi(endpoint=server.url, token="mc_wrong").model_info("alice/none")
    assert not isinstance(refusal.value, RepositoryNotFoundError)


def test_a_token_is_also_taken_as_the_password_of_basic(server):
    answer = httpx2.get(f"{server.url}/api/whoami-v2", auth=("anything", server.token))
    assert answer.json()["name"] == "alice"


def test_a_new_repository_has_a_first_commit(api, server):
    repo = next(fresh)
    url = api.create_repo(repo)
    assert str(url) == f"{server.url}/{repo}"
    assert len(api.model_info(repo).sha) == 40
    assert [commit.title for commit in api.list_repo_commits(repo)] == ["initial commit"]
    assert api.list_repo_files(repo) == [".gitattributes"]


def test_creating_again_is_a_conflict_that_exist_ok_forgives(api, repo):
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_repo(repo)
    assert api.create_repo(repo, exist_ok=True).repo_id == repo
    assert api.create_repo(repo.upper().replace("ALICE", "alice"), exist_ok=True).repo_id == repo


def test_nobody_creates_in_anothers_name(bob, anonymous):
    with pytest.raises(HfHubHTTPError, match="403"):
        bob.create_repo("alice/stolen")
    with pytest.raises(HfHubHTTPError, match="401"):
        anonymous.create_repo("alice/stolen")


def test_a_site_admins_repository_makes_its_organisation(server):
    root = HfApi(endpoint=server.url, token=server.admin_token)
    root.create_repo("new-organisation/model")
    assert root.model_info("new-organisation/model").author == "new-organisation"


@pytest.mark.parametrize("name", ["alice/with--dashes", "alice/a..b", "alice/repo.git", "alice/中文"])
def test_a_name_that_clients_refuse_is_refused(server, name):
    owner, _, repo = name.partition("/")
    answer = server.request(
        "POST", "/api/repos/create", server.token, json={"name": repo, "organization": owner}
    )
    assert answer.status_code == 400
    assert repo.encode("unicode_escape").decode().split("\\")[0] in answer.json()["error"]


def test_a_deleted_repository_is_gone(api, repo):
    api.delete_repo(repo)
    assert not api.repo_exists(repo)
    with pytest.raises(RepositoryNotFoundError):
        api.delete_repo(repo)
    api.delete_repo(repo, missing_ok=True)


def test_ids_do_not_mind_case(api, repo):
    assert api.model_info(repo.upper().replace("ALICE", "Alice")).id == repo


def test_a_missing_repository_is_told_in_the_clients_classes(api, anonymous, tmp_path):
    for client in (api, anonymous):
        for ask in (
            lambda client=client: client.model_info("alice/none"),
            lambda client=client: client.model_info("gpt2"),
            lambda client=client: client.list_repo_files("alice/none"),
            lambda client=client: client.hf_hub_download("alice/none", "config.json", cache_dir=tmp_path),
            lambda client=client: client.list_repo_refs("gpt2"),
            lambda client=client: client.model_info("gpt2", revision="main"),
        ):
            with pytest.raises(RepositoryNotFoundError):
                ask()


def test_missing_repositories_answer_401_to_strangers_and_404_to_people(server):
    for path in (
        "/api/models/alice/none",
        "/api/models/gpt2",
        "/api/models/gpt2/tree/main",
        "/alice/none/resolve/main/config.json",
        "/gpt2/resolve/main/config.json",
    ):
        for token, status in ((None, 401), (server.token, 404)):
            answer = server.get(path, token)
            assert (answer.status_code, answer.headers["X-Error-Code"]) == (status, "RepoNotFound"), path
            assert answer.json()["error"]


def test_a_private_repository_looks_like_none(api, bob, anonymous, server, tmp_path):
    repo = next(fresh)
    api.create_repo(repo, private=True)
    api.upload_file(path_or_fileobj=b"secret", path_in_repo="a.txt", repo_id=repo)
    assert api.model_info(repo).private
    for client in (bob, anonymous):
        with pytest.raises(RepositoryNotFoundError):
            client.model_info(repo)
        with pytest.raises(RepositoryNotFoundError):
            client.hf_hub_download(repo, "a.txt", cache_dir=tmp_path)
        assert repo not in [model.id for model in client.list_models(author="alice")]
    assert repo in [model.id for model in api.list_models(author="alice")]
    for path in (f"/api/models/{repo}", f"/{repo}/resolve/main/a.txt", f"/api/models/{repo}/commits/main"):
        missing = server.get(path.replace(repo, "alice/none"), server.other_token)
        hidden = server.get(path, server.other_token)
        assert hidden.status_code == missing.status_code == 404
        assert hidden.json()["error"].replace(repo, "alice/none") == missing.json()["error"]
    assert server.request("DELETE", f"/api/models/{repo}/branch/dev", server.other_token).status_code == 404


def test_visibility_can_be_changed(api, anonymous, repo):
    api.update_repo_settings(repo, private=True)
    with pytest.raises(RepositoryNotFoundError):
        anonymous.model_info(repo)
    api.update_repo_settings(repo, private=False)
    assert anonymous.model_info(repo).private is False


def test_a_gated_repository_is_seen_and_not_read(api, bob, anonymous, repo, server, tmp_path):
    api.upload_file(path_or_fileobj=b"weights", path_in_repo="w.txt", repo_id=repo)
    api.update_repo_settings(repo, gated="manual")
    for client, token, status in ((bob, server.other_token, 403), (anonymous, None, 401)):
        assert client.model_info(repo).gated == "manual"
        with pytest.raises(GatedRepoError, match="Access to model"):
            client.hf_hub_download(repo, "w.txt", cache_dir=tmp_path)
        for path in (
            f"/{repo}/resolve/main/w.txt",
            f"/api/models/{repo}/tree/main",
            f"/{repo}/blob/main/w.txt",
        ):
            answer = server.get(path, token)
            assert answer.status_code in (status, 403)
            assert b"weights" not in answer.content
    assert api.hf_hub_download(repo, "w.txt", cache_dir=tmp_path)
    api.update_repo_settings(repo, gated=False)
    assert bob.hf_hub_download(repo, "w.txt", cache_dir=tmp_path)


def test_reading_is_no_right_to_write(bob, anonymous, repo, server):
    eyes = HfApi(endpoint=server.url, token=server.read_token)
    for client, status in ((bob, "403"), (eyes, "403"), (anonymous, "401")):
        for act in (
            lambda client=client: client.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=repo),
            lambda client=client: client.delete_repo(repo),
            lambda client=client: client.create_branch(repo, branch="dev"),
            lambda client=client: client.create_tag(repo, tag="v1"),
            lambda client=client: client.update_repo_settings(repo, private=True),
        ):
            with pytest.raises(HfHubHTTPError, match=status):
                act()


def test_branches_come_and_go(api, repo):
    api.create_branch(repo, branch="feature/x")
    with pytest.raises(HfHubHTTPError, match="409") as refusal:
        api.create_branch(repo, branch="feature/x")
    assert "Reference refs/heads/feature/x already exists" in str(refusal.value)
    api.create_branch(repo, branch="feature/x", exist_ok=True)
    api.upload_file(path_or_fileobj=b"dev", path_in_repo="d/a.txt", repo_id=repo, revision="feature/x")
    branches = {
        branch.name: branch for branch in api.list_repo_refs(repo, include_pull_requests=True).branches
    }
    assert branches.keys() == {"main", "feature/x"}
    assert branches["feature/x"].ref == "refs/heads/feature/x"
    assert branches["feature/x"].target_commit == api.model_info(repo, revision="feature/x").sha
    assert branches["main"].target_commit != branches["feature/x"].target_commit
    assert api.file_exists(repo, "d/a.txt", revision="feature/x")
    assert not api.file_exists(repo, "d/a.txt")
    api.delete_branch(repo, branch="feature/x")
    with pytest.raises(RevisionNotFoundError):
        api.model_info(repo, revision="feature/x")
    with pytest.raises(HfHubHTTPError, match="404"):
        api.delete_branch(repo, branch="feature/x")
    with pytest.raises(HfHubHTTPError, match="403") as refusal:
        api.delete_branch(repo, branch="main")
    assert "Cannot delete refs/heads/main" in str(refusal.value)


def test_tags_name_commits(api, repo):
    first = api.model_info(repo).sha
    api.create_tag(repo, tag="v1", tag_message="The first")
    api.upload_file(path_or_fileobj=b"2", path_in_repo="a.txt", repo_id=repo)
    api.create_tag(repo, tag="v0", revision=first[:8])
    assert {tag.name: tag.target_commit for tag in api.list_repo_refs(repo).tags} == {
        "v0": first,
        "v1": first,
    }
    assert api.model_info(repo, revision="v1").sha == first
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_tag(repo, tag="v1")
    with pytest.raises(RevisionNotFoundError):
        api.create_tag(repo, tag="v2", revision="nowhere")
    api.delete_tag(repo, tag="v1")
    assert [tag.name for tag in api.list_repo_refs(repo).tags] == ["v0"]


def test_a_revision_may_be_named_in_every_way(api, repo):
    commit = api.upload_file(path_or_fileobj=b"1", path_in_repo="a.txt", repo_id=repo).oid
    for revision in ("main", commit, commit[:7], commit.upper(), "refs/heads/main"):
        assert api.model_info(repo, revision=revision).sha == commit
        assert api.file_exists(repo, "a.txt", revision=revision)
    for revision in ("nowhere", "0" * 40, commit[:6], "refs/heads/nowhere", "refs/pr/1"):
        with pytest.raises(RevisionNotFoundError):
            api.model_info(repo, revision=revision)


def test_a_history_comes_in_pages(api, repo, server):
    titles = [f"Change {number}" for number in range(5)]
    for title in titles:
        api.upload_file(path_or_fileobj=title.encode(), path_in_repo="a", repo_id=repo, commit_message=title)
    assert [commit.title for commit in api.list_repo_commits(repo)] == [*titles[::-1], "initial commit"]
    pages = list(server.pages(f"/api/models/{repo}/commits/main?limit=4"))
    assert [len(page) for page in pages] == [4, 2]
    seen = [commit["title"] for page in pages for commit in page]
    assert seen == [*titles[::-1], "initial commit"]
    (commit, *_) = api.list_repo_commits(repo, formatted=True)
    assert commit.formatted_title == "Change 4"


def test_a_tree_lists_folders_and_files(api, repo):
    api.upload_file(path_or_fileobj=b"1", path_in_repo="x/y/a.txt", repo_id=repo, commit_message="Deep")
    api.upload_file(path_or_fileobj=b"2", path_in_repo="b.txt", repo_id=repo, commit_message="Flat")
    assert {item.path for item in api.list_repo_tree(repo)} == {".gitattributes", "b.txt", "x"}
    assert {item.path for item in api.list_repo_tree(repo, "x")} == {"x/y"}
    everything = {item.path: item for item in api.list_repo_tree(repo, recursive=True, expand=True)}
    assert everything.keys() == {".gitattributes", "b.txt", "x", "x/y", "x/y/a.txt"}
    assert everything["x"].last_commit.title == everything["x/y/a.txt"].last_commit.title == "Deep"
    assert everything["b.txt"].last_commit.title == "Flat"
    for missing in ("nothing", "b.txt"):
        with pytest.raises(EntryNotFoundError):
            list(api.list_repo_tree(repo, missing))


def test_a_tree_comes_in_pages(api, repo, server):
    from huggingface_hub import CommitOperationAdd

    names = [f"f/{number:03}.txt" for number in range(60)]
    api.create_commit(repo, [CommitOperationAdd(name, b"x") for name in names], commit_message="Many")
    answer = server.get(f"/api/models/{repo}/tree/main/f?expand=true")
    assert len(answer.json()) == 50
    assert answer.links["next"]["url"].startswith(server.url)
    assert [item.path for item in api.list_repo_tree(repo, "f", expand=True)] == names
    everything = ["f", *names]
    for limit in (1, 7, 61):
        pages = server.pages(f"/api/models/{repo}/tree/main?recursive=true&limit={limit}")
        seen = [item["path"] for page in pages for item in page]
        assert seen == [".gitattributes", *everything]


def test_paths_are_looked_up_and_missing_ones_left_out(api, repo):
    api.upload_file(path_or_fileobj=b"1", path_in_repo="x/中文 a.txt", repo_id=repo, commit_message="Deep")
    found = api.get_paths_info(repo, ["x", "x/中文 a.txt", "none", "x/none"], expand=True)
    assert [(item.path, item.last_commit.title) for item in found] == [
        ("x", "Deep"),
        ("x/中文 a.txt", "Deep"),
    ]
    assert api.get_paths_info(repo, [f"{number}/{'y' * 900}" for number in range(1000)]) == []


def test_model_info_lists_files_with_their_blobs(api, repo):
    api.upload_file(path_or_fileobj=b"\0" * 1000, path_in_repo="a.bin", repo_id=repo)
    info = api.model_info(repo, files_metadata=True, securityStatus=True)
    (large,) = (sibling for sibling in info.siblings if sibling.rfilename == "a.bin")
    assert (large.size, large.lfs.size) == (1000, 1000)
    (entry,) = api.get_paths_info(repo, "a.bin")
    assert (large.blob_id, large.lfs.sha256) == (entry.blob_id, entry.lfs.sha256)
    assert info.used_storage == sum(sibling.size for sibling in info.siblings)


def test_properties_can_be_asked_for_alone(api, repo, server):
    info = api.model_info(repo, expand=["sha", "downloads", "gguf"])
    assert (len(info.sha), info.downloads, info.tags, info.siblings) == (40, 0, None, None)
    answer = server.get(f"/api/models/{repo}?expand=nonsense")
    assert answer.status_code == 400
    assert "nonsense" in answer.json()["error"]
