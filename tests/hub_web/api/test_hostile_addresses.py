"""Addresses that nobody means: refused in words, on a real server, with either database."""

from __future__ import annotations

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError


@pytest.mark.parametrize(
    "path",
    [
        "/alice/none/resolve/main/%00",
        "/alice/none/%7f/x",
        "/alice/none/resolve/main/%7f",
        "/alice/none/resolve/%01/%c2%80",
        "/api/%00",
        "/api/%7f",
        "/api/models/a%00/b",
        "/api/models/a%1b/b",
        "/a%00/b",
        "/a%00",
        "/alice/none/tree/%00",
        "/%ff",
        "/api/%ff",
        "/api/models/alice/%ed%a0%80",
        "/alice/none/resolve/main/%c3",
        "/alice/none/blob/main/%ff",
    ],
)
def test_control_characters_and_broken_ones_in_a_path_lead_nowhere(server, path):
    answer = server.get(path)
    assert answer.status_code in (401, 404)
    assert answer.headers.get("X-Request-Id")


@pytest.mark.parametrize("query", ["organization=%00", "q=%00", "task=a%00b&sort=%00&page=%00"])
def test_pages_leave_out_what_has_a_nul(server, query):
    assert server.get(f"/models?{query}").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/api/models?author=%00&filter=%00",
        "/api/models?search=%00",
        "/api/modelcenter/search?family=a%00b",
        "/api/models/alice/none/tree/main?cursor=%00",
    ],
)
def test_programs_are_told_of_a_nul(server, path):
    answer = server.get(path)
    assert answer.status_code == 400
    assert "NUL" in answer.json()["error"]


def test_a_broken_address_is_that_of_no_other_file(server, api, repo):
    for path in ("\ufffd", "a/b"):
        api.upload_file(path_or_fileobj=b"x", path_in_repo=path, repo_id=repo)
    assert server.get(f"/{repo}/resolve/main/%EF%BF%BD").status_code == 200
    for place in (f"/{repo}/resolve/main", f"/api/models/{repo}/tree/main"):
        for path in ("%ff", "a%EF%B7%90b"):
            answer = server.get(f"{place}/{path}")
            assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/json")
    assert server.get("/api/models?search=%ff").status_code == 400


def test_a_refusal_ends_in_one_full_stop(server, repo):
    with pytest.raises(HfHubHTTPError) as caught:
        HfApi(endpoint=server.url, token=server.other_token).create_repo("alice/of-bob")
    assert ".." not in str(caught.value)


def test_a_list_of_none_is_empty(server, anonymous, repo):
    assert list(anonymous.list_models(limit=0)) == []
    assert server.get("/api/models?limit=0").json() == []
