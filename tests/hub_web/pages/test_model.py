"""A model's page in each of its states."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime

import pytest
from markupsafe import Markup

from hub_web.pages import presenters, snippets, verdicts
from modelcenter.registry.tables import Model, Repository
from modelcenter.verification import Verdict
from tests.support.html import visible


def code(text: str, name: str) -> str:
    """A snippet's text."""
    found = re.search(rf'<pre id="snippet-{name}"[^>]*>(.*?)</pre>', text, re.DOTALL)
    assert found
    return html.unescape(re.sub(r"<[^>]+>", "", found[1]))


def test_a_complete_checkpoint_is_said_to_load(page):
    text = visible(page("/tiny/complete"))
    assert "Loads with ModelCenter" in text
    assert re.search(r"All \d+ tensors are accounted for by the BERT architecture", text)
    assert "BertModel" in text


def test_an_incomplete_checkpoint_names_every_tensor_that_is_wrong(page):
    text = page("/tiny/broken")
    assert "Does not load with ModelCenter" in text
    assert '<details class="report" open>' in text
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", text)]
    assert ["encoder.layer.1.attention.self.query.weight", "16 × 16", "–", "–"] in rows
    assert ["encoder.layer.1.attention.self.qeury.weight", "–", "16 × 16", "model.safetensors"] in rows
    assert ["encoder.layer.0.output.dense.weight", "16 × 24", "24 × 16", "model.safetensors"] in rows


def test_a_report_tells_what_was_corrected_and_what_contradicts_the_configuration(page):
    lists = [
        visible(text)
        for text in re.findall(r"<details class=\"note-list\">.*?</details>", page("/tiny/broken"), re.DOTALL)
    ]
    corrections, contradictory, derived = lists
    assert "Corrections 1" in corrections and "rows" in corrections
    assert "Contradictory 1" in contradictory
    assert "embeddings.position_ids" in contradictory and "other numbers than 0, 1, 2" in contradictory
    assert "Derived 1" in derived
    chinese = page("/tiny/broken", "zh")
    assert "更正" in chinese and "与配置不符" in chinese


def test_a_report_tells_what_is_not_loaded(app):
    verdict = Verdict(
        "complete",
        unused=("cls.seq.weight",),
        counts={"unused": 300},
        others={"optimizer": "dict"},
        unknown_modules=("modules.WordWeights",),
    )
    with app.test_request_context(headers={"Accept-Language": "en"}):
        notes = verdicts.present(verdict, "1", datetime.now(UTC)).notes
    assert [(note.label, note.total, note.more) for note in notes] == [
        ("Unused", "300", "299"), ("No tensors", "1", ""), ("Unknown modules", "1", ""),
    ]  # fmt: skip


def test_a_damaged_file_is_named_in_the_report(page):
    text = visible(page("/tiny/damaged"))
    assert "The checkpoint is damaged" in text
    assert "model.safetensors is damaged" in text


def test_the_report_of_a_chinese_page_marks_its_english_sentence(page):
    assert re.search(
        r'<p class="problem break" lang="en">model.safetensors is damaged', page("/tiny/damaged", "zh")
    )


def test_an_unknown_architecture_is_no_reproach(page):
    text = visible(page("/tiny/unknown"))
    assert "ModelCenter does not know this architecture yet" in text
    assert "Hyena has no family here" in text


def test_a_new_upload_says_that_its_verdict_is_on_the_way(page):
    text = page("/tiny/pending")
    assert "Verification is under way" in text
    assert "data-pending" in text


def test_an_empty_repository_says_how_to_fill_it(page):
    text = visible(page("/tiny/empty"))
    assert "There are no weights here yet" in text
    assert "modelcenter upload PATH OWNER/NAME" in text
    assert "This model has no card yet" in text


def test_a_linked_entry_says_plainly_that_its_weights_are_elsewhere(page):
    text = page("/openbmb/entry-07")
    assert "No weights are hosted here" in text
    assert 'href="https://huggingface.co/openbmb/entry-07"' in text
    assert "/openbmb/entry-07/tree" not in text
    assert "HF_ENDPOINT" not in code(text, "transformers")


