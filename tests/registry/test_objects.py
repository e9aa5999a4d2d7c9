"""Git's own programs are the oracle: the same content must have the same ids."""

from __future__ import annotations

import io
import os
import random
import subprocess
from collections.abc import Collection
from datetime import UTC, datetime

import pytest

from modelcenter.registry import objects
from modelcenter.registry.objects import EMPTY_TREE, FILE, FOLDER, Encoded, Item
from modelcenter.registry.trees import Folder, changed_paths

CLEAN = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/nonexistent"}


@pytest.fixture
def git(tmp_path):
    """Runs a git command in an empty repository."""

    def run(*arguments, data: bytes = b"", **environment: str) -> str:
        found = subprocess.run(
            ["git", *arguments],
            cwd=tmp_path,
            input=data,
            capture_output=True,
            check=True,
            env={**CLEAN, **environment},
        )
        return found.stdout.decode().rstrip("\n")

    run("init", "-q")
    return run


@pytest.mark.parametrize("data", [b"", b"hello\n", "对话".encode(), bytes(range(256)) * 9000])
def test_file_ids_are_gits(git, data):
    expected = git("hash-object", "--stdin", data=data)
    assert objects.file_oid(data) == expected
    assert objects.stream_oid(io.BytesIO(data), len(data)) == expected


def test_the_empty_tree_is_gits(git):
    assert git("mktree") == EMPTY_TREE == objects.encode_tree({}).oid


@pytest.mark.parametrize(
    "names",
    [
        ["a", "a.b", "a/"],
        ["a/", "a-", "a.", "a0"],
        ["模型", "a", "Z", "z/", "é/"],
        ["a b", 'a"b', "a/"[:-1] + "~"],
    ],
)
def test_tree_ids_are_gits_in_gits_order(git, names):
    content = git("hash-object", "-w", "--stdin", data=b"x")
    folder = git("mktree")
    items = {
        name.rstrip("/"): Item(FOLDER, folder) if name.endswith("/") else Item(FILE, content)
        for name in names
    }
    lines = "".join(
        f"{'040000 tree' if item.is_folder else '100644 blob'} {item.oid}\t{name}\0"
        for name, item in items.items()
    )
    encoded = objects.encode_tree(items)
    assert encoded.oid == git("mktree", "-z", data=lines.encode())
    assert objects.decode_tree(encoded.data) == items


def test_modes_survive(git):
    content = git("hash-object", "-w", "--stdin", data=b"x")
    items = {"run": Item(0o100755, content), "link": Item(0o120000, content), "file": Item(FILE, content)}
    lines = "".join(f"{item.mode:06o} blob {item.oid}\t{name}\0" for name, item in items.items())
    assert objects.encode_tree(items).oid == git("mktree", "-z", data=lines.encode())
    assert objects.decode_tree(objects.encode_tree(items).data) == items


@pytest.mark.parametrize("message", ["initial commit", "标题\n\nbody\n", "two\nlines"])
@pytest.mark.parametrize("parents", [0, 1, 2])
def test_commit_ids_are_gits(git, message, parents):
    moment = datetime(2026, 3, 1, 8, 30, 5, tzinfo=UTC)
    environment = {
        "GIT_AUTHOR_NAME": "Ann",
        "GIT_AUTHOR_EMAIL": "ann@x",
        "GIT_AUTHOR_DATE": "1772353805 +0000",
    }
    environment |= {name.replace("AUTHOR", "COMMITTER"): value for name, value in environment.items()}
    above = [git("commit-tree", EMPTY_TREE, data=str(n).encode(), **environment) for n in range(parents)]
    options = [option for parent in above for option in ("-p", parent)]
    expected = git("commit-tree", EMPTY_TREE, *options, data=message.encode(), **environment)
    assert objects.encode_commit(EMPTY_TREE, above, "Ann <ann@x>", moment, message).oid == expected


