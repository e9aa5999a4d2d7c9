"""Webhooks and the feed of events over HTTP; deliveries by the hub's own worker."""

from __future__ import annotations

from sqlalchemy import update

from modelcenter.registry import events
from modelcenter.registry.tables import Activity, now
from tests.support.server import wait_for

ROOT = "/api/modelcenter/webhooks"


def test_a_webhook_is_set_up_tried_and_taken_away(server, api):
    wanted = {
        "watched": "alice",
        "url": f"{server.url}/health".replace("127.0.0.1", "localhost"),
        "events": ["repo.create"],
    }
    made = server.request("POST", ROOT, server.token, json=wanted)
    assert made.status_code == 201
    webhook = made.json()
    assert webhook["secret"].startswith("whsec_")
    place = f"{ROOT}/{webhook['id']}"
    (listed,) = server.get(ROOT, server.token).json()["webhooks"]
    assert listed == {name: value for name, value in webhook.items() if name != "secret"}
    assert server.request("POST", f"{place}/test", server.token).status_code == 202
    sent = wait_for(
        lambda: [each for each in server.get(f"{place}/deliveries", server.token).json() if each["attempts"]]
    )
    assert sent[0]["event"]["event"] == "webhook.test"
    assert "no public address" in sent[0]["problem"]
    for method, path in (("DELETE", place), ("POST", f"{place}/test"), ("GET", f"{place}/deliveries")):
        assert server.request(method, path, server.other_token).status_code == 404
    assert server.request("DELETE", place, server.token).status_code == 200
    assert server.get(ROOT, server.token).json() == {"webhooks": []}


def test_wrong_webhooks_are_refused(server):
    for body, status in (
        ({"watched": "alice", "url": "file:///etc/passwd"}, 400),
        ({"watched": "alice", "url": "https://a.example", "events": "all"}, 400),
        ({"watched": "alice", "url": "http://169.254.169.254/"}, 400),
        ({"watched": "alice/nowhere", "url": "https://a.example"}, 404),
        ({"url": "https://a.example"}, 400),
    ):
        assert server.request("POST", ROOT, server.token, json=body).status_code == status, body
    assert server.request("POST", ROOT, server.read_token, json={}).status_code in (400, 403)
    assert server.get(ROOT).status_code == 401
    absent = server.get(f"{ROOT}/{'9' * 30}/deliveries", server.token)
    assert absent.status_code == 404
    assert "9" * 30 in absent.json()["error"]


def test_events_are_told_in_order_and_nothing_private(server, api, repo):
    api.create_repo(f"{repo}-private", private=True)
    with server.hub() as hub, hub.database.transaction() as session:  # long enough ago to be told
        session.execute(update(Activity).values(at=now() - events.SETTLED))
    start = "/api/modelcenter/events?limit=1000"

    def mine(token=None):
        told = server.get(start, token).json()
        return [event for event in told["events"] if event["repository"].startswith(repo)]

    assert {event["repository"] for event in mine(server.token)} == {repo, f"{repo}-private"}
    assert {event["repository"] for event in mine()} == {repo}
    assert [event["event"] for event in mine(server.other_token)] == ["repo.create", "repo.content"]
    last = server.get(start).json()["last"]
    after = server.get(f"/api/modelcenter/events?after={last}").json()
    assert all(event["id"] > last for event in after["events"])
    assert server.get("/api/modelcenter/events?after=x").status_code == 400
