"""Addresses that lead to the list."""

from __future__ import annotations

import pytest


def test_a_trailing_slash_leads_to_the_list(client):
    answer = client.get("/models/?q=tiny")
    assert answer.status_code == 302
    assert answer.headers["Location"] == "/models?q=tiny"


@pytest.mark.parametrize("address", ["/tiny", "/tiny/", "/TINY"])
def test_the_name_of_an_organisation_leads_to_its_models(client, address):
    answer = client.get(address)
    assert answer.status_code == 302
    assert answer.headers["Location"] == "/models?organization=tiny"


def test_who_publishes_linked_entries_has_a_list_and_nobody_has_none(client):
    assert client.get("/openbmb").headers["Location"] == "/models?organization=openbmb"
    assert client.get("/nobody").status_code == 404
