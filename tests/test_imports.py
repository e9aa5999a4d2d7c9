"""What importing costs: each door is tried in a process of its own, which tells what it imported."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from modelcenter import families

HEAVY = ("torch", "transformers", "flask", "sqlalchemy", "huggingface_hub", "rich", "click", "numpy")


def imported(program: str, *arguments: str) -> set[str]:
    """The top-level modules that `program` leaves imported."""
    program += "\nimport json, sys\nprint('\\n' + json.dumps(sorted(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True, timeout=120
    )
    return {name.partition(".")[0] for name in json.loads(run.stdout.splitlines()[-1])}


def test_importing_the_package_imports_nothing_heavy():
    assert imported("import modelcenter").isdisjoint(HEAVY)


def test_importing_the_package_costs_less_than_a_twentieth_of_a_second():
    """Counted by the interpreter: the package and whatever it imports that an empty program does not."""
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import modelcenter"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    line = next(line for line in run.stderr.splitlines() if line.rpartition("|")[2].strip() == "modelcenter")
    cumulative_microseconds = int(line.split("|")[1])
    assert cumulative_microseconds < 50_000


def test_public_names_are_listed_and_found():
    program = """
import modelcenter
assert {"load", "save", "verify", "Hub"} <= set(dir(modelcenter))
assert callable(modelcenter.Hub) and callable(modelcenter.verify)
try:
    modelcenter.nothing
except AttributeError as error:
    assert "nothing" in str(error)
else:
    raise SystemExit("an unknown name was found")
"""
    assert imported(program).isdisjoint({"torch", "flask"})


def test_the_loader_is_a_function_that_imports_torch_when_it_is_called():
    found = imported("from modelcenter import load\nassert callable(load) and not hasattr(load, '__path__')")
    assert found.isdisjoint({"torch", "flask", "sqlalchemy"})


def test_the_loader_at_work_imports_no_web_and_no_database():
    program = """
import torch, modelcenter.loading, modelcenter.generation, modelcenter.tokenizers
"""
    assert imported(program).isdisjoint({"flask", "werkzeug", "sqlalchemy", "alembic", "dulwich"})


@pytest.mark.parametrize("module", ["hub_web.app", "hub_web.serve", "hub_web.worker"])
def test_the_hub_imports_no_torch(module):
    found = imported(f"import {module}")
    assert "flask" in found or module == "hub_web.worker"
    assert found.isdisjoint({"torch", "transformers", "tokenizers"})


def test_the_registry_imports_no_web_and_no_torch():
    program = """
import importlib, pkgutil, modelcenter.registry as registry
for module in pkgutil.walk_packages(registry.__path__, "modelcenter.registry."):
    if "._migrations" not in module.name:
        importlib.import_module(module.name)
"""
    assert imported(program).isdisjoint({"flask", "werkzeug", "torch", "transformers"})


def test_verifying_imports_no_torch(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    program = """
import sys
from modelcenter.cli import cli
try:
    cli(["verify", sys.argv[1]])
except SystemExit as stop:
    assert stop.code == 1
"""
    found = imported(program, str(tmp_path))
    assert found.isdisjoint({"torch", "flask", "sqlalchemy", "transformers"})


def test_help_of_the_command_imports_neither_torch_nor_hub():
    program = """
from modelcenter.cli import cli
try:
    cli(["--help"])
except SystemExit:
    pass
"""
    assert imported(program).isdisjoint({"torch", "flask", "sqlalchemy", "huggingface_hub"})


FOLDER = Path(families.__path__[0])
OWN = {
    path.stem: source for path in FOLDER.glob("*.py") if "\nFAMILY = " in (source := path.read_text("utf-8"))
}


@pytest.mark.parametrize("name", sorted(OWN))
def test_a_family_knows_one_other_at_most(name: str):
    """What three share lives in the files that are no family's: see docs/architecture.md."""
    imports = [node for node in ast.walk(ast.parse(OWN[name])) if isinstance(node, ast.ImportFrom)]
    package = families.__name__
    known = {str(node.module).removeprefix(f"{package}.") for node in imports if node.module != package}
    known |= {alias.name for node in imports if node.module == package for alias in node.names}
    assert len(known & OWN.keys()) <= 1, known & OWN.keys()
