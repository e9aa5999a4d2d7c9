"""The list: what it finds, what its address says, where it leads."""

from __future__ import annotations

import html
import re

import pytest

from tests.support.html import visible

LINKED, HOSTED = 40, 6  # that anybody may see


def hrefs(text: str, contains: str = "") -> list[str]:
    """The links of a page."""
    return [html.unescape(href) for href in re.findall(r'href="([^"]+)"', text) if contains in href]


def names(text: str) -> list[str]:
    """The models of a list, in its order."""
    return re.findall(r'<h2 class="row-name"><a href="/([^"]+)">', text)


@pytest.mark.parametrize("address", ["/", "/models"])
def test_the_list_shows_every_public_model_and_how_many_there_are(page, address):
    text = page(address)
    assert f"{LINKED + HOSTED} models" in text
    assert len(names(text)) == 30


def test_private_models_are_neither_listed_nor_counted(page):
    assert "tiny/secret" not in page("/models?q=tiny")


def test_pages_follow_one_another_in_both_directions(page):
    first, second = page("/models?sort=name"), page("/models?sort=name&page=2")
    assert len(set(names(first) + names(second))) == LINKED + HOSTED
    assert hrefs(first, "page=2") and '<link rel="next" href="/models?sort=name&amp;page=2">' in first
    assert '<link rel="prev" href="/models?sort=name">' in second
    assert 'rel="next"' not in second


def test_a_page_beyond_the_last_one_leads_back(page):
    text = page("/models?page=900")
    assert "46 models" in text
    assert "/models?page=2" in hrefs(text)


@pytest.mark.parametrize("number", ["0", "-1", "x", "1e9", "9" * 30, "²"])
def test_a_page_number_that_is_none_is_the_first_page(page, number):
    assert len(names(page(f"/models?page={number}"))) == 30


def test_a_row_tells_what_the_model_is(page):
    text = visible(page("/models?q=entry-07"))
    for expected in (
        "openbmb/ entry-07",
        "Entry number 07, for dialogue.",
        "Text generation",
        "7B",
        "MIT",
        "4K",
        "Linked",
    ):
        assert expected in text


def test_a_row_tells_whether_the_model_loads(page):
    text = visible(page("/models?q=tiny"))
    assert re.search(r"tiny/ complete Loads", text)
    assert re.search(r"tiny/ broken Does not load", text)
    assert re.search(r"tiny/ damaged Damaged", text)
    assert re.search(r"tiny/ unknown Unknown architecture", text)


def test_titles_follow_the_language_of_the_page(page):
    assert "中文对话模型 07" in page("/models?q=entry-07", "zh-CN")
    assert "中文对话模型 07" not in page("/models?q=entry-07", "en")


def test_two_chinese_characters_find_models(page):
    assert f"{LINKED} 个模型" in page("/models?q=对话&organization=openbmb", "zh")


def facet_links(text: str) -> dict[str, tuple[str, int, bool]]:
    """Label of each choice: its address, its count (0 where none is shown), whether it is chosen."""
    found = {}
    pattern = (
        r'<li><a href="([^"]+)" rel="nofollow"( class="on" aria-current="true")?><span class="box">.*?</span>'
        r'<span class="break">(.*?)</span><span class="count">(.*?)</span>'
    )
    for href, on, label, count in re.findall(pattern, text, re.DOTALL):
        found[html.unescape(label)] = (html.unescape(href), int(count or 0), bool(on))
    return found


def test_every_count_is_the_length_of_the_list_it_leads_to(page):
    choices = facet_links(page("/models"))
    assert {
        "Loads with ModelCenter",
        "Text generation",
        "1B-5B",
        "Chinese",
        "MiniCPM",
        "MIT",
        "openbmb",
    } <= choices.keys()
    for label, (href, count, is_on) in choices.items():
        assert not is_on
        assert re.search(rf">{count} models?<", page(href)), label


