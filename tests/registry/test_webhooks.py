"""Webhooks as a receiver sees them: who is told what, signed how, sent again when, and never where."""

from __future__ import annotations

import base64
import dataclasses
import http.client
import http.server
import json
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest

from modelcenter.errors import AccessDenied, Invalid, NotAuthenticated, NotFound, RepositoryNotFound
from modelcenter.registry import (
    accounts,
    deliveries,
    discussions,
    events,
    lifecycle,
    moving,
    posting,
    webhooks,
)
from modelcenter.registry.access import ANONYMOUS
from modelcenter.registry.jobs import Worker
from modelcenter.registry.tables import Delivery, Job, now
from tests.support.registry import commit, person


class Receiver(http.server.ThreadingHTTPServer):
    """A host that keeps what it is sent and answers with the statuses it was given, 200 after them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taking)
        self.taken: list[tuple[dict[str, str], bytes]] = []
        self.statuses: list[int] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook?a=1"

    def types(self) -> list[str]:
        return [json.loads(body)["type"] for _, body in self.taken]


class Taking(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken.append((dict(self.headers), body))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 200)
        self.send_header("Location", "http://127.0.0.1:9/elsewhere")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def open_hub(hub):
    """A hub whose operator lets webhooks lead to this machine."""
    return dataclasses.replace(hub, settings=dataclasses.replace(hub.settings, webhooks_private=True))


def hook(hub, actor, watched, url, wanted=()):
    with hub.database.transaction() as session:
        allowed = hub.settings.webhooks_private
        return webhooks.create(session, actor, watched, url, wanted, private=allowed)


def work(hub) -> None:
    """All deliveries that are queued, those that wait to be repeated too."""
    with hub.database.transaction() as session:
        session.query(Job).filter(Job.state == "queued").update({"run_after": now() - timedelta(seconds=1)})
    Worker(hub, {deliveries.KIND: deliveries.deliver}).run_all()


def test_the_signature_is_that_of_the_standard():
    """The example of Standard Webhooks' own libraries."""
    found = deliveries.signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_receiver_hears_of_a_repositorys_life(open_hub, receiver):
    ann = person(open_hub, "ann")
    made = hook(open_hub, ann, "ann", receiver.url)
    lifecycle.create(open_hub, ann, "ann/m")
    done = commit(open_hub, ann, "ann/m", {"a.txt": b"a"}, title="新")
    with open_hub.database.transaction() as session:
        discussions.create(session, ann, "ann/m", "Why?", "")
        lifecycle.delete(session, ann, "ann/m")
    work(open_hub)
    assert receiver.types() == [
        *("repo.create", "repo.content", "repo.content", "discussion", "repo.delete"),
    ]
    headers, body = receiver.taken[2]
    said = json.loads(body)["data"]
    assert (said["act"], said["actor"], said["repository"]) == ("commit", "ann", "ann/m")
    assert said["details"] == {"ref": "refs/heads/main", "oid": done.oid, "title": "新"}
    moment = int(headers["webhook-timestamp"])
    signed = deliveries.signature(made.secret, headers["webhook-id"], moment, body)
    assert headers["webhook-signature"] == signed
    assert len(base64.b64decode(made.secret.removeprefix("whsec_"))) == 32
    work(open_hub)
    assert len(receiver.taken) == 5


def test_what_is_private_is_told_to_those_who_may_read_it(open_hub, receiver):
    ann, bob = person(open_hub, "ann"), person(open_hub, "bob")
    hook(open_hub, bob, "ann", receiver.url)
    lifecycle.create(open_hub, ann, "ann/secret", private=True)
    work(open_hub)
    assert receiver.taken == []
    with pytest.raises(RepositoryNotFound):
        hook(open_hub, bob, "ann/secret", receiver.url)
    with open_hub.database.transaction() as session:
        lifecycle.update(session, ann, "ann/secret", private=False)
    work(open_hub)
    assert receiver.types() == ["repo.config"]


def test_a_linked_entry_that_is_hosted_privately_is_not_told_to_all(open_hub, receiver):
    ann = person(open_hub, "ann")
    hook(open_hub, person(open_hub, "bob"), "ann", receiver.url)
    with open_hub.database.transaction() as session:
        lifecycle.link(session, "ann/m", "elsewhere/m")
    lifecycle.create(open_hub, ann, "ann/m", private=True)
    work(open_hub)
    assert receiver.taken == []