def test_facts_of_a_model_are_there_and_lead_to_its_kin(page):
    text = page("/openbmb/entry-07")
    read = visible(text)
    for fact in (
        "7B parameters",
        "Context length 4,096 tokens",
        "Layers 40",
        "Attention heads 36, 4 key/value",
        "Licence MIT",
    ):
        assert fact in read
    assert 'href="/models?family=minicpm"' in text
    assert '<a href="https://arxiv.org/abs/2404.06395" rel="noopener" lang="en">A paper</a>' in text
    assert '<a href="/models?q=openbmb%2Fentry-01">openbmb/entry-01</a>' in page("/tiny/complete")


def test_memory_follows_from_the_parameters(page):
    read = visible(page("/openbmb/entry-07"))
    assert "fp32 26.1 GiB fp16 13 GiB int8 6.52 GiB int4 3.26 GiB" in read


def test_snippets_carry_the_address_at_which_the_page_was_asked_for(client):
    text = client.get("/tiny/complete", base_url="https://hub.example:8443").text
    assert (
        code(text, "modelcenter").splitlines()[2]
        == 'model = load("tiny/complete", endpoint="https://hub.example:8443")'
    )
    assert 'os.environ["HF_ENDPOINT"] = "https://hub.example:8443"' in code(text, "transformers")
    assert "modelcenter download tiny/complete" in code(text, "cli")


def test_snippets_are_python(page):
    for name in ("modelcenter", "transformers"):
        compile(code(page("/tiny/complete"), name), name, "exec")


def test_snippets_fit_the_kind_of_model(page):
    assert "model(**inputs).last_hidden_state" in code(page("/tiny/complete"), "modelcenter")
    assert 'model.tokenizer("你好，世界"' in code(page("/tiny/complete"), "modelcenter")
    linked = code(page("/openbmb/entry-07"), "modelcenter")
    assert "model.generate(" in linked
    assert linked.startswith("# This architecture is not supported yet.")
    assert code(page("/openbmb/entry-07", "zh"), "modelcenter").startswith("# 目前还不支持这种架构。")
    assert "AutoModelForCausalLM.from_pretrained(" in code(page("/openbmb/entry-07"), "transformers")


def test_the_card_begins_in_the_language_of_the_page(page):
    chinese, english = page("/tiny/complete", "zh-CN"), page("/tiny/complete", "en")
    assert chinese.index("一个用来演示的小编码器") < chinese.index("A tiny encoder to show")
    assert english.index("A tiny encoder to show") < english.index("一个用来演示的小编码器")
    assert 'lang="zh-CN" id="in-zh"' in english
    assert 'lang="en" id="in-en"' in chinese


def test_a_card_in_one_language_says_so(page):
    assert "这张模型卡只有英文版" in page("/tiny/broken", "zh")
    assert 'lang="en" id="in-en"' in page("/tiny/broken", "zh")


def test_what_a_card_must_not_bring_along_is_gone(page):
    text = page("/tiny/complete")
    card = text[text.index('id="in-en"') : text.index('aria-labelledby="files"')]
    assert "<script" not in card
    assert not re.search(r"<[^>]*\son\w+=", re.sub(r'"[^"]*"', '""', card))
    assert not re.search(r'="\s*javascript:', card)
    assert not re.search(r"<table onclick", re.sub(r'="[^"]*"', "", card))


def test_the_cards_links_lead_into_its_revision(page):
    text = page("/tiny/complete")
    assert '/tiny/complete/resolve/main/vocab.txt"' in text
    assert 'src="/tiny/complete/resolve/main/notes/loss.png"' in text


def test_there_is_one_first_heading(page):
    for address in ("/", "/models?q=tiny", "/tiny/complete", "/openbmb/entry-07", "/tiny/complete/tree/main"):
        assert len(re.findall(r"<h1[ >]", page(address))) == 1


def test_files_are_listed_with_size_digest_and_download(page):
    text = page("/tiny/complete")
    assert re.search(r'model\.safetensors</a><span class="lfs" title="[0-9a-f]{64}">LFS</span>', text)
    assert 'href="/tiny/complete/resolve/main/model.safetensors" download' in text
    assert ">.gitattributes<" not in text


def test_another_spelling_of_an_id_leads_to_the_one(client):
    answer = client.get("/Tiny/COMPLETE")
    assert answer.status_code == 302
    assert answer.headers["Location"] == "/tiny/complete"


