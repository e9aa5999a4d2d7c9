"""The cards of this repository: each complete, valid, bilingual, and about the model that it names."""

from __future__ import annotations

import re

import pytest

from modelcenter.registry.cards import read_card
from modelcenter.registry.names import split_id
from modelcenter.registry.vocabulary import LANGUAGES, LICENSES, TASKS
from tests.support.catalogue import CARDS

PATHS = sorted(CARDS.glob("*/*/README.md"))
IDS = [f"{path.parts[-3]}/{path.parts[-2]}" for path in PATHS]

FRONT_MATTER = {
    "language", "license", "license_name", "license_link", "library_name", "pipeline_tag", "tags",
    "base_model", "modelcenter",
}  # fmt: skip
COUNTS = {
    "parameters", "context_length", "hidden_size", "num_layers", "num_decoder_layers", "num_heads",
    "num_kv_heads", "head_dim", "intermediate_size", "num_experts", "num_experts_per_tok", "vocab_size",
    "training_tokens",
}  # fmt: skip
TEXTS = {
    "upstream", "organization", "family", "series", "model_type", "architecture", "parameters_basis",
    "counted_as", "dtype", "released", "source", "modelscope", "original_modelcenter", "basis",
}  # fmt: skip
OTHERS = {"title", "aliases", "remote_code", "gated", "paper"}
HAN = re.compile(r"[\u4e00-\u9fff]")
UNSPACED = re.compile(r"[\u4e00-\u9fff][A-Za-z0-9]|[A-Za-z0-9][\u4e00-\u9fff]")
HALF_WIDTH = re.compile(r"[\u4e00-\u9fff][,;:!?]|[,;:!?][\u4e00-\u9fff]")


@pytest.fixture(scope="module", params=PATHS, ids=IDS)
def written(request):
    path = request.param
    text = path.read_text("utf-8")
    return f"{path.parts[-3]}/{path.parts[-2]}", text, read_card(text)


def test_there_are_cards_and_no_two_of_one_model():
    assert len(PATHS) == 231
    assert len({name.lower() for name in IDS}) == len(IDS)
    aliases = [alias for path in PATHS for alias in read_card(path.read_text("utf-8")).facts.aliases]
    assert len(set(aliases)) == len(aliases)
    assert not set(aliases) & set(IDS)
    assert all(not path.is_dir() or (path / "README.md").is_file() for path in CARDS.glob("*/*"))


def test_metadata_is_what_hubs_know(written):
    name, _, card = written
    split_id(name)
    assert card.errors == ()
    assert set(card.metadata) <= FRONT_MATTER
    assert {"tags", "pipeline_tag", "modelcenter"} <= set(card.metadata)
    assert set(card.languages) <= set(LANGUAGES)
    assert card.languages or card.pipeline_tag == "image-classification"
    assert card.license is None or card.license in LICENSES
    assert (card.license_name is None and card.license_link is None) or card.license == "other"
    assert card.pipeline_tag in TASKS
    assert all(base.count("/") == 1 for base in card.base_models)


def test_facts_are_positive_and_about_this_model(written):
    name, _, card = written
    block = card.metadata["modelcenter"]
    assert set(block) <= COUNTS | TEXTS | OTHERS
    assert card.facts.upstream == name
    assert card.facts.family
    assert set(block["title"]) == {"zh", "en"}
    assert block["basis"] in ("config-verified", "config-partly", "config-third-party", "paper", "none")
    for key in COUNTS & set(block):
        assert isinstance(block[key], int), key
        assert block[key] > 0, key
    for key in TEXTS & set(block):
        assert isinstance(block[key], str), key
        assert block[key], key
    assert ("parameters" in block) == ("parameters_basis" in block)
    assert block.get("parameters_basis", "class") in ("class", "formula", "assumed", "lower-bound")
    if {"num_heads", "num_kv_heads"} <= set(block):
        assert block["num_heads"] % block["num_kv_heads"] == 0
    assert re.fullmatch(r"20\d\d-(?:0[1-9]|1[0-2])", block.get("released", "2020-01"))
    assert re.fullmatch(r"https://\S+", block.get("source", "https://x"))
    if "paper" in block:
        assert {"title", "url"} <= set(block["paper"]) <= {"title", "url", "arxiv"}
        assert re.fullmatch(r"\d{4}\.\d{4,5}", block["paper"].get("arxiv", "1234.5678"))


def test_text_says_the_same_in_both_languages(written):
    name, _, card = written
    assert set(card.sections) == set(card.descriptions) == {"zh", "en"}
    assert HAN.search(card.descriptions["zh"])
    assert not HAN.search(card.sections["en"])
    for section in card.sections.values():
        assert f"https://huggingface.co/{name}" in section
        assert "from_pretrained" in section
        if card.facts.parameters:
            assert f"{card.facts.parameters:,}" in section
        if card.facts.context_length:
            assert f"{card.facts.context_length:,}" in section


def test_chinese_is_set_as_chinese_is(written):
    _, _, card = written
    prose = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)|<[^>]*>", "", card.sections["zh"], flags=re.DOTALL)
    assert not HALF_WIDTH.search(prose)
    assert not UNSPACED.search(prose), UNSPACED.search(prose)