def test_tag_ids_are_gits(git):
    moment = datetime(2026, 3, 1, 8, 30, 5, tzinfo=UTC)
    commit = objects.encode_commit(EMPTY_TREE, [], "Ann <ann@x>", moment, "first")
    assert git("hash-object", "-t", "commit", "-w", "--stdin", data=commit.data) == commit.oid
    text = f"object {commit.oid}\ntype commit\ntag v1\ntagger Ann <ann@x> 1772353805 +0000\n\nthe first\n"
    expected = git("mktag", data=text.encode())
    assert objects.encode_tag("v1", commit.oid, "Ann <ann@x>", moment, "the first\n").oid == expected


def test_pointers_are_those_of_git_lfs():
    found = objects.pointer("0" * 64, 123)
    expected = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 123\n"
    assert found == expected.encode()


class Store(dict[str, dict[str, Item]]):
    """Trees by id, as the registry keeps them."""

    def load(self, oid: str) -> dict[str, Item]:
        return {} if oid == EMPTY_TREE else self[oid]

    def load_all(self, oids: Collection[str]) -> dict[str, dict[str, Item]]:
        return {oid: self.load(oid) for oid in oids}

    def keep(self, trees: list[Encoded]) -> None:
        self.update({encoded.oid: objects.decode_tree(encoded.data) for encoded in trees})

    def files(self, oid: str, folder: str = "") -> dict[str, str]:
        found: dict[str, str] = {}
        for name, item in self.load(oid).items():
            if item.is_folder:
                found |= self.files(item.oid, f"{folder}{name}/")
            else:
                found[folder + name] = item.oid
        return found


@pytest.mark.parametrize("seed", range(20))
def test_edited_trees_are_those_that_git_writes_of_the_same_files(git, seed):
    """Random edits, each checked against a dictionary of files, in the end against Git's index."""
    chance = random.Random(seed)
    names = ["a", "a.b", "a-", "b", "c"]
    store, root = Store(), EMPTY_TREE
    files: dict[str, str] = {}
    for _ in range(6):
        before, editor = dict(files), Folder(store.load, root)
        for _ in range(chance.randint(1, 8)):
            path = "/".join(chance.choice(names) for _ in range(chance.randint(1, 3)))
            if chance.random() < 0.4:
                below = [name for name in files if name == path or name.startswith(f"{path}/")]
                assert editor.remove(path) == bool(below)
                for name in below:
                    del files[name]
                continue
            above = any(path.startswith(f"{name}/") for name in files)
            if above or any(name.startswith(f"{path}/") for name in files):
                with pytest.raises(Exception, match="cannot be added"):
                    editor.put(path, Item(FILE, EMPTY_TREE))
                continue
            files[path] = objects.file_oid(bytes([chance.randint(0, 3)]))
            editor.put(path, Item(FILE, files[path]))
        old = root
        root, trees = editor.write()
        store.keep(trees)
        assert store.files(root) == files
        changed = {
            f"{folder}/{name}" if folder else name
            for folder, name in changed_paths(store.load_all, old, root)
        }
        different = {path for path in before.keys() | files.keys() if before.get(path) != files.get(path)}
        gone = {path for path in different if path not in files}
        assert {path for path in different if path in files} <= changed
        assert all(any(path == name or path.startswith(f"{name}/") for name in changed) for path in gone)
    index = "".join(f"100644 {oid}\t{path}\0" for path, oid in files.items())
    git("update-index", "-z", "--index-info", data=index.encode())
    assert root == git("write-tree", "--missing-ok")


def test_editing_reads_only_the_folders_it_touches():
    store, editor = Store(), Folder(lambda _: {})
    for folder in range(50):
        editor.put(f"folder{folder}/deep/file", Item(FILE, objects.file_oid(str(folder).encode())))
    root, trees = editor.write()
    store.keep(trees)
    read: list[str] = []

    def load(oid: str) -> dict[str, Item]:
        read.append(oid)
        return store.load(oid)

    editor = Folder(load, root)
    editor.put("folder7/deep/more", Item(FILE, EMPTY_TREE))
    assert editor.get("folder7/deep/more") == Item(FILE, EMPTY_TREE)
    _, new = editor.write()
    assert len(new) == 3
    assert len(read) == 3
