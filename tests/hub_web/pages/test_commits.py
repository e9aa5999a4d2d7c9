"""A commit's page: what uploads print the address of."""

from __future__ import annotations

import re

from modelcenter.registry import repositories
from modelcenter.registry.access import ANONYMOUS
from modelcenter.registry.repositories import log, resolve
from tests.support.html import visible


def history(app, repo: str, revision: str = "main") -> list[str]:
    """The ids of a model's commits, newest first."""
    hub = app.extensions["modelcenter"]
    with hub.database.session() as session:
        repository = repositories.get(session, ANONYMOUS, repo)
        return [commit.oid for commit in log(session, resolve(session, repository, revision))[0]]


def test_a_commit_says_who_changed_what_and_leads_to_its_files(app, page):
    newest, first = history(app, "tiny/complete")
    text = page(f"/tiny/complete/commit/{newest}")
    read = visible(text)
    assert "Upload the checkpoint" in read
    assert "Author root" in read
    assert newest in read
    assert re.search(r"added model\.safetensors [\d.]+ kB", read)
    assert "added notes/loss.png" in read
    assert "changed .gitattributes" not in read
    assert f'href="/tiny/complete/commit/{first}"' in text
    assert f'href="/tiny/complete/tree/{newest}"' in text
    assert f'href="/tiny/complete/blob/{newest}/vocab.txt"' in text


def test_a_commit_speaks_both_languages(app, page):
    (newest, *_) = history(app, "tiny/complete")
    assert "作者 root" in visible(page(f"/tiny/complete/commit/{newest}", "zh"))


def test_the_first_commit_builds_on_nothing(app, page):
    *_, first = history(app, "tiny/complete")
    assert "the first commit" in visible(page(f"/tiny/complete/commit/{first}"))


def test_a_branch_and_the_beginning_of_an_id_lead_to_the_commit(app, client):
    (newest, *_) = history(app, "tiny/complete")
    for revision in ("main", newest[:8]):
        answer = client.get(f"/tiny/complete/commit/{revision}")
        assert answer.status_code == 302
        assert answer.headers["Location"] == f"/tiny/complete/commit/{newest}"


def test_a_commit_that_there_is_not_is_not_found(app, page):
    assert "no such revision" in visible(page(f"/tiny/complete/commit/{'0' * 40}", status=404))
    page(f"/tiny/secret/commit/{'0' * 40}", status=404)
    page("/openbmb/entry-07/commit/main", status=404)


def test_the_tree_leads_to_its_commit(app, page):
    (newest, *_) = history(app, "tiny/complete")
    assert f'href="/tiny/complete/commit/{newest}"' in page("/tiny/complete/tree/main")
