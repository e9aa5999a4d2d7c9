"""Git's `check-ignore` and `check-attr` are the oracle of what patterns mean."""

from __future__ import annotations

import itertools
import random
import subprocess
import time

import pytest

from modelcenter.errors import Invalid
from modelcenter.registry.gitattributes import Attributes
from modelcenter.registry.gitignore import Ignored
from tests.registry.test_objects import CLEAN

BOMB = "*a" * 14 + "b"
LINES = [
    *(
        "*",
        "*.txt",
        "a",
        "a/",
        "/a",
        "/a/",
        "a/b",
        "/a/b/",
        "a/*",
        "a/**",
        "**",
        "**/",
        "**/b",
        "a/**/b",
        "*/b",
    ),
    *(
        "**/a/**/b",
        "a/**/**/b",
        "?",
        "??",
        "a?b",
        "a*b",
        "*a*b*",
        "[ab]",
        "[!ab]",
        "[^a]*",
        "[a-c]",
        "[]a]",
        "[a-]",
    ),
    *(
        "[[:alpha:]]",
        "[[:upper:]x]",
        "[[:nope:]]",
        "[a",
        "[a/b]",
        "a[/]b",
        "\\a",
        "\\*",
        "\\[a]",
        "a\\",
        "[\\]]",
    ),
    *(
        "\\!a",
        "\\#a",
        "#a",
        "!a",
        "!*.txt",
        "!a/b",
        "!/a/",
        "a ",
        "a\\ ",
        "  a",
        "a.*",
        ".*",
        "*/",
        "*/*",
        "/*",
        "/",
    ),
    *(
        "//",
        "a//b",
        "***/b",
        "a/***",
        "**/**",
        "数据",
        "*据",
        "???",
        "[!x]*",
        "*[[:space:]]*",
        "[--/]",
        "a**b",
        "x**/b",
    ),
    *("**b", "b**", "*.b*", "/**/b", "a\r", "[[:digit:]-z]", "[a-[:digit:]]", "[[:x", "[[:]a]", BOMB),
]
NAMES = [
    "a",
    "b",
    "ab",
    "aab",
    "c.txt",
    ".b",
    "A",
    "1",
    "-",
    "a b",
    "a ",
    "!a",
    "#a",
    "*",
    "[a]",
    "]",
    "数据",
    "xb",
]
PATHS = [
    f"{folder}{name}" for folder in ("", "a/", "b/", "数据/", "a/b/", "a/x/y/", "b/a/a/") for name in NAMES
]
PATHS.append("a" * 60 + "c")


@pytest.fixture
def git(tmp_path):
    def ask(*command: str) -> list[str]:
        stdin = "".join(f"{path}\0" for path in PATHS)
        run = subprocess.run(
            ["git", *command, "-z", "--stdin", *(["filter"] if command[0] == "check-attr" else [])],
            cwd=tmp_path, env=CLEAN, input=stdin.encode(), capture_output=True, check=False,
        )  # fmt: skip
        return run.stdout.decode().split("\0")[:-1]

    subprocess.run(["git", "init", "-q"], cwd=tmp_path, env=CLEAN, check=True)
    return ask


def chosen() -> list[list[str]]:
    """Each line alone, with some that follow it, at random."""
    picks = random.Random(5)
    plain = [line for line in LINES if line != BOMB]  # Git itself needs minutes for that one
    return [plain[:1], *([line] for line in plain[1:]), *(picks.sample(plain, 4) for _ in range(20))]


def test_ignores_what_git_ignores(git, tmp_path):
    for lines in chosen():
        text = "\n".join(lines)
        (tmp_path / ".gitignore").write_text(text, newline="")
        ignored = Ignored(text.encode())
        ours = {path for path in PATHS if ignored.has(path)}
        assert ours == set(git("check-ignore", "--no-index")), lines


def test_finds_the_attributes_that_git_finds(git, tmp_path):
    values = itertools.cycle(
        ["filter=lfs", "filter=lfs -text", "-filter", "filter", "text", "filter=x filter=lfs"]
    )
    for lines in chosen():
        text = "\n".join(f"{line} {next(values)}" for line in lines)
        (tmp_path / ".gitattributes").write_text(text, newline="")
        attributes = Attributes(text.encode())
        answers = git("check-attr")
        theirs = {path for path, value in zip(answers[::3], answers[2::3], strict=True) if value == "lfs"}
        assert {path for path in PATHS if attributes.is_large(path)} == theirs, text


def test_a_line_that_backtracks_costs_no_more_than_another():
    long = "a" * 200 + "c"
    began = time.process_time()
    assert not Ignored(f"{BOMB}\n**/{BOMB}/**/{BOMB}".encode()).has(f"{long}/{long}")
    assert not Attributes(f"{BOMB} filter=lfs".encode()).is_large(long)
    assert time.process_time() - began < 1


def test_more_patterns_than_can_be_matched_in_time_are_refused():
    with pytest.raises(Invalid, match=r"\.gitignore have more than 32768"):
        Ignored(b"*a?b?c\n" * 10_000)
    with pytest.raises(Invalid, match=r"\.gitattributes has 5000000 bytes"):
        Attributes(b"#" * 5_000_000)
    many = b"".join(b"/file-%d filter=lfs\n" % number for number in range(10_000))
    assert Attributes(many).is_large("file-9999")
