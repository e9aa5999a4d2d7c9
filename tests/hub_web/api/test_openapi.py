"""The description of our own API against the routes that there are and the answers that they give."""

from __future__ import annotations

import re

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from hub_web.api import openapi
from hub_web.app import create_app
from modelcenter.settings import Settings


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    app = create_app(Settings.from_environment(tmp_path_factory.mktemp("hub"), {}))
    yield app
    app.extensions["modelcenter"].database.close()


def test_the_description_is_sound_and_has_every_route(app):
    document = app.test_client().get("/api/modelcenter/openapi.json").json
    OpenAPIV31SpecValidator(document).validate()
    told = {(path, method.upper()) for path, methods in document["paths"].items() for method in methods}
    routes = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method)
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api/modelcenter/")
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert told == routes
    assert all(each["summary"].endswith(".") for path in document["paths"].values() for each in path.values())


def test_nothing_is_described_that_is_not_there(app):
    assert set(openapi.VIEWS) == {
        rule.endpoint for rule in app.url_map.iter_rules() if rule.rule.startswith("/api/modelcenter/")
    }


def test_answers_are_as_described(server, api, repo):
    document = server.get("/api/modelcenter/openapi.json").json()
    assert document["servers"] == [{"url": server.url}]
    webhook = {"watched": "alice", "url": "https://hooks.example.org/"}
    made = server.request("POST", "/api/modelcenter/webhooks", server.token, json=webhook)
    place = f"/api/modelcenter/webhooks/{made.json()['id']}"
    answers = {
        ("/api/modelcenter/webhooks", "post"): made,
        ("/api/modelcenter/webhooks/{webhook_id}/test", "post"): server.request(
            "POST", f"{place}/test", server.token
        ),
        ("/api/modelcenter/webhooks/{webhook_id}/deliveries", "get"): server.get(
            f"{place}/deliveries", server.token
        ),
        ("/api/modelcenter/webhooks/{webhook_id}", "delete"): server.request("DELETE", place, server.token),
        ("/api/modelcenter/{owner}/{name}/verdict", "get"): server.get(f"/api/modelcenter/{repo}/verdict"),
        ("/api/modelcenter/{owner}/{name}/convert", "get"): server.get(f"/api/modelcenter/{repo}/convert"),
        **{
            (f"/api/modelcenter/{name}", "get"): server.get(f"/api/modelcenter/{name}", server.token)
            for name in ("search", "events", "webhooks", "openapi.json")
        },
    }
    for (path, method), answer in answers.items():
        (status, told), *_ = document["paths"][path][method]["responses"].items()
        assert answer.status_code == int(status), path
        Draft202012Validator(told["content"]["application/json"]["schema"]).validate(answer.json())