def test_only_wanted_events_of_what_is_watched_are_sent(open_hub, receiver):
    ann = person(open_hub, "ann")
    for name in ("a", "b"):
        lifecycle.create(open_hub, ann, f"ann/{name}")
    hook(open_hub, ann, "ANN/a", receiver.url, ["repo.delete"])
    commit(open_hub, ann, "ann/a", {"a.txt": b"a"})
    with open_hub.database.transaction() as session:
        lifecycle.delete(session, ann, "ann/b")
        lifecycle.delete(session, ann, "ann/a")
    work(open_hub)
    assert receiver.types() == ["repo.delete"]


def test_what_is_not_taken_is_sent_again_and_redirects_are_not_followed(open_hub, receiver):
    ann = person(open_hub, "ann")
    made = hook(open_hub, ann, "ann", receiver.url, ["repo.create"])
    receiver.statuses = [500, 302]
    lifecycle.create(open_hub, ann, "ann/m")
    for attempts in (1, 2, 3):
        work(open_hub)
        with open_hub.database.session() as session:
            ((delivery, _),) = webhooks.delivered(session, ann, made.id, before=None, limit=10)
        assert (delivery.attempts, delivery.delivered_at is not None) == (attempts, attempts == 3)
    assert len({headers["webhook-id"] for headers, _ in receiver.taken}) == 1
    assert (delivery.status, delivery.problem) == (200, None)


def test_a_host_that_is_gone_is_asked_no_more_until_a_test(open_hub, receiver):
    ann = person(open_hub, "ann")
    made = hook(open_hub, ann, "ann", receiver.url, ["repo.create"])
    receiver.statuses = [410]
    for name in ("a", "b"):
        lifecycle.create(open_hub, ann, f"ann/{name}")
        work(open_hub)
    assert receiver.types() == ["repo.create"]
    with open_hub.database.transaction() as session:
        webhooks.test(session, ann, made.id)
    work(open_hub)
    assert receiver.types() == ["repo.create", "webhook.test"]


def test_nothing_is_sent_to_private_addresses(hub, receiver, caplog):
    ann = person(hub, "ann")
    hook(hub, ann, "ann", receiver.url.replace("127.0.0.1", "localhost"), ["repo.create"])
    lifecycle.create(hub, ann, "ann/m")
    for _ in range(2):
        work(hub)
    assert receiver.taken == []
    with hub.database.session() as session:
        (delivery,) = session.query(Delivery)
    assert delivery.attempts == 1
    assert "MODELCENTER_WEBHOOKS_PRIVATE=on" in delivery.problem
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "[::1]",
        "169.254.169.254",
        "[::ffff:127.0.0.1]",
        "2130706433",
        "0.0.0.0",
        "127.1",
        "0x7f.1",
    ],
)
def test_private_addresses_are_refused_where_they_are_given(hub, open_hub, host):
    ann = person(hub, "ann")
    with pytest.raises(Invalid, match="no public address"):
        hook(hub, ann, "ann", f"http://{host}:8080/")
    assert hook(open_hub, ann, "ann", f"http://{host}:8080/").url
    assert hook(hub, ann, "ann", "http://1.1.1.1/").url


def test_a_host_that_is_away_is_told_without_a_traceback(open_hub, caplog):
    ann = person(open_hub, "ann")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
    hook(open_hub, ann, "ann", url, ["repo.create"])
    lifecycle.create(open_hub, ann, "ann/m")
    for _ in range(2):
        work(open_hub)
    with open_hub.database.session() as session:
        assert [delivery.attempts for delivery in session.query(Delivery)] == [2]
    assert url in caplog.text
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "::1",
     "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "fe80::1%eth0", "fd00::1", "ff02::1"],
)  # fmt: skip
def test_addresses_of_ones_own_network_are_not_public(address):
    assert not posting.is_public(address)
    assert posting.is_public("1.1.1.1") and posting.is_public("2606:4700::1111")


