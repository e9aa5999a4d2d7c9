"""Every class of transformers that tells classes, answers or choices apart, of every family that has one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers
from transformers.models.auto import modeling_auto as auto

from modelcenter import load, save
from modelcenter.errors import UnknownArchitecture
from tests.conformance.family import answers, ask, assert_same_answers, assert_same_files
from tests.support.checkpoints import FAMILIES, copy_companions, folder, inputs, original, stored, write
from tests.support.recipe import Recipe

CLASSES = {
    "SequenceClassification": auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    "TokenClassification": auto.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING,
    "QuestionAnswering": auto.MODEL_FOR_QUESTION_ANSWERING_MAPPING,
    "MultipleChoice": auto.MODEL_FOR_MULTIPLE_CHOICE_MAPPING,
}


def unlisted() -> Iterator[Recipe]:
    """The classes that no recipe has, each as the first recipe of its configuration is made."""
    named = {recipe.model for recipes in FAMILIES.values() for recipe in recipes}
    for recipes in FAMILIES.values():
        for recipe in recipes:
            if recipe.oracle:
                continue
            config = getattr(transformers, recipe.model).config_class
            for task, classes in CLASSES.items():
                found = classes.get(config, None)
                if found is None or found.__name__ in named:
                    continue
                named.add(found.__name__)
                settings = {"num_labels": 2 if task == "QuestionAnswering" else 3}
                tokens = {}
                if recipe.is_encoder_decoder:
                    settings |= {"decoder_start_token_id": 0}
                    if task == "SequenceClassification":  # told at the end token: the first, and no other
                        tokens = {"first_id": config().eos_token_id, "least_id": 3}
                yield replace(
                    recipe, name=found.__name__, model=found.__name__, apart=(), copies={}, lacks=(),
                    optional=(), respell=None, keywords={}, settings=recipe.settings | settings, **tokens,
                )  # fmt: skip


@pytest.mark.parametrize("recipe", tuple(unlisted()), ids=lambda recipe: recipe.name)
def test_it_answers_as_in_transformers_and_is_written_as_it_was(recipe: Recipe, tmp_path: Path):
    asked = inputs(recipe, length=6)
    model = load(folder(recipe))
    assert_same_answers(ask(model, asked), answers(recipe, asked))
    save(model, tmp_path)
    assert_same_files(stored(tmp_path), stored(folder(recipe)))


@pytest.mark.parametrize(
    ("name", "model"), [("gpt2", "GPT2DoubleHeadsModel"), ("openai_gpt", "OpenAIGPTDoubleHeadsModel")]
)
def test_of_two_heads_that_of_the_vocabulary_is_read(name: str, model: str):
    settings = FAMILIES[name][0].settings | {"num_labels": 1}
    recipe = Recipe(model, model, settings)
    asked, loaded = inputs(recipe, length=6), load(folder(recipe))
    with torch.no_grad():
        choices = {"input_ids": asked["input_ids"][:, None], "mc_token_ids": torch.full((3, 1), 5)}
        expected = original(recipe)(**choices).logits[:, 0]
        assert (loaded(**asked).logits - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert loaded.report.audit.unused
    assert all(name.startswith("multiple_choice_head.") for name in loaded.report.audit.unused)


def test_the_classes_that_an_error_names_are_those_that_load(tmp_path: Path):
    recipe = FAMILIES["gpt2"][0]
    copy_companions(folder(recipe), tmp_path)
    write(tmp_path, stored(folder(recipe)) | {"stranger.weight": torch.ones(3)})
    config = json.loads((tmp_path / "config.json").read_text()) | {"architectures": ["GPT2ForImages"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnknownArchitecture, match=r"GPT2DoubleHeadsModel.*ForSequenceClassification"):
        load(tmp_path)
