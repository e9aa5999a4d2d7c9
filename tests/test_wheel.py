"""The wheel in a clean environment: what an editable install finds in the repository must be inside it."""

import os
import re
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built by the back end itself: nothing is fetched for it."""
    place = tmp_path_factory.mktemp("wheel")
    program = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    run = subprocess.run(
        [sys.executable, "-c", program, str(place)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return place / run.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory) -> Path:
    """An environment with the wheel and its extra `hub` alone: what is not declared is missing."""
    place = tmp_path_factory.mktemp("clean")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    python = place / "bin" / "python"
    install = ["install", "--quiet", "--constraint", str(ROOT / "constraints.txt"), f"{wheel}[hub]"]
    run = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python), *install],
        capture_output=True,
        text=True,
    )
    if run.returncode and "CI" not in os.environ:
        pytest.skip(f"The wheel's dependencies cannot be installed here: {run.stderr.splitlines()[-1:]}")
    assert run.returncode == 0, run.stderr
    return python


def test_the_wheel_holds_migrations_templates_and_static_files(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for pattern in (
        r"modelcenter/registry/_migrations/env\.py",
        r"modelcenter/registry/_migrations/versions/\w+\.py",
        r"hub_web/templates/\w+\.html",
        r"hub_web/static/style\.css",
        r"hub_web/translations/zh\w*/LC_MESSAGES/messages\.mo",
        r"modelcenter-[\d.]+\.dist-info/licenses/LICENSE",
    ):
        assert any(re.fullmatch(pattern, name) for name in names), pattern
    assert not any(name.startswith(("tests/", "model_cards/", "migrations/")) for name in names)


def test_the_hub_needs_no_torch(python):
    program = "import importlib.util as u; print([n for n in ('torch', 'transformers') if u.find_spec(n)])"
    assert run(python, "-c", program) == "[]\n"


def test_a_command_whose_extra_is_missing_says_how_to_install_it(python):
    run = subprocess.run(
        [python, "-c", "from modelcenter import load; load('/')"],
        cwd="/", env=environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 1
    assert "modelcenter[load]" in run.stderr


def test_the_clean_environment_takes_the_wheels_files(python):
    program = "import hub_web, modelcenter; print(modelcenter.__file__); print(hub_web.__file__)"
    places = run(python, "-c", program).split()
    assert all(Path(place).is_relative_to(python.parents[1]) for place in places), places


def test_the_wheel_serves_a_hub_without_the_repository(python, tmp_path):
    command = python.parent / "modelcenter"
    run(command, "admin", "create-user", "alice", "--data", str(tmp_path / "data"))
    token = run(
        command, "admin", "create-token", "alice", "--data", str(tmp_path / "data"), "--scope", "read"
    )
    assert re.fullmatch(r"\S+\n", token)
    process = subprocess.Popen(
        [command, "serve", "--data", str(tmp_path / "data"), "--port", "0"],
        cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        address = re.search(r"http://\S+", line)
        assert address, line
        for path in ("/health", "/models?lang=zh", "/static/style.css"):
            with urllib.request.urlopen(address[0] + path, timeout=30) as answer:
                assert answer.status == 200, path
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 0


def run(*command: object) -> str:
    """The output of a command that must succeed, run where the repository is not."""
    done = subprocess.run(
        [str(word) for word in command], cwd="/", env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def environment() -> dict[str, str]:
    """This environment without what would lead the command elsewhere."""
    prefixes = ("HF_", "MODELCENTER_", "PYTHON", "DATABASE_URL")
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
