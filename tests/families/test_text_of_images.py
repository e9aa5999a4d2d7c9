"""The text models of checkpoints that read images too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from modelcenter import load, save, verify
from modelcenter.errors import ConfigurationInvalid
from modelcenter.exporting import export
from tests.support.checkpoints import FAMILIES, copy_companions, stored, write

VISION = {
    "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2,
    "image_size": 28, "patch_size": 14,
}  # fmt: skip
TOKENS = {"image_token_index": 99, "boi_token_index": 97, "eoi_token_index": 98, "mm_tokens_per_image": 4}


@pytest.fixture(scope="module")
def gemma3(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A checkpoint with images, and transformers' model."""
    text = FAMILIES["gemma3"][0].settings
    torch.manual_seed(4)
    config = transformers.Gemma3Config(text_config=text, vision_config=VISION, **TOKENS)
    model = transformers.Gemma3ForConditionalGeneration(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    place = tmp_path_factory.mktemp("gemma3")
    model.save_pretrained(place)
    return place, model


@pytest.mark.parametrize("spelling", ["written", "in memory"])
def test_the_text_model_answers_and_the_images_are_unused(
    spelling: str, gemma3: tuple[Path, Any], tmp_path: Path
):
    written, original = gemma3
    copy_companions(written, tmp_path)
    tensors = stored(written)
    if spelling == "in memory":  # as the latest files have it
        tensors = {
            name.replace("language_model.model.", "model.language_model.")
            if name.startswith("language_model.")
            else f"model.{name}": value
            for name, value in tensors.items()
        }
    write(tmp_path, tensors)
    ids = torch.randint(3, 90, (2, 11), generator=torch.Generator().manual_seed(5))
    model = load(tmp_path)
    with torch.no_grad():
        found, expected = model(ids).logits, original(input_ids=ids).logits
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
    images = {name for name in tensors if "vision_tower" in name or "multi_modal" in name}
    assert set(model.report.audit.unused) == images
    verdict = verify(tmp_path)
    assert verdict.is_complete and verdict.facts is not None
    assert verdict.facts.parameters == sum(t.numel() for name, t in tensors.items() if name not in images)


def test_what_is_written_without_the_images_says_so(
    gemma3: tuple[Path, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    written, _ = gemma3
    tensors = stored(written)
    images = {name for name in tensors if "vision_tower" in name or "multi_modal" in name}
    save(load(written), tmp_path / "saved")
    assert stored(tmp_path / "saved").keys() == tensors.keys() - images
    (said,) = caplog.messages
    assert f"{len(images)} tensors that nothing reads" in said and min(images) in said
    assert verify(tmp_path / "saved").is_complete
    report = export(written, tmp_path / "native", "native")
    (note,) = (note for note in report.notes if "nothing reads" in note)
    assert [name for name in images if name not in note] == []


def test_a_missing_tensor_of_the_text_model_is_named(gemma3: tuple[Path, Any], tmp_path: Path):
    copy_companions(gemma3[0], tmp_path)
    name = "language_model.model.layers.1.mlp.up_proj.weight"
    write(tmp_path, {n: t for n, t in stored(gemma3[0]).items() if n != name})
    assert [missing.name for missing in verify(tmp_path).missing] == [name]


def test_a_text_config_that_is_no_table_is_refused(gemma3: tuple[Path, Any], tmp_path: Path):
    write(tmp_path, stored(gemma3[0]))
    values = json.loads((gemma3[0] / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(values | {"text_config": "small"}))
    with pytest.raises(ConfigurationInvalid, match="text_config"):
        load(tmp_path)
