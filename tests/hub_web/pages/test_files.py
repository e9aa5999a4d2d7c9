"""Folders and files of a revision."""

from __future__ import annotations

import re
from urllib.parse import quote

from tests.support.html import visible


def test_a_folder_lists_folders_first_with_their_last_change(page):
    text = page("/tiny/complete/tree/main")
    names = re.findall(r'<td class="name"><span>.*?<a href="[^"]+">(.*?)</a>', text)
    assert names == ["notes", ".gitattributes", "config.json", "model.safetensors", "README.md", "vocab.txt"]
    assert "Upload the checkpoint" in text
    assert "initial commit" in text


def test_a_folder_inside_has_the_way_back(page):
    text = page("/tiny/complete/tree/main/notes")
    assert '<a href="/tiny/complete/tree/main">complete</a>' in text
    assert '<b aria-current="page">notes</b>' in text
    assert f"/tiny/complete/blob/main/notes/{quote('训练 说明.md')}" in text


def test_other_revisions_keep_the_path(page):
    text = page("/tiny/complete/tree/main/notes")
    assert f'href="/tiny/complete/tree/{quote("feature/试验", safe="")}/notes"' in text
    assert 'href="/tiny/complete/tree/v1.0/notes"' in text


def test_a_branch_with_a_slash_has_pages_of_its_own(page):
    branch = quote("feature/试验", safe="")
    assert "feature/试验" in page(f"/tiny/complete/tree/{branch}/notes")
    assert "先看数据" in page(f"/tiny/complete/blob/{branch}/notes/{quote('训练 说明.md')}")


def test_text_is_shown_line_by_line(page):
    text = page("/tiny/complete/blob/main/vocab.txt")
    lines = re.findall(r'<tr id="L(\d+)">.*?<td class="line">(.*?)</td>', text)
    assert lines[:2] == [("1", "[PAD]"), ("2", "[UNK]")]
    assert "你" in [line for _, line in lines]
    assert re.search(r'id="sha256">[0-9a-f]{64}<', text)


def test_what_a_file_says_is_text(page):
    text = page("/tiny/complete/blob/main/README.md")
    assert "<script>alert" not in text
    assert "alert" in text


def test_pictures_are_shown_as_such(page):
    assert '<img class="picture" src="/tiny/complete/resolve/main/notes/loss.png"' in page(
        "/tiny/complete/blob/main/notes/loss.png"
    )


def test_bytes_are_for_downloading(page):
    assert "This file is not text" in page("/tiny/complete/blob/main/notes/raw")
    assert "This file is not text" in page("/tiny/complete/blob/main/model.safetensors")


def test_a_file_asked_for_as_a_folder_is_found_and_the_other_way_round(client):
    assert (
        client.get("/tiny/complete/tree/main/vocab.txt").headers["Location"]
        == "/tiny/complete/blob/main/vocab.txt"
    )
    assert (
        client.get("/tiny/complete/blob/main/notes").headers["Location"] == "/tiny/complete/tree/main/notes"
    )


def test_what_is_missing_is_named(page):
    assert "nothing.txt does not exist in tiny/complete at" in visible(
        page("/tiny/complete/blob/main/nothing.txt", status=404)
    )
    assert "tiny/complete has no branch, tag or commit v9." in visible(
        page("/tiny/complete/tree/v9", status=404)
    )
    assert "tiny/nothing does not exist here" in visible(page("/tiny/nothing/tree/main", status=404))
    assert "tiny/secret does not exist here" in visible(page("/tiny/secret/blob/main/vocab.txt", status=404))


def test_a_linked_entry_has_no_files_and_says_where_they_are(page):
    text = page("/openbmb/entry-07/tree/main", status=404)
    assert "https://huggingface.co/openbmb/entry-07" in text