def test_a_private_model_is_as_if_it_were_not(page):
    text = page("/tiny/secret", status=404)
    assert "There is no such model" in text
    assert "There is no such model" in page("/tiny/nothing", status=404)


def test_a_page_takes_a_fixed_number_of_statements(page, statements):
    for address, most in (("/tiny/complete", 10), ("/openbmb/entry-07", 3), ("/tiny/complete/tree/main", 11)):
        statements.clear()
        page(address)
        assert len(statements) <= most, (address, statements)


def first_way(text: str) -> str:
    """The way to use a model that its page offers first."""
    return re.findall(r'id="use-(\w+)" checked', text)[0]


def test_our_loader_comes_first_where_the_model_loads_and_nowhere_else(page):
    assert first_way(page("/tiny/complete")) == "modelcenter"
    for name, said in (
        ("broken", "# This does not load with ModelCenter.\n# As BERT: one tensor is missing"),
        ("damaged", "# This does not load with ModelCenter.\n# A weight file contradicts"),
        ("unknown", "# This architecture is not supported yet."),
        ("pending", "# Whether this loads is being verified."),
    ):
        text = page(f"/tiny/{name}")
        assert first_way(text) == "transformers"
        assert code(text, "modelcenter").startswith(said), name
        compile(code(text, "modelcenter"), name, "exec")
        is_faulty = name in ("broken", "damaged")
        assert code(text, "transformers").startswith(said if is_faulty else "import os")
    assert first_way(page("/openbmb/entry-07")) == "transformers"  # a family that we do not have


def test_a_model_without_weights_says_so_before_all_else(page):
    for language, words in (("en", "No weights"), ("zh", "没有权重")):
        text = page("/tiny/empty", language)
        assert re.search(rf'<span class="badge quiet"[^>]*><svg.*?</svg>{words}</span>', text)
        row = page("/models?q=tiny/empty", language)
        assert re.search(rf'<span class="badge quiet"[^>]*><svg.*?</svg>{words}</span>', row)
    assert first_way(page("/tiny/empty")) == "cli"
    assert "load(" not in text
    assert "No weights<" not in page("/tiny/complete")


def test_a_model_whose_weights_are_with_its_publisher_is_used_from_there(app):
    repository = Repository(namespace="tiny", name="m", status="hosted", upstream="up/m")
    model = Model(model_type="bert", architecture="BertModel", card={}, tags=[])
    with app.test_request_context(headers={"Accept-Language": "en"}):
        ways = {
            way.name: way.code for way in snippets.snippets(repository, model, "http://h", "no_checkpoint")
        }
    assert list(ways) == ["modelcenter", "transformers", "cli"]
    assert "huggingface.co" in ways["modelcenter"]
    assert "HF_ENDPOINT" not in ways["transformers"]
    assert "modelcenter download up/m --endpoint https://huggingface.co" in Markup(ways["cli"]).striptags()


def test_a_configuration_that_cannot_be_meant_has_words_of_its_own(app):
    verdict = Verdict("invalid_configuration", "hidden_size is 7, not divisible by num_attention_heads, 4.")
    with app.test_request_context(headers={"Accept-Language": "en"}):
        view = verdicts.present(verdict, "1", datetime.now(UTC))
        badge = presenters.verdict_badge("invalid_configuration")
    assert (view.tone, view.title, view.open) == ("bad", "The configuration is not valid", True)
    assert view.problem == verdict.problem
    assert badge is not None
    assert badge.label == "Invalid configuration"


@pytest.mark.parametrize(
    ("counted", "auto"),
    [("Qwen2ForCausalLM", "AutoModelForCausalLM"), ("T5ForConditionalGeneration", "AutoModelForSeq2SeqLM")],
)
def test_an_entry_without_files_is_used_as_the_class_it_was_counted_with(app, counted: str, auto: str):
    repository = Repository(namespace="up", name="m", status="linked", upstream="up/m")
    model = Model(card={"modelcenter": {"counted_as": counted}}, tags=[])
    with app.test_request_context(headers={"Accept-Language": "en"}):
        ways = {way.name: way.code for way in snippets.snippets(repository, model, "http://h", None)}
    assert f"{auto}.from_pretrained" in Markup(ways["transformers"]).striptags()
