"""Signing in, and what one then does on the pages: tokens, organisations, asking for access."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import update

from hub_web.app import create_app
from modelcenter.registry import accounts, gating, organizations, repositories, withdrawals
from modelcenter.registry.tables import SignInFailure, now
from tests.support.html import form, visible
from tests.support.registry import commit, person

# What differs between databases is asked in tests/registry/test_signin.py.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

PASSWORD = "correct horse 马"


@pytest.fixture
def app(hub):
    with hub.database.transaction() as session:
        for name in ("alice", "bob"):
            accounts.create_user(session, name, password=PASSWORD)
    app = create_app(hub.settings)
    yield app
    app.extensions["modelcenter_ledger"].stop()
    app.extensions["modelcenter"].database.close()


@pytest.fixture
def client(app) -> FlaskClient:
    """A browser of nobody's yet."""
    return app.test_client()


@pytest.fixture
def alice(app) -> FlaskClient:
    """A browser that alice is signed in with."""
    client = app.test_client()
    assert sign_in(client, "alice").status_code == 303
    return client


def sign_in(client: FlaskClient, name: str, password: str = PASSWORD, following: str = "/"):
    sent = form(client.get("/login").text, "/login")
    return client.post("/login", data={**sent, "name": name, "password": password, "next": following})


def said(client: FlaskClient, path: str) -> str:
    answer = client.get(path, headers={"Accept-Language": "en"})
    assert answer.status_code == 200, answer.text
    return visible(answer.text)


def test_a_password_signs_in_and_out(client):
    assert "Sign in" in said(client, "/")
    assert client.get("/settings/tokens").headers["Location"] == "/login?next=%2Fsettings%2Ftokens"
    assert sign_in(client, "alice", "wrong").status_code == 401
    assert sign_in(client, "al\0ice").status_code == 400
    answer = sign_in(client, "ALICE", following="/settings/tokens")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/settings/tokens")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and "Secure" not in cookie
    page = client.get("/")
    assert "alice" in visible(page.text)
    assert client.get("/login").status_code == 303
    client.post("/logout", data=form(page.text, "/logout"))
    assert "alice" not in visible(client.get("/").text)


@pytest.mark.parametrize("place", ["//evil.example", "/\\evil.example", "https://evil.example", "", "/a\nb"])
def test_signing_in_leads_to_no_other_host(client, place):
    assert sign_in(client, "alice", following=place).headers["Location"] == "/"


def test_the_cookie_goes_over_https_alone_where_that_is_spoken(client, hub):
    sent = form(client.get("/login", base_url="https://hub.example").text, "/login")
    answer = client.post(
        "/login", base_url="https://hub.example", data={**sent, "name": "alice", "password": PASSWORD}
    )
    assert "Secure" in answer.headers["Set-Cookie"]
    settings = replace(hub.settings, external_url="https://hub.example")
    assert "Secure" in create_app(settings).test_client().get("/login").headers["Set-Cookie"]


def test_guessing_ends_after_ten_times(client, hub):
    for _ in range(10):
        assert sign_in(client, "alice", "wrong").status_code == 401
    answer = sign_in(client, "Alice")  # the right one, too
    assert answer.status_code == 429
    assert sign_in(client, "bob").status_code == 303
    with hub.database.transaction() as session:
        session.execute(update(SignInFailure).values(at=now() - timedelta(minutes=16)))
    client.delete_cookie("modelcenter")
    assert sign_in(client, "alice").status_code == 303


def test_forms_of_other_sites_browsers_and_people_do_nothing(app, client, alice, hub):
    stolen = form(client.get("/login").text, "/login")
    another = app.test_client()
    assert another.post("/login", data={**stolen, "name": "alice", "password": PASSWORD}).status_code == 403
    sign_in(client, "bob")
    bobs = form(client.get("/settings/tokens").text, "/settings/tokens")
    for sent in ({}, bobs, {**bobs, "form_token": "x"}):
        assert alice.post("/settings/tokens", data={**sent, "name": "x"}).status_code == 403
    # The API takes no cookie for an act: a page elsewhere could have sent it.
    assert alice.post("/api/repos/create", json={"name": "m"}).status_code == 401
    assert alice.get("/api/whoami-v2").json["name"] == "alice"


