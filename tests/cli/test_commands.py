"""The command line at a running hub: what it prints, what it exits with."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from safetensors.numpy import load_file, save_file

from modelcenter.cli import cli
from tests.support import checkpoints

COMMIT = re.compile(r"[0-9a-f]{40}")


def run(*words: object, stdin: str | None = None) -> Result:
    """A command, whose failures must be told and not raised."""
    result = CliRunner().invoke(cli, [str(word) for word in words], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def damage(folder: Path, name: str) -> None:
    """Drop a tensor from the checkpoint."""
    tensors = load_file(folder / "model.safetensors")
    del tensors[name]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def test_help_names_every_command_and_each_has_its_own():
    for group in ((), ("admin",)):
        text = run(*group, "--help").stdout
        commands = re.findall(r"^  ([a-z-]+)  ", text.partition("Commands:")[2], re.MULTILINE)
        assert commands
        for command in commands:
            result = run(*group, command, "--help")
            assert result.exit_code == 0
            assert f"{command} " in result.stdout


@pytest.mark.parametrize(
    "words",
    [
        ["nothing"],
        ["upload"],
        ["upload", "/nowhere", "alice/bert"],
        ["download", "no-owner"],
        ["info", "a/b/c"],
        ["verify"],
        ["verify", "/nowhere"],
        ["serve", "--port", "many"],
        ["admin", "create-token", "alice", "--scope", "everything"],
        ["search", "--size", "huge"],
    ],
)
def test_wrong_use_exits_with_2_and_says_so_on_stderr(words):
    result = run(*words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Usage:" in result.stderr


def test_errors_are_a_sentence_on_stderr_and_exit_with_1(at_hub):
    result = run("info", "alice/nothing")
    assert (result.exit_code, result.stdout) == (1, "")
    sentence = (
        f"Repository alice/nothing does not exist on {at_hub.url}, or is private and not yours to read."
    )
    assert result.stderr == f"Error: {sentence}\n"


def test_without_a_hub_the_command_says_how_to_name_one(monkeypatch, tmp_path):
    monkeypatch.setenv("MODELCENTER_HOME", str(tmp_path))
    monkeypatch.delenv("MODELCENTER_ENDPOINT", raising=False)
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    result = run("search", "bert")
    assert result.exit_code == 1
    assert "--endpoint" in result.stderr


def test_a_hub_that_does_not_answer_is_named(at_hub):
    result = run("search", "bert", "--endpoint", "http://127.0.0.1:9")
    assert result.exit_code == 1
    assert "http://127.0.0.1:9 does not answer" in result.stderr


def test_login_checks_the_token_and_becomes_the_default(at_hub, monkeypatch):
    monkeypatch.delenv("MODELCENTER_TOKEN")
    monkeypatch.delenv("MODELCENTER_ENDPOINT")
    refused = run("login", "--endpoint", at_hub.url, "--token", "mc_wrong")
    assert refused.exit_code == 1
    assert run("whoami").exit_code == 1
    for words, stdin in (
        (["--token", at_hub.token], None),
        (["--token-stdin"], f"{at_hub.token}\n"),
        ([], f"{at_hub.token}\n"),
    ):
        result = run("login", "--endpoint", at_hub.url, *words, stdin=stdin)
        assert result.exit_code == 0
        assert f"Logged in to {at_hub.url} as alice (write)" in result.stdout
        assert at_hub.token not in result.output
    assert "alice" in run("whoami").stdout
    told = json.loads(run("whoami", "--json").stdout)
    assert (told["name"], told["endpoint"]) == ("alice", at_hub.url)


def test_verify_tells_a_folder_that_loads(tiny_bert):
    result = run("verify", tiny_bert)
    assert result.exit_code == 0
    assert "Loads with ModelCenter" in result.stdout
    verdict = json.loads(run("verify", tiny_bert, "--json").stdout)
    assert (verdict["status"], verdict["family"], verdict["missing"]) == ("complete", "bert", [])


def test_verify_names_what_is_wrong_and_exits_with_1(tiny_bert):
    damage(tiny_bert, "encoder.layer.1.output.dense.bias")
    result = run("verify", tiny_bert)
    assert result.exit_code == 1
    assert "missing (1)" in result.stdout
    assert "encoder.layer.1.output.dense.bias (16,)" in result.stdout
    verdict = json.loads(run("verify", tiny_bert, "--json").stdout)
    assert [each["name"] for each in verdict["missing"]] == ["encoder.layer.1.output.dense.bias"]


def test_verify_of_a_truncated_file_says_so(tiny_bert):
    weights = tiny_bert / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    result = run("verify", tiny_bert)
    assert result.exit_code == 1
    assert "model.safetensors" in result.stdout
    assert json.loads(run("verify", tiny_bert, "--json").stdout)["status"] == "damaged"


def test_upload_prints_the_commit_and_its_address(at_hub, tiny_bert, unique):
    result = run("upload", tiny_bert, f"alice/{unique}")
    assert result.exit_code == 0
    commit, address = result.stdout.splitlines()
    assert COMMIT.fullmatch(commit)
    assert address == f"{at_hub.url}/alice/{unique}/commit/{commit}"
    assert "Loads with ModelCenter" in result.stderr
    again = run("upload", tiny_bert, f"alice/{unique}")
    assert again.stdout == result.stdout
    assert "Nothing to send" in again.stderr


def test_upload_in_json_for_scripts(at_hub, tiny_bert, unique):
    told = json.loads(run("upload", tiny_bert, f"alice/{unique}", "--json").stdout)
    assert COMMIT.fullmatch(told["commit"])
    assert told["verdict"]["status"] == "complete"
    assert "model.safetensors" in told["sent"]


def test_an_incomplete_checkpoint_is_refused_before_a_byte_is_sent_unless_forced(at_hub, tiny_bert, unique):
    damage(tiny_bert, "pooler.dense.weight")
    refused = run("upload", tiny_bert, f"alice/{unique}")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "pooler.dense.weight" in refused.stderr
    assert "--force" in refused.stderr
    assert run("info", f"alice/{unique}").exit_code == 1
    forced = run("upload", tiny_bert, f"alice/{unique}", "--force")
    assert forced.exit_code == 0
    assert COMMIT.match(forced.stdout)


def test_what_is_no_checkpoint_is_uploaded_and_said_to_be_none(at_hub, tmp_path, unique):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "README.md").write_text("---\nlicense: mit\nlanguage: en\n---\n# Notes\n")
    result = run("upload", tmp_path / "notes", f"alice/{unique}")
    assert result.exit_code == 0
    assert "No checkpoint" in result.stderr


def test_the_verdict_is_of_what_is_sent(at_hub, tiny_bert, unique):
    (tiny_bert / "pytorch_model.bin").write_bytes(b"")
    damage(tiny_bert, "pooler.dense.weight")
    result = run("upload", tiny_bert, f"alice/{unique}", "--exclude", "*.safetensors", "--exclude", "*.bin")
    assert result.exit_code == 0
    assert "No checkpoint" in result.stderr


def test_info_and_search_show_the_hubs_verdict(at_hub, tiny_bert, unique):
    from tests.support.server import wait_for

    run("upload", tiny_bert, f"alice/{unique}")
    wait_for(
        lambda: json.loads(run("info", f"alice/{unique}", "--json").stdout)["verdict"]["status"] != "pending"
    )
    shown = run("info", f"alice/{unique}", "--files").stdout
    assert "Loads with ModelCenter" in shown
    assert "model.safetensors" in shown
    assert re.search(r"family +bert", shown)
    found = run("search", unique, "--facets")
    assert f"alice/{unique}" in found.stdout
    assert "✓ loads" in found.stdout
    assert re.search(r"family +bert 1", found.stdout)
    assert "1–1 of 1" in found.stderr
    told = json.loads(
        run("search", unique, "--loads", "--family", "bert", "--language", "zh", "--json").stdout
    )
    assert [row["id"] for row in told["rows"]] == [f"alice/{unique}"]
    assert told["facets"]["license"] == [{"value": "mit", "count": 1}]
    assert "Nothing found" in run("search", unique, "--family", "llama").stderr


def test_an_incomplete_checkpoint_is_told_by_the_hub_with_its_names(at_hub, tiny_bert, unique):
    from tests.support.server import wait_for

    damage(tiny_bert, "pooler.dense.weight")
    run("upload", tiny_bert, f"alice/{unique}", "--force")
    wait_for(
        lambda: json.loads(run("info", f"alice/{unique}", "--json").stdout)["verdict"]["status"] != "pending"
    )
    assert "pooler.dense.weight" in run("info", f"alice/{unique}").stdout
    remote = run("verify", f"alice/{unique}")
    assert remote.exit_code == 1
    assert "pooler.dense.weight" in remote.stdout


def test_info_of_a_linked_entry_names_its_upstream(at_hub):
    from modelcenter.registry.lifecycle import link

    with at_hub.hub() as hub, hub.database.transaction() as session:
        link(session, "someone/told", "someone/told")
    assert "https://huggingface.co/someone/told" in run("info", "someone/told").stdout
    for command in ("download", "verify"):
        result = run(command, "someone/told")
        assert result.exit_code == 1
        assert "https://huggingface.co/someone/told" in result.stderr


def test_download_prints_the_folder(at_hub, tiny_bert, unique, tmp_path):
    run("upload", tiny_bert, f"alice/{unique}")
    result = run("download", f"alice/{unique}", "--to", tmp_path / "copy")
    assert result.stdout == f"{tmp_path / 'copy'}\n"
    assert f"alice/{unique}: taking 5 files" in result.stderr
    assert (tmp_path / "copy" / "model.safetensors").read_bytes() == (
        tiny_bert / "model.safetensors"
    ).read_bytes()
    told = json.loads(run("download", f"alice/{unique}", "--include", "*.json", "--json").stdout)
    assert told["files"] == ["config.json"]


def test_an_upload_needs_no_switch_for_xet(at_hub, tiny_bert, unique):
    """In a process of its own, as people run it, with hf_xet installed."""
    environment = {key: value for key, value in os.environ.items() if key != "HF_HUB_DISABLE_XET"}
    result = subprocess.run(
        [sys.executable, "-m", "modelcenter.cli", "upload", str(tiny_bert), f"alice/{unique}"],
        env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert COMMIT.match(result.stdout)
    assert "xet" not in result.stderr.lower()


def test_a_plan_tells_what_a_rank_reads_without_torch():
    place = checkpoints.folder(checkpoints.LLAMA[0])
    whole = json.loads(run("plan", place, "--json").stdout)
    half = json.loads(run("plan", place, "--tp", 2, "--rank", 1, "--dtype", "fp16", "--json").stdout)
    assert half["bytesRead"] < whole["bytesRead"] <= whole["bytesStored"]
    assert (half["dtype"], half["rank"], half["world"]) == ("float16", 1, 2)
    shown = run("plan", place, "--tp", 2, "--all").stdout
    assert f"{half['ranges']} over HTTP" in shown and half["bytesOverRead"] > 0
    assert "rank    0 of 2" in shown and "blocks.0.attention.qkv.weight" in shown
    assert run("plan", place, "--tp", 2, "--rank", 2).exit_code == 1
    program = (
        "import sys; from modelcenter.cli import cli; cli(sys.argv[1:], standalone_mode=False)\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, "plan", str(place)], check=True, capture_output=True)
