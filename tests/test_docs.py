"""Documents that cannot lie: every command, setting and error is in them, and what they name exists."""

import re
import shlex
from pathlib import Path

import click
import pytest

from modelcenter import errors
from modelcenter.cli import cli

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def commands(group: click.Group = cli, prefix: tuple[str, ...] = ()) -> dict[tuple[str, ...], click.Command]:
    """Every command by its words, groups not."""
    found: dict[tuple[str, ...], click.Command] = {}
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            found |= commands(command, (*prefix, name))
        else:
            found[*prefix, name] = command
    return found


def written() -> list[tuple[Path, str]]:
    """Every command line of `modelcenter` in the documents, of indented and fenced blocks."""
    pattern = re.compile(r"^(?: {4}|\$ )?(?:[^|\n#`]*\| *)?modelcenter +([a-z][^\n#|]*)", re.MULTILINE)
    return [
        (path, match[1]) for path in DOCUMENTS for match in pattern.finditer(blocks(path.read_text("utf-8")))
    ]


def blocks(text: str) -> str:
    """The indented and the fenced lines."""
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    indented = [line for line in text.splitlines() if line.startswith("    ")]
    return "\n".join([*fenced, *indented])


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_is_in_a_document_and_explains_itself(words):
    line = f"modelcenter {' '.join(words)}"
    assert any(line in path.read_text("utf-8") for path in DOCUMENTS), line
    command = commands()[words]
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{line} {parameter.opts[0]}"


def test_documents_hold_command_lines():
    assert len(written()) > 15


@pytest.mark.parametrize(("path", "line"), written(), ids=lambda value: getattr(value, "name", value))
def test_every_command_line_in_a_document_is_right(path, line):
    """Parsed as the command would, without running it."""
    words = shlex.split(line)
    group: click.Command = cli
    context = click.Context(cli)
    while isinstance(group, click.Group):
        command = group.get_command(context, words[0])
        assert command is not None, f"{path.name}: modelcenter {line}"
        group, words = command, words[1:]
    # Folders that only the reader has stand for any.
    words = ["." if word.startswith(("./", "model_cards")) else word for word in words]
    group.make_context("modelcenter", words)


@pytest.mark.parametrize("chinese", [False, True])
def test_both_readmes_show_the_same_commands(chinese):
    first, second = (ROOT / "README.md").read_text("utf-8"), (ROOT / "README.zh.md").read_text("utf-8")
    verbs = re.compile(r"^    (modelcenter(?: admin)? [a-z-]+|make \w+|pip install \S+)", re.MULTILINE)
    assert verbs.findall(first) == verbs.findall(second)


def test_every_setting_is_documented():
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    pattern = re.compile(r"""environ(?:\.get\(|\[)\s*"([A-Z_]+)\"""")
    sources = ROOT.glob("modelcenter/**/*.py")  # hub_web is given its settings
    names = {name for source in sources for name in pattern.findall(source.read_text("utf-8"))}
    assert {"MODELCENTER_DATA", "DATABASE_URL", "MODELCENTER_ENDPOINT"} <= names
    missing = sorted(name for name in names if f"`{name}`" not in text)
    assert not missing


def test_every_error_has_a_code_of_its_own_and_a_line_in_its_document():
    text = (ROOT / "docs" / "errors.md").read_text("utf-8")
    base = errors.ModelCenterError
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, base)]
    codes = [kind.code for kind in kinds]
    assert len(codes) == len(set(codes)), sorted(code for code in codes if codes.count(code) > 1)
    lines = [
        f"| `{kind.code}` | `{kind.__name__}` | {(kind.__doc__ or '').splitlines()[0]} |" for kind in kinds
    ]
    assert [line for line in lines if line not in text] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text("utf-8")):
        assert (path.parent / target).exists(), target


def test_the_makefile_explains_its_targets():
    text = (ROOT / "Makefile").read_text("utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert phony
    for target in phony[1].split():
        assert re.search(rf"^{target}:.*## \S", text, re.MULTILINE), target
