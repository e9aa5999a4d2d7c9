"""Vectors of texts, against sentence-transformers' arithmetic restated over transformers' models."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch import Tensor
from transformers import BertTokenizerFast

from modelcenter import load, save, verify
from modelcenter.checkpoint.sentence import Pooling
from modelcenter.checkpoint.source import LocalFiles
from modelcenter.embedding import pool
from modelcenter.errors import CheckpointDamaged, Invalid
from tests.support.checkpoints import FAMILIES, copy_companions, folder, original, stored, write
from tests.support.recipe import Recipe

RECIPES = {recipe.name: recipe for recipes in FAMILIES.values() for recipe in recipes}
WORDS = (
    "the", "cat", "sat", "on", "a", "mat", "while", "dogs", "and", "birds", "sang", "of", "red", "green",
    "blue", "cities", "far", "away", "query", ":",
)  # fmt: skip
TEXTS = ["The cat sat", "birds", " a mat of red and green and blue cities far away sang ", "dogs sang", ""]
SIZE = 32

Pool = Callable[[Tensor, Tensor], Tensor]

# As sentence-transformers' Pooling computes them, of states (batch, length, size), mask (batch, length, 1).
POOLS: dict[str, Pool] = {
    "cls_token": lambda states, mask: states[:, 0],
    "max_tokens": lambda states, mask: torch.where(mask > 0, states, -1e9).max(dim=1).values,
    "mean_tokens": lambda states, mask: (states * mask).sum(1) / mask.sum(1),
    "mean_sqrt_len_tokens": lambda states, mask: (states * mask).sum(1) / mask.sum(1).sqrt(),
    "weightedmean_tokens": lambda states, mask: (
        (states * mask.cumsum(1) * mask).sum(1) / (mask.cumsum(1) * mask).sum(1)
    ),
    "lasttoken": lambda states, mask: torch.stack(
        [row[int(m.sum()) - 1] for row, m in zip(states, mask, strict=True)]
    ),
}


def place(tmp_path: Path, recipe: Recipe, modules: list[str], **files: Any) -> Path:
    """A folder with the recipe's model, a vocabulary and sentence-transformers' files."""
    copy_companions(folder(recipe), tmp_path)
    write(tmp_path, stored(folder(recipe)))
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    if modules:
        listed = [
            {"idx": i, "name": str(i), "path": "" if i == 0 else f"{i}_{kind}",
             "type": f"sentence_transformers.models.{kind}"}
            for i, kind in enumerate(["Transformer", *modules])
        ]  # fmt: skip
        (tmp_path / "modules.json").write_text(json.dumps(listed))
    for name, values in files.items():
        file = tmp_path / (name.replace("__", "/") + ".json")
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(values))
    return tmp_path


def theirs(recipe: Recipe, place: Path, texts: list[str], pool: Pool, limit: int = 40) -> Tensor:
    """The pooled states of transformers' model, each text alone."""
    tokenizer = BertTokenizerFast(vocab=str(place / "vocab.txt"))
    made = []
    for text in texts:
        ids = torch.tensor([tokenizer(text.strip(), truncation=True, max_length=limit)["input_ids"]])
        with torch.no_grad():
            states = original(recipe).base_model(ids).last_hidden_state
        made.append(pool(states, torch.ones(*ids.shape, 1)))
    return torch.cat(made)