def test_the_connection_goes_to_the_address_that_was_checked(monkeypatch, receiver):
    """A name that means another host the second time it is looked up."""
    asked: list[str] = []

    def resolve(host, port, **_):
        asked.append(host)
        first = "127.0.0.1" if len(asked) == 1 else "127.0.0.2"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (first, port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(posting, "is_public", lambda address: address == "127.0.0.1")
    url = receiver.url.replace("127.0.0.1", "rebound.example.org")
    connected = socket.create_connection

    def connect(address, timeout):
        assert address[0] == "127.0.0.1"
        monkeypatch.undo()
        return connected(address, timeout)

    monkeypatch.setattr(socket, "create_connection", connect)
    assert posting.post(url, b"{}", {}, private=False) == 200
    assert asked == ["rebound.example.org"]
    assert receiver.taken[0][0]["Host"] == f"rebound.example.org:{receiver.server_port}"


def test_a_host_that_never_answers_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises((OSError, http.client.HTTPException)):
            posting.post(url, b"{}", {}, private=True, seconds=0.1)


@pytest.mark.parametrize(
    "url",
    ["ftp://a.example", "http://", "https://me:secret@a.example/", "http://a\n.example", "http://[::1", "x"],
)
def test_what_is_no_address_is_refused(hub, url):
    with pytest.raises(Invalid):
        hook(hub, person(hub, "ann"), "ann", url)


def test_webhooks_are_their_owners_alone(hub):
    ann, bob, eyes = person(hub, "ann"), person(hub, "bob"), person(hub, "eve", scope="read")
    made = hook(hub, ann, "ann", "https://hooks.example.org/")
    with hub.database.session() as session:
        assert [each.id for each in webhooks.listed(session, ann)] == [made.id]
        assert list(webhooks.listed(session, bob)) == []
        for actor, refused in ((bob, NotFound), (eyes, AccessDenied), (ANONYMOUS, NotAuthenticated)):
            with pytest.raises(refused):
                webhooks.delete(session, actor, made.id)
    with pytest.raises(Invalid, match=r"repo\.create"):
        hook(hub, ann, "ann", "https://hooks.example.org/", ["nothing"])


def test_a_disabled_account_hears_nothing(open_hub, receiver):
    ann, bob = person(open_hub, "ann"), person(open_hub, "bob")
    hook(open_hub, bob, "ann", receiver.url)
    with open_hub.database.transaction() as session:
        accounts.disable(session, accounts.find(session, "bob"))
    lifecycle.create(open_hub, ann, "ann/m")
    work(open_hub)
    assert receiver.taken == []


def test_the_feed_tells_what_one_may_read_and_goes_on(hub):
    ann, bob = person(hub, "ann"), person(hub, "bob")
    lifecycle.create(hub, ann, "ann/open")
    lifecycle.create(hub, ann, "ann/secret", private=True)
    lifecycle.create(hub, ann, "ann/gone", private=True)
    with hub.database.transaction() as session:
        lifecycle.delete(session, ann, "ann/gone")

    def seen(actor, **options):
        with hub.database.session() as session:
            found = events.feed(session, actor, **{"settled": timedelta(0), **options})
            return [events.told(each) for each in found]

    for actor in (bob, ANONYMOUS):
        assert {each["repository"] for each in seen(actor)} == {"ann/open"}
    assert {each["repository"] for each in seen(ann)} == {"ann/open", "ann/secret", "ann/gone"}
    every = seen(ann)
    assert every == [*seen(ann, limit=2), *seen(ann, after=every[1]["id"])]
    assert [each["id"] for each in every] == sorted(each["id"] for each in every)
    assert seen(ann, settled=timedelta(hours=1)) == []
    assert "token" not in json.dumps(every)


def test_the_feed_tells_what_was_public_when_it_happened(hub):
    ann, root = person(hub, "ann"), person(hub, "root", is_admin=True)

    def seen(actor):
        with hub.database.session() as session:
            found = events.feed(session, actor, settled=timedelta(0))
            return [(each.verb, each.subject) for each in found]

    lifecycle.create(hub, ann, "ann/codename", private=True)
    with hub.database.transaction() as session:
        moving.move(session, ann, "ann/codename", "ann/m")
        lifecycle.update(session, ann, "ann/m", private=False)
    opened = [("repository.settings", "ann/m")]
    for actor in (ANONYMOUS, person(hub, "bob")):
        assert seen(actor) == opened
    assert len(seen(ann)) == len(seen(root)) == 4
    lifecycle.create(hub, ann, "ann/closed")
    with hub.database.transaction() as session:
        lifecycle.delete(session, ann, "ann/m")
        lifecycle.update(session, ann, "ann/closed", private=True)
        lifecycle.delete(session, ann, "ann/closed")
    assert seen(ANONYMOUS) == [*opened, ("repository.delete", "ann/m")]
    assert seen(ann) == seen(root)
    assert len(seen(root)) == 9
