"""Learned tensors that a model does not run are told as unused, by their exact names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from modelcenter import load, verify
from modelcenter.checkpoint.source import LocalFiles
from tests.support import originals
from tests.support.checkpoints import FAMILIES, copy_companions, folder, stored, write
from tests.support.originals import ORIGINALS

T5_BIAS = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
VOCABULARY_HEAD = tuple(
    f"lm_head.{part}.{kind}" for part in ("dense", "layer_norm", "decoder") for kind in ("weight", "bias")
)
LEFT: list[tuple[str, tuple[str, ...]]] = [
    ("t5", (T5_BIAS,)),
    ("bart-untied", ("model.shared.weight",)),
    ("deberta_v2-v3", ("deberta.embeddings.position_embeddings.weight", "mask_predictions.dense.weight")),
]


@pytest.mark.parametrize(("name", "left"), LEFT)
def test_what_pretraining_left_behind_is_unused(name: str, left: tuple[str, ...], tmp_path: Path):
    recipe = next(r for recipes in FAMILIES.values() for r in recipes if r.name == name)
    copy_companions(folder(recipe), tmp_path)
    write(tmp_path, stored(folder(recipe)) | {tensor: torch.ones(40, 32) for tensor in left})
    audit = load(tmp_path).report.audit
    assert sorted(audit.unused) == sorted(left) and not audit.derived
    verdict = verify(LocalFiles(tmp_path))
    assert verdict.is_complete and not verdict.derived


def with_more(name: str, place: Path, **more: torch.Tensor) -> tuple[Path, torch.Tensor]:
    """An original checkpoint with further tensors, `__` for dots in their names; its embedding."""
    recipe = next(r for r in ORIGINALS if r.name == name)
    written, _ = originals.folder(recipe, place / "original")
    [file] = [f for f in written.iterdir() if f.suffix in (".pt", ".bin")]
    tensors = torch.load(file, weights_only=True)
    tensors |= {key.replace("__", "."): value for key, value in more.items()}
    torch.save(tensors, file)
    return written, tensors["input_embedding.weight"]


@pytest.mark.parametrize(
    ("name", "unused"),
    [("bert-classes", VOCABULARY_HEAD), ("bert", ("lm_head.decoder.weight",)), ("bert-untied", ())],
)
def test_an_originals_head_that_nothing_reads_is_unused(name: str, unused: tuple[str, ...], tmp_path: Path):
    written, _ = with_more(name, tmp_path)
    audit = load(written).report.audit
    assert sorted(audit.unused) == sorted(unused) and not audit.derived


def test_a_stranger_beside_an_originals_heads_is_unexpected(tmp_path: Path):
    written, _ = with_more("bert-classes", tmp_path, lm_head__stranger__weight=torch.ones(3))
    assert [u.name for u in verify(LocalFiles(written)).unexpected] == ["lm_head.stranger.weight"]


def test_a_tied_originals_own_table_may_differ_from_its_embedding(tmp_path: Path):
    """Its training leaves that table as it was made: no copy, whatever it holds."""
    written, embedding = with_more("bert", tmp_path)
    [file] = [f for f in written.iterdir() if f.suffix in (".pt", ".bin")]
    assert not torch.equal(torch.load(file, weights_only=True)["lm_head.decoder.weight"], embedding)
    assert load(written).report.audit.unused == ("lm_head.decoder.weight",)
