"""Quoted slashes reach the views where they were meant."""

from __future__ import annotations

import pytest
from flask import Flask, jsonify, url_for

from hub_web import routing


@pytest.fixture
def client():
    app = Flask(__name__, static_folder=None)
    routing.install(app.url_map)

    @app.get("/api/<owner>/<name>/tree/<revision:revision>")
    @app.get("/api/<owner>/<name>/tree/<revision:revision>/<path:path>")
    def tree(owner: str, name: str, revision: str, path: str = ""):
        return jsonify(
            [owner, name, revision, path, url_for("tree", owner=owner, name=name, revision=revision)]
        )

    @app.get("/<owner>/<name>/resolve/<revision:revision>/<path:path>")
    def resolve(owner: str, name: str, revision: str, path: str):
        return jsonify([owner, name, revision, path])

    @app.get("/echo/<path:path>")
    def echo(path: str):
        return routing.raw_path()

    app.wsgi_app = routing.RawPath(app.wsgi_app)  # type: ignore[method-assign]
    return app.test_client()


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("/a/b/resolve/main/config.json", ["a", "b", "main", "config.json"]),
        ("/a/b/resolve/feature%2Fx/dir/f.txt", ["a", "b", "feature/x", "dir/f.txt"]),
        ("/a/b/resolve/refs%2Fpr%2F1/dir%2Ff.txt", ["a", "b", "refs/pr/1", "dir/f.txt"]),
        ("/a/b/resolve/refs/pr/1/dir/f.txt", ["a", "b", "refs/pr/1", "dir/f.txt"]),
        ("/a/b/resolve/refs/heads/dev/f.txt", ["a", "b", "refs/heads/dev", "f.txt"]),
        ("/a/b/resolve/main/%E4%B8%AD%E6%96%87/%20x%3F.txt", ["a", "b", "main", "中文/ x?.txt"]),
        ("/a/b/resolve/main/a%252Fb", ["a", "b", "main", "a%2Fb"]),
        ("http://hub.example/a/b/resolve/main/f%2Fg?x=1", ["a", "b", "main", "f/g"]),
    ],
)
def test_a_quoted_slash_belongs_to_its_segment(client, address, expected):
    response = client.get("/", environ_overrides={"RAW_URI": address})
    assert response.json == expected


def test_an_address_is_built_with_the_revisions_slashes_quoted(client):
    *_, revision, path, address = client.get(
        "/", environ_overrides={"RAW_URI": "/api/a/b/tree/feature%2Fx"}
    ).json
    assert (revision, path) == ("feature/x", "")
    assert address == "/api/a/b/tree/feature%2Fx"


def test_a_double_slash_is_no_other_spelling_of_one(client):
    assert client.get("/", environ_overrides={"RAW_URI": "/a//b/resolve/main/f"}).status_code == 404


def test_the_raw_path_can_be_asked_for_again(client):
    address = "/echo/%E4%B8%AD%2Fa%20b/c"
    assert client.get("/", environ_overrides={"RAW_URI": address}).text == address
