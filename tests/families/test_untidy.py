"""Files as they stand in real repositories: old names, one name of two tied tensors, tensors nobody reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch

from modelcenter import load, save, verify
from modelcenter.checkpoint.source import LocalFiles
from modelcenter.errors import CheckpointDamaged, Invalid, Mismatch, UnknownArchitecture
from tests.support import checkpoints
from tests.support.checkpoints import copy_companions, folder, inputs, original, stored, write
from tests.support.recipe import Recipe

Tensors = dict[str, torch.Tensor]


def recipe(name: str) -> Recipe:
    return next(r for recipes in checkpoints.FAMILIES.values() for r in recipes if r.name == name)


def untidy(place: Path, name: str, change: Callable[[Tensors], Tensors]) -> Path:
    """The recipe's checkpoint with its tensors changed."""
    copy_companions(folder(recipe(name)), place)
    write(place, change(stored(folder(recipe(name)))))
    return place


def renamed(old: str, new: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {name.replace(old, new): tensor for name, tensor in tensors.items()}


def greek(tensors: Tensors) -> Tensors:
    return renamed("LayerNorm.bias", "LayerNorm.beta")(
        renamed("LayerNorm.weight", "LayerNorm.gamma")(tensors)
    )


def first_t5(tensors: Tensors) -> Tensors:
    name = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
    return {**tensors, name: torch.ones(8, 4)}


UNTIDY: list[tuple[str, Callable[[Tensors], Tensors]]] = [
    ("bert-masked", greek),
    ("t5", first_t5),
    ("t5", renamed("shared.weight", "encoder.embed_tokens.weight")),
    ("t5", renamed("shared.weight", "decoder.embed_tokens.weight")),
    ("llama-mha-tied", renamed("model.embed_tokens.weight", "lm_head.weight")),
    ("gpt2", renamed("transformer.wte.weight", "lm_head.weight")),
]


@pytest.mark.parametrize("fuse", [True, False], ids=["fused", "stored"])
@pytest.mark.parametrize(("name", "change"), UNTIDY)
def test_untidy_files_load_and_come_back(name: str, change, fuse: bool, tmp_path: Path):
    place = untidy(tmp_path / "a", name, change)
    assert verify(LocalFiles(place)).is_complete
    model, asked = load(place, fuse=fuse), inputs(recipe(name))
    with torch.no_grad():
        expected = original(recipe(name))(**asked).logits
        assert (model(**asked).logits - expected).abs().max() <= 1e-5 * expected.abs().max()
    save(model, tmp_path / "b")
    assert stored(tmp_path / "b").keys() == {n for n in stored(place) if n not in model.report.audit.unused}


@pytest.mark.parametrize("fuse", [True, False], ids=["fused", "stored"])
@pytest.mark.parametrize(
    ("name", "bias"),
    [
        ("bert-masked-untied", "cls.predictions.decoder.bias"),
        ("bert-pretraining-untied", "cls.predictions.decoder.bias"),
        ("roberta-untied", "lm_head.decoder.bias"),
    ],
)
def test_an_untied_head_of_which_the_two_biases_were_one_is_read(
    name: str, bias: str, fuse: bool, tmp_path: Path
):
    """As transformers 4 wrote it: one tensor under two names, of which safetensors keeps the first."""
    place = untidy(tmp_path / "a", name, lambda tensors: {n: t for n, t in tensors.items() if n != bias})
    assert verify(LocalFiles(place)).is_complete
    reference, asked = deepcopy(original(recipe(name))), inputs(recipe(name))
    head = reference.lm_head if name.startswith("roberta") else reference.cls.predictions
    head.decoder.bias.data.copy_(head.bias)
    model = load(place, fuse=fuse)
    with torch.no_grad():
        expected = reference(**asked)[0]
        assert (model(**asked).logits - expected).abs().max() <= 1e-5 * expected.abs().max()
    save(model, tmp_path / "b")
    assert stored(tmp_path / "b").keys() == stored(place).keys()


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("deepseek_v2", {"num_key_value_heads": 2}),
        ("deepseek_v3", {"num_key_value_heads": 1}),
        ("minicpm3", {"num_key_value_heads": 2}),
        ("electra-generator", {"summary_use_proj": False, "summary_type": "mean"}),
        ("xlnet-lm", {"summary_use_proj": False}),
    ],
)
def test_settings_that_nothing_reads_change_nothing(name: str, settings: dict[str, Any], tmp_path: Path):
    place = untidy(tmp_path, name, lambda tensors: tensors)
    config = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps(config | settings))
    asked = inputs(recipe(name))
    with torch.no_grad():
        assert torch.equal(load(place)(**asked).logits, load(folder(recipe(name)))(**asked).logits)


