"""Repositories under other ids, and histories written again, as stock clients ask for them."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, RepositoryNotFoundError
from safetensors.numpy import save

fresh = (f"alice/moving-{number}" for number in itertools.count())


def test_everything_follows_a_repository_that_moved(api, repo, server, tmp_path):
    api.upload_file(path_or_fileobj=b"{}", path_in_repo="sub/配置.json", repo_id=repo)
    target = next(fresh)
    api.move_repo(from_id=repo, to_id=target)
    assert api.model_info(repo).id == target
    assert Path(api.hf_hub_download(repo, "sub/配置.json", cache_dir=tmp_path)).read_bytes() == b"{}"
    api.upload_file(path_or_fileobj=b"x", path_in_repo="x.txt", repo_id=repo)
    assert "x.txt" in api.list_repo_files(target)
    answer = server.get(f"/api/models/{repo}/tree/feature%2Fx?recursive=true")
    assert answer.status_code == 307
    assert answer.headers["Location"] == f"/api/models/{target}/tree/feature%2Fx?recursive=true"
    page = server.get(f"/{repo}")
    assert (page.status_code, page.headers["Location"]) == (307, f"/{target}")


def test_who_may_not_read_is_not_told_where_a_repository_went(api, bob, repo):
    api.update_repo_settings(repo, private=True)
    api.move_repo(from_id=repo, to_id=next(fresh))
    with pytest.raises(RepositoryNotFoundError):
        bob.model_info(repo)


def test_a_move_onto_a_taken_id_says_so(api, repo):
    other = next(fresh)
    api.create_repo(other)
    with pytest.raises(HfHubHTTPError, match=r"A model repository called .* already exists"):
        api.move_repo(from_id=repo, to_id=other)


def test_a_duplicate_has_its_own_life(api, repo):
    api.upload_file(path_or_fileobj=b"\0weights", path_in_repo="w.bin", repo_id=repo)
    target = next(fresh)
    assert api.duplicate_repo(repo, target, private=True).repo_id == target
    assert api.model_info(target).private
    assert {commit.commit_id for commit in api.list_repo_commits(repo)} == {
        commit.commit_id for commit in api.list_repo_commits(target)
    }
    with pytest.raises(HfHubHTTPError, match="409"):
        api.duplicate_repo(repo, target)
    assert api.duplicate_repo(repo, target, exist_ok=True).repo_id == target


def test_a_history_is_squashed(api, repo):
    api.upload_file(path_or_fileobj=b"1", path_in_repo="a.txt", repo_id=repo)
    api.create_branch(repo, branch="feature/x")
    api.super_squash_history(repo)
    api.super_squash_history(repo, branch="feature/x", commit_message="Only this")
    assert [commit.title for commit in api.list_repo_commits(repo)] == [
        "Super-squash branch 'main' using huggingface_hub"
    ]
    assert [commit.title for commit in api.list_repo_commits(repo, revision="feature/x")] == ["Only this"]
    assert set(api.list_repo_files(repo)) == {".gitattributes", "a.txt"}


def test_large_files_are_listed_and_deleted_for_good(api, repo, tmp_path):
    for name in ("a.bin", "b.bin"):
        api.upload_file(path_or_fileobj=f"\0{name}".encode(), path_in_repo=name, repo_id=repo)
    files = list(api.list_lfs_files(repo))
    assert {(file.filename, file.ref, file.size) for file in files} == {
        ("a.bin", "main", 6),
        ("b.bin", "main", 6),
    }
    api.permanently_delete_lfs_files(repo, [file for file in files if file.filename == "a.bin"])
    assert api.list_repo_files(repo) == [".gitattributes", "b.bin"]
    with pytest.raises(EntryNotFoundError):
        api.hf_hub_download(repo, "a.bin", cache_dir=tmp_path)


def test_storage_is_told_to_its_owner_alone(api, anonymous, repo, server):
    api.upload_file(path_or_fileobj=b"\0" * 1000, path_in_repo="w.bin", repo_id=repo)
    mine = {item.id: item for item in api.list_user_repos()}
    assert mine[repo].storage > 1000 and mine[repo].visibility == "public"
    with pytest.raises(HfHubHTTPError, match="401"):
        list(anonymous.list_user_repos())
    with pytest.raises(HfHubHTTPError, match="404"):
        list(HfApi(endpoint=server.url, token=server.other_token).list_user_repos(namespace="alice"))


def test_headers_of_all_shards_come_in_one_answer(api, repo):
    import numpy as np

    shards: dict[str, dict[str, Any]] = {
        "s-1.safetensors": {"a": np.ones((2, 3), np.float16)},
        "s-2.safetensors": {"b": np.ones(4)},
    }
    index: dict[str, Any] = {
        "metadata": {"total_size": 44},
        "weight_map": {name: shard for shard, tensors in shards.items() for name in tensors},
    }
    for shard, tensors in shards.items():
        api.upload_file(path_or_fileobj=save(tensors), path_in_repo=shard, repo_id=repo)
    api.upload_file(
        path_or_fileobj=json.dumps(index).encode(), path_in_repo="model.safetensors.index.json", repo_id=repo
    )
    found = api.get_sharded_safetensors_metadata(repo)
    assert found.weight_map == index["weight_map"] and found.metadata == {"total_size": 44}
    assert found.files_metadata["s-1.safetensors"].tensors["a"].shape == [2, 3]
    assert found == api.get_safetensors_metadata(repo)


def test_paths_that_leave_the_repository_are_unprocessable(api, repo):
    with pytest.raises(HfHubHTTPError) as error:
        api.upload_file(path_or_fileobj=b"x", path_in_repo="..\\out", repo_id=repo)
    assert error.value.response.status_code == 422


def test_cards_are_held_to_known_licences_and_results(api, server):
    for text, words in (
        ("license: asdf", '"license" must be one of'),
        ("model-index: foo", "model-index"),
    ):
        answer = server.request(
            "POST", "/api/validate-yaml", json={"content": f"\n---\n{text}\n---\n", "repoType": "model"}
        )
        assert answer.status_code == 400
        assert words in answer.json()["errors"][0]["message"]