@pytest.mark.parametrize("how", ["password", "disabled"])
def test_a_sign_in_ends_when_the_account_says_so(alice, hub, how):
    with hub.database.transaction() as session:
        account = accounts.find(session, "alice")
        accounts.set_password(session, account, "new") if how == "password" else accounts.disable(
            session, account
        )
    assert alice.get("/api/whoami-v2").status_code == 401
    assert "alice" not in said(alice, "/")


def test_a_token_is_made_shown_once_and_revoked(alice, hub):
    place = "/settings/tokens"
    with hub.database.session() as session:
        actor = accounts.actor_of(session, accounts.find(session, "alice"))
    repositories.create(hub, actor, "alice/m")
    sent = form(alice.get(place).text, place)
    answer = alice.post(place, data={**sent, "name": "ci", "scope": "write", "resources": "alice/m\n alice"})
    assert answer.headers["Cache-Control"] == "no-store"
    (plain,) = re.findall(r"mc_[0-9A-Za-z]{40}", answer.text)
    with hub.database.session() as session:
        actor = accounts.authenticate_token(session, plain)
    assert actor.scope == "write"
    assert actor.resources == frozenset({"alice", "alice/m"})
    page = alice.get(place)
    assert plain not in page.text
    assert "ci …" + plain[-4:] + " Write" in visible(page.text)
    assert plain[-4:] + " 写入" in visible(alice.get(place, headers={"Accept-Language": "zh"}).text)
    for wrong in (
        {"name": ""},
        {"scope": "all"},
        {"days": "7"},
        {"resources": "nobody"},
        {"resources": "alice/n"},
    ):
        assert alice.post(place, data={**sent, "name": "x", **wrong}).status_code == 400, wrong
    sent = form(page.text, "/settings/tokens/revoke")
    assert alice.post("/settings/tokens/revoke", data=sent).status_code == 303
    assert "You have none yet" in said(alice, place)


def test_an_organisation_is_made_and_tended(app, alice, hub):
    place = "/settings/organizations"
    made = alice.post(place, data={**form(alice.get(place).text, place), "name": "Lab", "fullname": "实验室"})
    here = made.headers["Location"]
    assert here == "/settings/organizations/Lab"
    page = alice.get(here).text
    add = {**form(page, here, role="read"), "member": "bob"}
    assert alice.post(here, data=add).headers["Location"] == here
    assert alice.post(here, data={**add, "member": "nobody"}).status_code == 400
    assert alice.post(here, data={**form(page, here, member="alice"), "role": "none"}).status_code == 400
    assert (
        alice.post(here, data={**form(page, here, visibility="public"), "visibility": "private"}).status_code
        == 303
    )
    with hub.database.session() as session:
        lab = organizations.get(session, "lab")
        assert lab.private_by_default
        found = [(member.account.name, member.role) for member in organizations.members(session, lab)]
    assert found == [("alice", "admin"), ("bob", "read")]
    bob = app.test_client()
    sign_in(bob, "bob")
    page = bob.get(here).text
    assert "Add a member" not in visible(page)
    assert bob.post(here, data=form(page, here, member="bob")).headers["Location"] == place
    assert bob.get(here).status_code == 404


def test_a_reader_asks_at_the_gate(app, client, alice, hub):
    root = person(hub, "root", is_admin=True)
    repositories.create(hub, root, "lab/m")
    commit(hub, root, "lab/m", {"w.txt": b"weights"})
    with hub.database.transaction() as session:
        repositories.update(session, root, "lab/m", gated="manual")
    assert "Sign in to ask for it" in said(client, "/lab/m")
    page = alice.get("/lab/m").text
    assert alice.get("/lab/m/blob/main/w.txt").status_code == 403
    for text in (page, client.get("/lab/m").text):  # nothing that would be refused
        assert "/resolve/main/w.txt" not in text
        assert "modelcenter upload ./m" not in visible(text)
    sent = form(page, "/lab/m/ask-access")
    assert client.post("/lab/m/ask-access", data=sent).status_code == 403
    assert alice.post("/lab/m/ask-access", data=sent).status_code == 303
    assert "You have asked for access" in said(alice, "/lab/m")
    with hub.database.transaction() as session:
        gating.handle(session, root, "lab/m", "rejected", user="alice", reason="not you")
    assert "rejected not you" in said(alice, "/lab/m")
    with hub.database.transaction() as session:
        gating.handle(session, root, "lab/m", "accepted", user="alice")
    assert "asked for access" not in said(alice, "/lab/m")
    assert "/resolve/main/w.txt" in alice.get("/lab/m").text
    with alice.get("/lab/m/resolve/main/w.txt") as answer:
        assert answer.data == b"weights"