@pytest.mark.parametrize("name", ["bert-masked", "gpt2", "llama-gqa", "t5"])
def test_a_vocabulary_of_more_rows_than_config_json_says_is_read_whole(name: str, tmp_path: Path):
    place = untidy(tmp_path, name, lambda tensors: tensors)
    config = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps(config | {"vocab_size": 96}))
    model, asked = load(place), inputs(recipe(name))
    with torch.no_grad():
        expected = original(recipe(name))(**asked).logits
        assert (model(**asked).logits - expected).abs().max() <= 1e-5 * expected.abs().max()
    [told] = model.report.corrections
    assert "vocab_size 96" in told and "101 rows" in told
    verdict = verify(LocalFiles(place), values=False)
    assert verdict.is_complete and verdict.corrections == (told,)
    assert verdict.facts is not None and verdict.facts.vocab_size == 101


def test_tables_of_a_vocabulary_that_disagree_are_told(tmp_path: Path):
    table = "model.embed_tokens.weight"
    place = untidy(tmp_path, "llama-gqa", lambda t: {**t, table: torch.ones(128, 32)})
    verdict = verify(LocalFiles(place))
    assert [(m.name, m.expected) for m in verdict.misshapen] == [(table, (101, 32))]
    with pytest.raises(Mismatch, match=table):
        load(place)


def test_a_class_that_the_family_does_not_know_is_named(tmp_path: Path):
    place = untidy(tmp_path, "bert-masked", lambda t: {**t, "classifier.weight": torch.ones(2, 32)})
    config = json.loads((place / "config.json").read_text())
    config["architectures"] = ["BertForImageCaptions"]
    (place / "config.json").write_text(json.dumps(config))
    verdict = verify(LocalFiles(place))
    assert verdict.status == "unknown_architecture"
    assert "BertForImageCaptions" in verdict.problem and "classifier.weight" in verdict.problem
    with pytest.raises(UnknownArchitecture, match="BertForImageCaptions"):
        load(place)


def test_a_pointer_that_git_left_is_told_as_such(tmp_path: Path):
    place = untidy(tmp_path, "llama-mha-tied", dict)
    (place / "model.safetensors").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    )
    assert "git lfs pull" in verify(LocalFiles(place)).problem
    with pytest.raises(CheckpointDamaged, match="git lfs pull"):
        load(place)


@pytest.mark.parametrize(
    ("shape", "mask", "said"),
    [
        ((7,), None, r"input_ids is \(7,\)"),
        ((2, 0), None, r"input_ids is \(2, 0\)"),
        ((2, 7), torch.ones(2, 3), r"attention_mask is \(2, 3\)"),
        ((1, 4), torch.tensor([[1, 1, 0, 0]]), "padded on the left"),
    ],
)
def test_prompts_that_cannot_be_continued_are_refused(shape, mask, said: str):
    model = load(folder(recipe("llama-mha-tied")))
    with pytest.raises(Invalid, match=said):
        model.generate(torch.ones(shape, dtype=torch.long), attention_mask=mask)


def test_more_tokens_than_positions_are_refused():
    model = load(folder(recipe("gpt2")))
    with pytest.raises(Invalid, match="positions"):
        model(torch.ones((1, 5000), dtype=torch.long))


@pytest.mark.parametrize("flag", [True, None, False])
def test_the_head_of_t5_v1_1_never_stands_in_for_its_embedding(flag: bool | None, tmp_path: Path):
    def lost(tensors: Tensors) -> Tensors:
        return {name: tensor for name, tensor in tensors.items() if "embed_tokens" not in name}

    place = untidy(tmp_path, "t5-v1.1", lost)
    tensors = stored(place)
    del tensors["shared.weight"]
    assert "lm_head.weight" in tensors
    write(place, tensors)
    config = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": flag}))
    with pytest.raises(Mismatch, match=r"missing: shared\.weight"):
        load(place)
