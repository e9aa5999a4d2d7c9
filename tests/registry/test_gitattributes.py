"""Git's `check-attr` is the oracle."""

from __future__ import annotations

import subprocess

import pytest

from modelcenter.registry.gitattributes import DEFAULT, Attributes, with_path
from tests.registry.test_objects import CLEAN

PATHS = [
    "model.safetensors",
    "sub/model.safetensors",
    "config.json",
    "README.md",
    "a.bin",
    "a.bin.json",
    "events.out.tfevents.123",
    "saved_model/x",
    "saved_model/a/b",
    "other/saved_model/x",
    "model.tar.gz",
    "Model.BIN",
    "x.lfs.y",
]
ODD = [
    "with space.dat",
    "sub/with space.dat",
    "star*.dat",
    "question?.dat",
    "[bracket].dat",
    "#hash",
    "!bang",
    '"quoted"',
    "模型/权重.数据",
    "plain",
    "deep/er/plain",
    "a'b",
    "-dash",
]


@pytest.fixture
def large(tmp_path):
    """Which of the paths Git itself takes for large, given the text of `.gitattributes`."""
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, env=CLEAN, check=True)

    def ask(text: bytes, paths: list[str]) -> dict[str, bool]:
        (tmp_path / ".gitattributes").write_bytes(text)
        found = subprocess.run(
            ["git", "check-attr", "-z", "--stdin", "filter"],
            cwd=tmp_path,
            env=CLEAN,
            input="".join(f"{path}\0" for path in paths).encode(),
            capture_output=True,
            check=True,
        ).stdout.decode()
        fields = found.split("\0")[:-1]
        return {path: value == "lfs" for path, value in zip(fields[::3], fields[2::3], strict=True)}

    return ask


@pytest.mark.parametrize(
    "text",
    [
        DEFAULT.encode(),
        b"",
        b"* filter=lfs\n*.json -filter\n",
        b"# comment\n\n/config.json filter=lfs diff=lfs merge=lfs -text\n",
        b"sub/** filter=lfs\r\n*.md filter=lfs\n",
        b"*.bin filter=lfs\n*.bin !filter\n",
    ],
)
def test_reads_patterns_as_git_does(large, text):
    attributes = Attributes(text)
    assert {path: attributes.is_large(path) for path in PATHS} == large(text, PATHS)


@pytest.mark.parametrize("path", ODD)
@pytest.mark.parametrize("text", [b"", b"*.txt text", DEFAULT.encode()])
def test_an_added_line_makes_that_file_large_and_no_other(large, text, path):
    grown = with_path(text, path)
    others = [other for other in [*ODD, *PATHS, f"elsewhere/{path}", f"{path}x"] if other != path]
    before, after = large(text, others), large(grown, others)
    assert large(grown, [path]) == {path: True}
    assert before == after
    assert Attributes(grown).is_large(path)
    assert {other: Attributes(grown).is_large(other) for other in others} == after
