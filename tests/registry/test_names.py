from __future__ import annotations

import pytest
from huggingface_hub import CommitOperationAdd
from huggingface_hub.utils._validators import validate_repo_id

from modelcenter.errors import Invalid, RepositoryNotFound
from modelcenter.registry.names import check_path, key_of, split_id


@pytest.mark.parametrize(
    "path",
    [
        "a",
        "a/b/c.txt",
        "模型/对话 1.bin",
        ".gitattributes",
        ".gitignore",
        "..a",
        "a..",
        "a/.github/x",
        "a/...",
        "é" * 127,
    ],
)
def test_paths_that_can_be(path):
    assert check_path(path) == path
    CommitOperationAdd(path, b"")  # the client agrees


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/a",
        "a/",
        "a//b",
        "..",
        "../a",
        "a/../b",
        ".",
        "a/./b",
        ".git",
        "a/.git/config",
        ".GIT/hooks",
        "a/.Git",
        ".git /x",
        ".git./x",
        "git~1/x",
        "a\x00b",
        "a\nb",
        "a\tb",
        "a\x7f",
        "a\\b",
        "..\\..\\x",
        "\ud800",
        "x" * 256,
        "é" * 128,
        "/".join(["x" * 200] * 6),
    ],
)
def test_paths_that_cannot_be(path):
    with pytest.raises(Invalid):
        check_path(path)


@pytest.mark.parametrize(
    "repo_id", ["ann/m", "Ann/Model-1.5_x", "01-ai/Yi", "a/b", "x" * 96 + "/" + "y" * 96]
)
def test_ids_are_split(repo_id):
    assert "/".join(split_id(repo_id)) == repo_id
    validate_repo_id(repo_id[:96])  # what the hub takes, the client takes


@pytest.mark.parametrize(
    "repo_id",
    ["m", "", "/", "a/", "/b", "a/b/c", "a/b.git", "a/b--c", "a/b..c", "a/模型", "a/b c", "a/" + "b" * 97],
)
def test_ids_that_cannot_be(repo_id):
    with pytest.raises(Invalid):
        split_id(repo_id)


@pytest.mark.parametrize("repo_id", ["gpt2", "", "a/b/c", "a/模型", "a/\x00", "a/b\n"])
def test_what_names_no_repository_is_not_found(repo_id):
    with pytest.raises(RepositoryNotFound):
        key_of(repo_id)