def test_a_choice_beside_a_chosen_one_says_what_it_adds(page):
    text = page("/models?family=llama")
    [total] = map(int, re.findall(r">(\d+) models<", text))
    beside = {label: link for label, link in facet_links(text).items() if "family=llama&family=" in link[0]}
    assert beside
    for label, (href, added, _) in beside.items():
        assert f">+{added}</span>" in text
        assert f">{total + added} models<" in page(href), label
    assert facet_links(text)["Llama"][1:] == (total, True)


def test_a_chosen_organisation_is_marked_however_it_is_spelled(page):
    text = page("/models?organization=OpenBMB")
    href, count, is_on = facet_links(text)["openbmb"]
    assert (href, is_on) == ("/models", True)
    assert f">{count} models<" in text
    assert text.count(">openbmb</span><span class") == 1


def test_choices_add_up_inside_a_facet_and_narrow_across(page):
    one = facet_links(page("/models?family=llama"))
    assert one["Llama"][2]
    both = page(one["MiniCPM"][0])
    assert f">{LINKED} models<" in both
    narrowed = facet_links(both)["Translation"]
    assert f">{narrowed[1]} models<" in page(narrowed[0])


def test_what_is_chosen_can_be_taken_back(page):
    text = page("/models?q=entry&family=llama&license=mit&sort=size")
    chips = hrefs(text[text.index('<ul class="chips"') : text.index('<ol class="rows"')])
    assert chips == [
        "/models?family=llama&license=mit&sort=size",
        "/models?q=entry&license=mit&sort=size",
        "/models?q=entry&family=llama&sort=size",
        "/models?sort=size",
    ]


def test_a_new_search_keeps_the_filters_and_forgets_the_page(page):
    text = page("/models?family=llama&family=minicpm&sort=name&page=2")
    assert re.findall(r'<input type="hidden" name="(\w+)" value="(\w+)">', text) == [
        ("family", "llama"),
        ("family", "minicpm"),
        ("sort", "name"),
    ]


def test_the_list_comes_in_the_order_asked_for(page):
    assert names(page("/models?sort=size"))[:2] == ["openbmb/entry-40", "openbmb/entry-39"]
    assert names(page("/models?sort=name"))[:2] == ["openbmb/entry-01", "openbmb/entry-02"]
    assert 'aria-current="true">Name<' in page("/models?sort=name")


def test_addresses_of_other_hubs_work(page):
    assert names(page("/models?search=entry-07&author=openbmb&pipeline_tag=text-generation")) == [
        "openbmb/entry-07"
    ]


def test_an_empty_list_names_what_to_drop(page):
    text = page("/models?q=entry-07&family=llama&task=text-generation")
    assert "No model fits all of this" in text
    drops = text[text.index("Take one of these away") :]
    assert "/models?q=entry-07&task=text-generation" in hrefs(drops)  # without the family
    assert "/models?q=entry-07&family=llama" not in hrefs(drops)  # would find nothing either
    assert "/models" in hrefs(drops)


def test_a_misspelt_word_is_met_with_a_near_one(page):
    assert "complete" in page("/models?q=complte")


def test_hostile_questions_are_shown_as_text(page):
    text = page('/models?q="><script>alert(1)</script>&family=<b>&sort=%27;drop')
    assert "<script>alert" not in text
    assert "<b>" not in text.replace("<b>", "", text.count('facet-name">')) or "&lt;b&gt;" in text


def test_the_number_of_statements_does_not_grow_with_the_list(page, statements):
    page("/models")
    assert len(statements) <= 3, statements
    statements.clear()
    page("/models?q=对话&family=llama&family=minicpm&language=zh&license=mit&page=1")
    assert len(statements) <= 3, statements
    statements.clear()
    page("/models?q=nothing&family=llama&language=zh&license=mit&task=translation&size=1B-5B")
    assert len(statements) <= 12, statements