def test_owners_answer_requests_for_access_on_a_page(app, client, alice, hub):
    root = person(hub, "root", is_admin=True)
    repositories.create(hub, root, "alice/m")
    with hub.database.transaction() as session:
        for name in ("carol", "dave"):
            accounts.create_user(session, name)
    place = "/alice/m/access-requests"
    assert alice.get(place).status_code == 400  # there is no gate
    assert place not in alice.get("/alice/m").text
    with hub.database.transaction() as session:
        repositories.update(session, root, "alice/m", gated="manual")
    bob = app.test_client()
    sign_in(bob, "bob")
    assert client.get(place).headers["Location"] == "/login?next=%2Falice%2Fm%2Faccess-requests"
    assert bob.get(place).status_code == 403
    assert place not in bob.get("/alice/m").text
    assert "There are none" in said(alice, place)
    bob.post("/alice/m/ask-access", data=form(bob.get("/alice/m").text, "/alice/m/ask-access"))
    assert place in alice.get("/alice/m").text
    assert "1 request for access waits for an answer" in said(alice, "/alice/m")

    def answer(status: str, decision: str, **fields: str) -> None:
        page = alice.get(f"{place}?status={status}").text
        sent = {**form(page, place, user="bob", answer=decision), **fields}
        answered = alice.post(place, data=sent)
        assert (answered.status_code, answered.headers["Location"]) == (303, f"{place}?status={status}")

    answer("pending", "rejected", reason="not <b> yet")
    assert "There are none" in said(alice, place)
    assert "bob" in (page := said(alice, f"{place}?status=rejected")) and "not <b> yet" in page
    assert "not <b> yet" in said(bob, "/alice/m")
    answer("rejected", "accepted")
    assert "asked for access" not in said(bob, "/alice/m") and "rejected" not in said(bob, "/alice/m")
    page = alice.get(f"{place}?status=accepted").text
    granted = form(page, place, user="")
    assert alice.post(place, data={**granted, "user": " carol "}).status_code == 303
    assert "carol" in said(alice, f"{place}?status=accepted")
    for wrong in ("carol", "nobody"):
        refused = alice.post(place, data={**granted, "user": wrong})
        assert refused.status_code == 400 and wrong in visible(refused.text)
    assert alice.post(place, data={"user": "dave"}).status_code == 403
    assert bob.post(place, data=granted).status_code == 403


def test_the_page_of_a_model_that_was_withdrawn_whole_says_why(client, hub):
    root = person(hub, "root", is_admin=True)
    repositories.create(hub, root, "lab/m")
    with hub.database.transaction() as session:
        withdrawals.withdraw(session, root, "lab/m", "main", "it leaks <b>")
    for path in ("/lab/m", "/lab/m/tree/main"):
        answer = client.get(path)
        assert answer.status_code == 404
        page = visible(answer.text)
        assert "Withdrawn by its owners" in page and "it leaks <b>" in page, path
    assert "/lab/m/tree/" in answer.text


def test_pages_say_what_is_withdrawn_and_frozen(client, hub):
    root = person(hub, "root", is_admin=True)
    repositories.create(hub, root, "lab/m")
    bad = commit(hub, root, "lab/m", {"w.txt": b"weights"}).oid
    with hub.database.transaction() as session:
        withdrawals.withdraw(session, root, "lab/m", "main", "it leaks <b>")
        repositories.freeze(session, root, "lab/m", "main")
    for path in (f"/lab/m/commit/{bad}", f"/lab/m/tree/{bad}"):
        assert "withdrawn by its owners. it leaks <b>" in said(client, path)
    for path in ("/lab/m", "/lab/m/tree/main"):
        page = said(client, path)
        assert "this is the one before it" in page
        assert "main is frozen" in page
