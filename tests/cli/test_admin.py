"""What is done beside a hub, on its data directory."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from modelcenter.cli import cli
from modelcenter.errors import InvalidToken, NotAuthenticated
from modelcenter.registry import accounts, repositories
from modelcenter.registry.accounts import authenticate_password, authenticate_token
from modelcenter.registry.hub import open_hub
from modelcenter.settings import Settings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def data(tmp_path, monkeypatch) -> Path:
    """A data directory that does not exist yet."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    return tmp_path / "new" / "data"


def run(*words: object, stdin: str | None = None) -> Result:
    result = CliRunner().invoke(cli, ["admin", *(str(word) for word in words)], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_a_user_is_created_in_a_directory_that_did_not_exist(data):
    assert run("create-user", "alice", "--data", data).exit_code == 0
    again = run("create-user", "Alice", "--data", data)
    assert again.exit_code == 1
    assert "already exists" in again.stderr


def test_a_token_is_all_that_is_printed_and_works(data):
    run("create-user", "alice", "--data", data, "--admin")
    result = run("create-token", "alice", "--data", data, "--scope", "write")
    assert re.fullmatch(r"\S+\n", result.stdout)
    hub = open_hub(Settings.from_environment(data))
    with hub.database.session() as session:
        actor = authenticate_token(session, result.stdout.strip())
        assert (actor.name, actor.scope, actor.is_admin) == ("alice", "write", True)
        with pytest.raises(InvalidToken):
            authenticate_token(session, "mc_wrong")
    hub.database.close()


def test_somebody_of_a_provider_is_linked_to_a_user_and_to_another(data):
    for name in ("alice", "bob"):
        run("create-user", name, "--data", data)
    who = ("https://login.example.org", "s-1", "--data", data)
    for name in ("alice", "bob"):
        assert run("link-identity", name, *who).exit_code == 0
        (row,) = json.loads(run("identities", "--data", data, "--json").stdout)
        assert row == {"user": name, "issuer": "https://login.example.org", "subject": "s-1"}
    assert "s-1" in run("identities", "--data", data).stdout
    assert run("link-identity", "alice", *who, "--undo").exit_code == 1
    assert run("link-identity", "bob", *who, "--undo").exit_code == 0
    assert json.loads(run("identities", "--data", data, "--json").stdout) == []
    assert run("link-identity", "nobody", *who).exit_code == 1


def test_a_password_is_replaced_from_stdin(data):
    run("create-user", "alice", "--data", data, "--password-stdin", stdin="old\n")
    assert run("set-password", "alice", "--data", data, stdin="").exit_code == 2
    assert run("set-password", "Alice", "--data", data, stdin="new 密码\n").exit_code == 0
    run("create-organization", "lab", "--admin", "alice", "--data", data)
    assert "passwords belong to people" in run("set-password", "lab", "--data", data, stdin="new\n").stderr
    hub = open_hub(Settings.from_environment(data))
    with hub.database.session() as session:
        assert authenticate_password(session, "alice", "new 密码").name == "alice"
        with pytest.raises(NotAuthenticated):
            authenticate_password(session, "alice", "old")
    hub.database.close()


def test_a_password_comes_from_stdin(data):
    assert (
        run("create-user", "alice", "--data", data, "--password-stdin", stdin="s3cret 密码\n").exit_code == 0
    )
    hub = open_hub(Settings.from_environment(data))
    with hub.database.session() as session:
        assert authenticate_password(session, "alice", "s3cret 密码").name == "alice"
        with pytest.raises(NotAuthenticated):
            authenticate_password(session, "alice", "another")
    hub.database.close()
    assert run("create-user", "bob", "--data", data, "--password-stdin", stdin="").exit_code == 2


def test_who_does_not_exist_gets_no_token(data):
    result = run("create-token", "nobody", "--data", data, "--scope", "read")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "nobody" in result.stderr


def test_migrating_twice_changes_nothing(data):
    assert run("migrate", "--data", data).exit_code == 0
    assert run("migrate", "--data", data).exit_code == 0


def test_the_password_of_a_database_is_not_shown(data, monkeypatch, sqlite_template):
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:hunter2@127.0.0.1:9/none")
    result = run("migrate", "--data", data)
    assert result.exit_code == 1
    assert "The database cannot be used" in result.stderr
    assert "hunter2" not in result.output


def test_seeding_again_changes_nothing(data):
    cards = ROOT / "model_cards"
    count = len(list(cards.glob("*/*/README.md")))
    assert run("seed", cards, "--data", data).stdout.startswith(f"{count} entries created")
    assert f" {count} unchanged" in run("seed", cards, "--data", data).stdout
    assert run("seed", "/nowhere", "--data", data).exit_code == 2


def test_the_data_directory_comes_from_the_environment_too(data, monkeypatch):
    monkeypatch.setenv("MODELCENTER_DATA", str(data))
    assert run("create-user", "alice").exit_code == 0
    assert (data / "modelcenter.sqlite3").is_file()


def test_serve_creates_what_is_missing_and_says_where_it_listens(data):
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    words = ["serve", "--data", str(data), "--host", "127.0.0.1", "--port", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "modelcenter.cli", *words],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        import urllib.request

        assert process.stdout is not None
        address = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert address
        with urllib.request.urlopen(f"{address[0]}/health", timeout=30) as answer:
            assert answer.status == 200
            assert json.load(answer)["status"] == "ok"
    finally:
        process.terminate()
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in said
    assert "Fatal" not in said


def test_a_port_in_use_is_an_error(data, live_hub):
    port = live_hub.url.rpartition(":")[2]
    result = subprocess.run(
        [sys.executable, "-m", "modelcenter.cli", "serve", "--data", str(data), "--port", port],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert result.returncode == 1
    assert port in result.stderr


def test_a_check_says_what_is_lost(data):
    run("create-user", "alice", "--data", data)
    hub = open_hub(Settings.from_environment(data))
    with hub.database.session() as session:
        alice = accounts.actor_of(session, accounts.find(session, "alice"))
    repositories.create(hub, alice, "alice/m")
    assert run("check", "--data", data).output == "Files looked for: 1. Lost: 0.\n"
    (sha256,) = hub.blobs
    path = hub.blobs.path(sha256)
    assert path is not None
    path.chmod(0o644)
    path.write_bytes(b"spoilt")
    result = run("check", "--data", data, "--deep")
    assert result.exit_code == 1
    assert re.search(f"{sha256} is stored as bytes of SHA-256 [0-9a-f]{{64}}: alice/m\n", result.output)
    assert result.output.endswith("Files read and hashed: 1. Lost: 1.\n")
    hub.database.close()


def test_a_quota_is_set_and_taken_away(data):
    run("create-user", "alice", "--data", data)
    found = run("set-quota", "alice", "1.5", "--data", data).output
    assert found == "alice may store 1.50 GB, and has stored 0.00 GB.\n"
    found = run("set-quota", "alice", "none", "--data", data).output
    assert found == "alice may store as much as there is, and has stored 0.00 GB.\n"
    assert run("set-quota", "alice", "many", "--data", data).exit_code == 2
    assert run("set-quota", "nobody", "1", "--data", data).exit_code == 1


def test_people_share_organisations_and_tokens_are_limited(data, monkeypatch):
    monkeypatch.setenv("MODELCENTER_DATA", str(data))
    for name in ("alice", "bob"):
        run("create-user", name)
    assert run("create-organization", "lab", "--admin", "alice").exit_code == 0
    assert run("set-role", "lab", "bob", "write").exit_code == 0
    assert "last to administer" in run("set-role", "lab", "alice", "none").stderr
    assert "private unless said" in run("set-visibility", "lab", "private").stdout
    words = ("create-token", "bob", "--scope", "write", "--resource", "lab", "--expires", "2099-01-31")
    limited = run(*words).stdout.strip()
    assert "nobody" in run(*words, "--resource", "nobody").stderr
    assert run("create-token", "bob", "--expires", "2001-01-31").exit_code == 2
    assert run("create-token", "bob", "--expires", "2099-01-31", "--days", "1").exit_code == 2
    hub = open_hub(Settings.from_environment(data))
    with hub.database.session() as session:
        actor = authenticate_token(session, limited)
        assert (actor.role_in("lab"), actor.role_in("bob")) == ("write", None)
        assert accounts.find(session, "lab").private_by_default
    assert run("disable-account", "bob").exit_code == 0
    with hub.database.session() as session, pytest.raises(InvalidToken):
        authenticate_token(session, limited)
    assert run("disable-account", "bob", "--undo").exit_code == 0
    with hub.database.session() as session:
        assert authenticate_token(session, limited).name == "bob"
    hub.database.close()
