"""Generation settings that choose other tokens: the same tokens as transformers' greedy search."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from modelcenter import load
from modelcenter.errors import Invalid
from tests.support import checkpoints
from tests.support.checkpoints import copy_companions, folder, mask, stored, write
from tests.support.recipe import Recipe

LLAMA, GPT2, T5 = checkpoints.LLAMA[0], checkpoints.GPT2[0], checkpoints.T5[0]
BART = next(r for r in checkpoints.FAMILIES["bart"] if r.generates)
NEW = 16

SETTINGS: dict[str, dict[str, Any]] = {
    "repetition": {"repetition_penalty": 1.7},
    "reward": {"repetition_penalty": 0.6},
    "bigrams": {"no_repeat_ngram_size": 2},
    "unigrams": {"no_repeat_ngram_size": 1},
    "suppressed": {"suppress_tokens": list(range(0, 101, 2))},
    "begin": {"begin_suppress_tokens": list(range(30, 101))},
    "begin-after-forced": {"begin_suppress_tokens": list(range(30, 101)), "forced_bos_token_id": 5},
    "banned": {"bad_words_ids": [[token] for token in range(1, 101, 2)]},
    "length": {"min_length": 9, "eos_token_id": list(range(2, 101, 3))},
    "new": {"min_new_tokens": 4, "eos_token_id": list(range(2, 101, 3))},
    "new-before-length": {"min_new_tokens": 2, "min_length": 12, "eos_token_id": list(range(2, 101, 3))},
    "all": {
        "repetition_penalty": 1.3, "no_repeat_ngram_size": 3, "min_new_tokens": 5, "suppress_tokens": [7, 8],
        "begin_suppress_tokens": [9, 10], "eos_token_id": list(range(2, 101, 4)),
    },
}  # fmt: skip


def with_settings(place: Path, recipe: Recipe, **settings: Any) -> Path:
    """The recipe's checkpoint with these settings alone in generation_config.json."""
    copy_companions(folder(recipe), place)
    write(place, stored(folder(recipe)))
    told: dict[str, Any] = {"pad_token_id": 0, "decoder_start_token_id": 0, "eos_token_id": 1, **settings}
    (place / "generation_config.json").write_text(json.dumps(told))
    return place


def asked(recipe: Recipe) -> dict[str, Any]:
    """Three texts, padded, in which tokens come several times."""
    ids = torch.randint(2, 9, (3, 7), generator=torch.Generator().manual_seed(1))
    return {"input_ids": ids, "attention_mask": mask(ids, "right" if recipe.is_encoder_decoder else "left")}


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [
        pytest.param(recipe, name, id=f"{recipe.name}-{name}")
        for recipe in (LLAMA, GPT2, T5, BART)
        for name in SETTINGS
        if recipe.is_encoder_decoder or "forced" not in name  # decoders force no first token
    ],
)
def test_settings_choose_the_tokens_that_transformers_writes(recipe: Recipe, settings: str, tmp_path: Path):
    place = with_settings(tmp_path, recipe, **SETTINGS[settings])
    theirs = getattr(transformers, recipe.model).from_pretrained(place).eval()
    greedy = {"do_sample": False, "num_beams": 1, "use_cache": False, "max_new_tokens": NEW}
    expected = theirs.generate(**asked(recipe), **greedy)
    found = load(place).generate(**asked(recipe), max_new_tokens=NEW)
    assert torch.equal(found, expected)


def test_a_setting_changes_what_is_written(tmp_path: Path):
    """So that the comparisons above compare something."""
    plain = load(with_settings(tmp_path, GPT2)).generate(**asked(GPT2), max_new_tokens=NEW)
    for name in ("repetition", "bigrams", "suppressed", "begin", "banned"):
        model = load(with_settings(tmp_path, GPT2, **SETTINGS[name]))
        assert not torch.equal(model.generate(**asked(GPT2), max_new_tokens=NEW), plain), name


@pytest.mark.parametrize(
    "settings",
    [{"repetition_penalty": "much"}, {"no_repeat_ngram_size": [2]}, {"min_length": True}, {"min_length": -3},
     {"suppress_tokens": [-1, 101, 10**30, "x"]}, {"no_repeat_ngram_size": 10**9}, {"min_new_tokens": None}],
    ids=str,
)  # fmt: skip
def test_settings_that_say_nothing_change_nothing(settings: dict[str, Any], tmp_path: Path):
    plain = load(with_settings(tmp_path, LLAMA)).generate(**asked(LLAMA), max_new_tokens=4)
    model = load(with_settings(tmp_path, LLAMA, **settings))
    assert torch.equal(model.generate(**asked(LLAMA), max_new_tokens=4), plain)


def test_a_penalty_that_is_not_positive_is_refused(tmp_path: Path):
    model = load(with_settings(tmp_path, LLAMA, repetition_penalty=0))
    with pytest.raises(Invalid, match="repetition_penalty is 0 in the generation settings"):
        model.generate(**asked(LLAMA))
