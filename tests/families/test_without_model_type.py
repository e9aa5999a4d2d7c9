"""A config.json without `model_type`, as early writers left it: the class in `architectures` tells it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from modelcenter import load, save, verify
from modelcenter.checkpoint.source import LocalFiles, read_header
from modelcenter.exporting import export
from modelcenter.families.configuration import Configuration
from modelcenter.families.match import implied_type, match
from tests.conformance.family import answers, ask, assert_same_answers
from tests.support.checkpoints import FAMILIES, copy_companions, folder, inputs, stored, write
from tests.support.recipe import Recipe

RECIPES = {recipe.name: recipe for recipes in FAMILIES.values() for recipe in recipes}
NAMED = ("bert-masked", "llama-gqa", "gpt2", "t5", "cohere2", "glm4", "olmo3")


@pytest.mark.parametrize("recipe", [RECIPES[name] for name in NAMED], ids=NAMED)
def test_the_class_tells_the_same_model(recipe: Recipe):
    values = json.loads((folder(recipe) / "config.json").read_text())
    header = read_header(LocalFiles(folder(recipe))).tensors
    expected = match(values, header)
    del values["model_type"]
    found = match(values, header)
    assert (found.family, found.config) == (expected.family, expected.config)


def test_it_loads_with_equal_answers(tmp_path):
    recipe = RECIPES["bert-masked"]
    copy_companions(folder(recipe), tmp_path)
    write(tmp_path, stored(folder(recipe)))
    values = json.loads((tmp_path / "config.json").read_text())
    del values["model_type"]
    (tmp_path / "config.json").write_text(json.dumps(values))
    asked = inputs(recipe)
    with torch.no_grad():
        found, expected = (load(place)(**asked).logits for place in (tmp_path, folder(recipe)))
    assert torch.equal(found, expected)


GOOGLE = {
    "attention_probs_dropout_prob": 0.1, "directionality": "bidi", "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1, "hidden_size": 32, "initializer_range": 0.02, "intermediate_size": 44,
    "max_position_embeddings": 40, "num_attention_heads": 4, "num_hidden_layers": 2, "pooler_fc_size": 768,
    "pooler_num_attention_heads": 12, "pooler_num_fc_layers": 3, "pooler_size_per_head": 128,
    "pooler_type": "first_token_transform", "type_vocab_size": 2, "vocab_size": 101,
}  # fmt: skip
GOOGLE_BERT = Recipe("bert-google", "BertForPreTraining", GOOGLE, kind="encoder")


def google(place: Path, name: str, **more: object) -> Path:
    """A checkpoint of BERT whose configuration is Google's."""
    write(place, stored(folder(GOOGLE_BERT)))
    (place / name).write_text(json.dumps(GOOGLE | more))
    return place


@pytest.mark.parametrize("name", ["config.json", "bert_config.json"])
def test_a_configuration_of_google_s_is_bert_s(name: str, tmp_path):
    place, asked = google(tmp_path, name), inputs(GOOGLE_BERT)
    model = load(place)
    assert_same_answers(ask(model, asked), answers(GOOGLE_BERT, asked))
    assert verify(place).is_complete and verify(place).family == "bert"
    again = tmp_path / "again"
    save(model, again)
    assert verify(again).is_complete and json.loads((again / name).read_text()).items() >= GOOGLE.items()
    converted = tmp_path / "converted"
    export(place, converted, "modelcenter")
    assert verify(converted).is_complete
    assert json.loads((converted / "huggingface_config.json").read_text()) == GOOGLE


@pytest.mark.parametrize(
    "more",
    [
        {"layer_norm_eps": 1e-5},
        {"use_relative_position": True},
        {"embedding_size": 16},
        {"type_vocab_size": None},
    ],
)
def test_one_key_more_or_a_null_leaves_it_unknown(more: dict[str, object], tmp_path):
    verdict = verify(google(tmp_path, "config.json", **more))
    assert verdict.status == "unknown_architecture" and "model_type" in verdict.problem


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        ("LlamaForCausalLM", "llama"),  # which InternLM 3's files name too
        ("PhiForCausalLM", "phi"),
        ("XLMRobertaModel", "xlm-roberta"),
        ("Cohere2ForCausalLM", "cohere2"),
        ("Glm4ForCausalLM", "glm4"),
        ("Olmo3ForCausalLM", "olmo3"),
        ("MambaForCausalLM", None),
        ("", None),
    ],
)
def test_a_class_implies_the_type_it_is_named_after(architecture: str, expected: str | None):
    assert implied_type(Configuration({"architectures": [architecture]})) == expected
