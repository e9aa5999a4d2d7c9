"""Signing in by OpenID Connect, against a provider that runs beside the hub."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from modelcenter.errors import SettingsError
from modelcenter.registry import accounts, signin
from modelcenter.settings import OidcSettings, Settings
from tests.support.html import form, visible
from tests.support.provider import Provider, running_provider
from tests.support.server import Server, new_server


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with running_provider() as running:
        yield running


@pytest.fixture(scope="module")
def hub(provider, tmp_path_factory) -> Iterator[Server]:
    """A hub whose people sign in by the provider; alice has an account of before."""
    server = new_server(tmp_path_factory.mktemp("hub"))
    server.environment = {
        "MODELCENTER_OIDC_ISSUER": provider.url,
        "MODELCENTER_OIDC_CLIENT_ID": "modelcenter",
        "MODELCENTER_OIDC_CLIENT_SECRET": "not told",
        "MODELCENTER_OIDC_ORGANIZATIONS": "groups:nlp=lab/write,ops=lab/admin",
    }
    server.start()
    yield server
    server.kill()


@pytest.fixture
def browser(hub) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=hub.url, headers={"Accept-Language": "en"}) as client:
        yield client


def sign_in(
    browser: httpx2.Client, provider: Provider, subject: str, following: str = "/"
) -> httpx2.Response:
    begun = browser.get("/login/provider", params={"next": following})
    return browser.get(provider.vouch(begun.headers["Location"], subject))


def who(browser: httpx2.Client) -> dict:
    return browser.get("/api/whoami-v2").json()


def test_an_account_is_made_at_the_first_sign_in_and_found_again(browser, hub, provider):
    assert "Sign in with your organisation" in visible(browser.get("/login").text)
    provider.tell("s-1", preferred_username="alice", name="爱丽丝 Alice", email="alice@corp.example")
    answer = sign_in(browser, provider, "s-1", "/settings/tokens")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/settings/tokens")
    assert (who(browser)["name"], who(browser)["fullname"]) == ("alice-2", "爱丽丝 Alice")
    provider.tell("s-1", preferred_username="somebody-else")
    browser.cookies.clear()
    sign_in(browser, provider, "s-1")
    assert who(browser)["name"] == "alice-2"
    with hub.hub() as registry, registry.database.transaction() as session:
        accounts.disable(session, accounts.find(session, "alice-2"))
    assert browser.get("/api/whoami-v2").status_code == 401
    assert sign_in(browser, provider, "s-1").status_code == 401


def test_an_account_with_a_password_is_linked_and_unlinked(browser, hub, provider):
    password = "correct horse"
    with hub.hub() as registry, registry.database.transaction() as session:
        accounts.create_user(session, "erin", password=password)
    sent = form(browser.get("/login").text, "/login")
    browser.post("/login", data={**sent, "name": "erin", "password": password})
    assert "/settings/identities" in browser.get("/").text
    assert browser.get("/settings/identities/link").status_code == 403  # not by another site's link
    page = browser.get("/settings/identities").text
    assert "Nobody is linked yet" in visible(page)

    def link(subject: str) -> httpx2.Response:
        page = browser.get("/settings/identities").text
        (place,) = re.findall(r'href="(/settings/identities/link[^"]*)"', page)
        begun = browser.get(place)
        return browser.get(provider.vouch(begun.headers["Location"], subject))

    provider.tell("s-5", preferred_username="erin", email="erin@corp.example")
    assert link("s-5").headers["Location"] == "/settings/identities"
    page = browser.get("/settings/identities").text
    assert "s-5" in visible(page)
    with httpx2.Client(base_url=hub.url) as other:
        sign_in(other, provider, "s-5")
        assert who(other)["name"] == "erin"
    browser.cookies.clear()
    provider.tell("s-6", preferred_username="erin")
    sign_in(browser, provider, "s-6")  # no name, and no address, links by itself
    assert who(browser)["name"] == "erin-2"
    refused = link("s-5")
    assert refused.status_code == 400 and "as erin already" in visible(refused.text)
    page, place = browser.get("/settings/identities").text, "/settings/identities/unlink"
    refused = browser.post(place, data=form(page, place))
    assert refused.status_code == 400 and "no password" in visible(refused.text)
    with hub.hub() as registry, registry.database.transaction() as session:
        signin.link(session, None, "erin", provider.url, "s-6")
    browser.cookies.clear()
    sign_in(browser, provider, "s-6")
    assert who(browser)["name"] == "erin"
    page = browser.get("/settings/identities").text
    assert browser.post(place, data=form(page, place, subject="s-5")).status_code == 303
    assert "s-5" not in visible(browser.get("/settings/identities").text)


def test_what_was_begun_to_link_one_account_links_no_other(browser, hub, provider):
    for name in ("frank", "grace"):
        provider.tell(name, preferred_username=name)
    sign_in(browser, provider, "frank")
    (place,) = re.findall(
        r'href="(/settings/identities/link[^"]*)"', browser.get("/settings/identities").text
    )
    provider.tell("s-7", preferred_username="s-7")
    back = provider.vouch(browser.get(place).headers["Location"], "s-7")
    sent = form(browser.get("/").text, "/logout")
    with httpx2.Client(base_url=hub.url) as other:
        sign_in(other, provider, "grace")
        assert other.get(back).status_code == 401
        assert other.get(place).status_code == 403
    browser.post("/logout", data=sent)
    assert browser.get(back).status_code == 401


def test_groups_give_roles_and_take_them(browser, provider):
    for groups, role in ((["nlp", "ops", 5], "admin"), (["nlp"], "admin"), ("nlp", "admin")):
        provider.tell("s-2", email="carol@corp.example", groups=groups)
        browser.cookies.clear()
        sign_in(browser, provider, "s-2")
        found = who(browser)
        assert found["name"] == "carol"
        # The last to administer an organisation stays.
        assert [(org["name"], org["roleInOrg"]) for org in found["orgs"]] == [("lab", role)]
    for groups, roles in ((["nlp"], ["write"]), ([], [])):
        provider.tell("s-3", preferred_username="dave", groups=groups)
        browser.cookies.clear()
        sign_in(browser, provider, "s-3")
        assert [org["roleInOrg"] for org in who(browser)["orgs"]] == roles
    provider.tell("s-8", preferred_username="heidi")  # who never had a role in an organisation that is there
    browser.cookies.clear()
    assert sign_in(browser, provider, "s-8").status_code == 303
    assert who(browser)["name"] == "heidi"


def test_what_the_provider_did_not_say_signs_nobody_in(browser, hub, provider):
    begun = browser.get("/login/provider").headers["Location"]
    asked = parse_qs(urlsplit(begun).query)
    assert asked["code_challenge_method"] == ["S256"] and asked["nonce"] and asked["state"]
    back = provider.vouch(begun, "s-4")
    with httpx2.Client(base_url=hub.url) as other:  # another browser has not begun this
        assert other.get(back).status_code == 401
    state = asked["state"][0]
    for query in ({}, {"code": "x", "state": state}, {"error": "access_denied", "state": state}):
        answer = browser.get("/login/provider/callback", params=query)
        assert answer.status_code == 401
        assert "did not vouch for you" in visible(answer.text)
    assert browser.get(back).status_code == 401  # its state was used
    assert browser.get("/api/whoami-v2").status_code == 401


def test_a_hub_without_a_provider_has_no_such_page(server):
    assert server.get("/login/provider").status_code == 404


OIDC = {
    "MODELCENTER_OIDC_ISSUER": "https://provider.example/",
    "MODELCENTER_OIDC_CLIENT_ID": "id",
    "MODELCENTER_OIDC_CLIENT_SECRET": "secret",
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MODELCENTER_OIDC_ISSUER", "http://provider.example"),
        ("MODELCENTER_OIDC_CLIENT_ID", ""),
        ("MODELCENTER_OIDC_CLIENT_SECRET", ""),
        ("MODELCENTER_OIDC_ORGANIZATIONS", "groups"),
        ("MODELCENTER_OIDC_ORGANIZATIONS", "groups:nlp=lab/king"),
        ("MODELCENTER_OIDC_ORGANIZATIONS", ":nlp=lab/read"),
    ],
)
def test_settings_that_cannot_work_are_refused(name, value, tmp_path):
    with pytest.raises(SettingsError, match=name):
        Settings.from_environment(tmp_path, {**OIDC, name: value})


def test_settings_of_a_provider():
    found = OidcSettings.from_environment(
        {**OIDC, "MODELCENTER_OIDC_ORGANIZATIONS": "g:a=b=lab/read, c=lab/admin"}
    )
    assert found is not None
    assert (found.claim, found.organizations) == ("g", (("a=b", "lab", "read"), ("c", "lab", "admin")))