def assert_close(ours: Tensor, expected: Tensor) -> None:
    assert ours.shape == expected.shape
    assert (ours - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("mode", POOLS)
def test_pooling_is_that_of_sentence_transformers(mode: str, tmp_path: Path):
    recipe = RECIPES["bert-pooler"]
    pooling = {f"pooling_mode_{name}": name == mode for name in POOLS}
    where = place(tmp_path, recipe, ["Pooling"], **{"1_Pooling__config": pooling})
    found = load(where).encode(TEXTS, batch_size=2)
    assert_close(found, theirs(recipe, where, TEXTS, POOLS[mode]))


def test_modes_are_joined_and_the_vector_is_brought_to_length_one(tmp_path: Path):
    recipe = RECIPES["bert-pooler"]
    pooling = {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}
    where = place(tmp_path, recipe, ["Pooling", "Normalize"], **{"1_Pooling__config": pooling})
    modes = (POOLS["cls_token"], POOLS["mean_tokens"])
    joined = torch.cat([theirs(recipe, where, TEXTS, mode) for mode in modes], dim=-1)
    assert_close(load(where).encode(TEXTS), F.normalize(joined, dim=-1))


def test_a_dense_layer_follows(tmp_path: Path):
    recipe = RECIPES["distilbert-model"]
    dense = {"in_features": SIZE, "out_features": 7, "bias": True,
             "activation_function": "torch.nn.modules.activation.Tanh"}  # fmt: skip
    pooling = {"pooling_mode_mean_tokens": True}
    files = {"1_Pooling__config": pooling, "2_Dense__config": dense}
    where = place(tmp_path / "original", recipe, ["Pooling", "Dense"], **files)
    generator = torch.Generator().manual_seed(3)
    weight, bias = torch.randn(7, SIZE, generator=generator), torch.randn(7, generator=generator)
    save_file({"linear.weight": weight, "linear.bias": bias}, where / "2_Dense" / "model.safetensors")
    expected = torch.tanh(F.linear(theirs(recipe, where, TEXTS, POOLS["mean_tokens"]), weight, bias))
    model = load(where)
    assert_close(model.encode(TEXTS), expected)
    save(model, tmp_path / "again")
    assert torch.equal(load(tmp_path / "again").encode(TEXTS), model.encode(TEXTS))

    save_file({"linear.weight": weight.T.contiguous(), "linear.bias": bias},
              where / "2_Dense" / "model.safetensors")  # fmt: skip
    verdict = verify(LocalFiles(where))
    assert verdict.status == "damaged" and "2_Dense/model.safetensors" in verdict.problem
    with pytest.raises(CheckpointDamaged, match="2_Dense"):
        load(where)


def test_prompts_go_before_the_texts(tmp_path: Path):
    recipe = RECIPES["bert-pooler"]
    told = {"prompts": {"query": "query : ", "none": ""}, "default_prompt_name": None}
    files = {"1_Pooling__config": {"pooling_mode_mean_tokens": True}, "config_sentence_transformers": told}
    model = load(where := place(tmp_path, recipe, ["Pooling"], **files))
    asked = [f"query : {text}" for text in TEXTS]
    expected = theirs(recipe, where, asked, POOLS["mean_tokens"])
    assert_close(model.encode(TEXTS, prompt_name="query"), expected)
    assert_close(model.encode(TEXTS, prompt="query : "), expected)
    with pytest.raises(Invalid, match="it has none, query"):
        model.encode(TEXTS, prompt_name="document")


def test_a_prompt_that_does_not_count_is_left_out_of_the_mean(tmp_path: Path):
    recipe = RECIPES["bert-pooler"]
    pooling = {"pooling_mode_mean_tokens": True, "include_prompt": False}
    model = load(where := place(tmp_path, recipe, ["Pooling"], **{"1_Pooling__config": pooling}))
    rest: Pool = lambda states, mask: states[:, 3:].mean(1)  # noqa: E731 — [CLS] query :
    expected = theirs(recipe, where, [f"query : {text}" for text in TEXTS], rest)
    assert_close(model.encode(TEXTS, prompt="query : "), expected)


def test_long_texts_are_cut_as_the_files_say(tmp_path: Path):
    recipe = RECIPES["bert-pooler"]
    files = {"1_Pooling__config": {"pooling_mode_mean_tokens": True},
             "sentence_bert_config": {"max_seq_length": 6, "do_lower_case": True}}  # fmt: skip
    model = load(where := place(tmp_path, recipe, ["Pooling"], **files))
    assert_close(model.encode(TEXTS), theirs(recipe, where, TEXTS, POOLS["mean_tokens"], limit=6))


def test_no_text_is_longer_than_the_positions(tmp_path: Path):
    recipe = RECIPES["bert-pooler"]
    files = {"1_Pooling__config": {"pooling_mode_mean_tokens": True},
             "sentence_bert_config": {"max_seq_length": 512}}  # fmt: skip
    model = load(where := place(tmp_path, recipe, ["Pooling"], **files))
    positions = model.config.max_position_embeddings
    assert positions is not None and positions < 100
    long = [" ".join(WORDS[:5] * 20)]
    assert_close(model.encode(long), theirs(recipe, where, long, POOLS["mean_tokens"], limit=positions))


@pytest.mark.parametrize(("name", "mode"), [("bert-masked", "mean_tokens"), ("gpt2", "lasttoken")])
def test_without_files_the_kind_of_model_says(name: str, mode: str, tmp_path: Path):
    recipe = RECIPES[name]
    model = load(where := place(tmp_path, recipe, []))
    expected = theirs(recipe, where, TEXTS[:3], POOLS[mode])
    assert_close(model.encode(TEXTS[:3]), expected)
    assert_close(model.encode(TEXTS[1], normalize=True), F.normalize(expected[1], dim=-1))
    assert model.encode([]).shape == (0, SIZE)


# Types of modules in modules.json, and what of them is told as not known.
NOT_KNOWN = {
    "later": (["Transformer", "Pooling", "LSTM"], "LSTM"),
    "first": (["MLMTransformer", "SpladePooling"], "MLMTransformer"),
    "own": (["custom_st.Transformer", "Pooling"], "custom_st.Transformer"),
    "order": (["Transformer", "Normalize", "Pooling"], "a Transformer followed by Normalize, Pooling"),
    "alone": (["Transformer"], "a Transformer followed by nothing"),
}


@pytest.mark.parametrize("case", NOT_KNOWN)
def test_modules_that_are_not_known_are_named(case: str, tmp_path: Path):
    kinds, told = NOT_KNOWN[case]
    where = place(tmp_path, RECIPES["bert-pooler"], [], p__config={"pooling_mode_mean_tokens": True})
    listed = [
        {"path": "p" if kind == "Pooling" else "",
         "type": kind if "." in kind else f"sentence_transformers.models.{kind}"}
        for kind in kinds
    ]  # fmt: skip
    (where / "modules.json").write_text(json.dumps(listed))
    with pytest.raises(Invalid, match=f"need {told}, which"):
        load(where).encode(TEXTS)
    verdict = verify(where)
    assert verdict.is_complete and verdict.unknown_modules == (told,)


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("1_Pooling/config.json", {"pooling_mode_mean_tokens": False}, "every mode is false"),
        ("modules.json", [], "lists no modules"),
    ],
)
def test_files_that_say_no_way_to_a_vector_are_refused(file: str, content: Any, told: str, tmp_path: Path):
    where = place(tmp_path, RECIPES["bert-pooler"], ["Pooling"], **{"1_Pooling__config": {}})
    (where / file).write_text(json.dumps(content))
    assert verify(where).status == "damaged" and told in verify(where).problem
    with pytest.raises(CheckpointDamaged, match=told):
        load(where)


@pytest.mark.parametrize("texts", ["", ["birds", " "]])
def test_a_text_without_tokens_has_no_vector(texts: Any, tmp_path: Path):
    where = place(tmp_path, RECIPES["gpt2"], [])
    bare = WordLevel({"[UNK]": 0, "birds": 1}, unk_token="[UNK]")
    Tokenizer(bare).save(str(where / "tokenizer.json"))
    (where / "tokenizer_config.json").write_text("{}")
    model = load(where)
    with pytest.raises(Invalid, match=r"' ?' has no tokens"):
        model.encode(texts)
    assert model.encode("birds").shape == (SIZE,)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("mode", ["mean", "mean_sqrt", "weighted_mean"])
def test_long_texts_pool_in_any_dtype(mode: str, dtype: torch.dtype):
    hidden = torch.randn(2, 2048, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    mask = torch.ones(2, 2048, dtype=torch.long)
    mask[1, 5:] = 0
    found, exact = (pool(Pooling((mode,)), states, mask) for states in (hidden, hidden.float()))
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), exact, rtol=1e-2, atol=1e-2)
