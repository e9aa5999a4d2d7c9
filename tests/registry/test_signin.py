from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from modelcenter.errors import NotAuthenticated, TooManyAttempts
from modelcenter.registry import accounts, organizations, signin
from modelcenter.registry.tables import SignInFailure, now
from tests.support.registry import person

ISSUER = "https://provider.example"


def known(hub, subject="1", name="Ann Example", issuer=ISSUER) -> str:
    with hub.database.transaction() as session:
        return signin.by_identity(session, issuer, subject, name=name, fullname=name).name


def test_wrong_passwords_are_counted_by_name_and_address(hub):
    with hub.database.transaction() as session:
        accounts.create_user(session, "ann", password="right")
        accounts.create_user(session, "bob", password="right")
    with hub.database.transaction() as session:
        session.add_all(SignInFailure(key="name:ann") for _ in range(10))
        session.add_all(SignInFailure(key="address:10.0.0.9") for _ in range(49))
    with pytest.raises(TooManyAttempts, match="15 minutes"):
        signin.by_password(hub, "Ann", "right", "10.0.0.1")
    with pytest.raises(NotAuthenticated):
        signin.by_password(hub, "bob", "wrong", "10.0.0.9")
    with pytest.raises(TooManyAttempts):
        signin.by_password(hub, "bob", "right", "10.0.0.9")
    assert signin.by_password(hub, "bob", "right", "10.0.0.1").name == "bob"
    with hub.database.transaction() as session:
        session.execute(update(SignInFailure).values(at=now() - timedelta(minutes=16)))
    assert signin.by_password(hub, "ann", "right", "10.0.0.9").name == "ann"


def test_a_provider_s_subject_is_one_account_for_ever(hub):
    person(hub, "Ann-Example")
    assert known(hub) == "Ann-Example-2"  # that name is somebody else's
    assert known(hub, name="Another Name") == "Ann-Example-2"
    assert known(hub, subject="2") == "Ann-Example-3"
    assert known(hub, issuer="https://another.example") == "Ann-Example-4"
    assert [known(hub, str(number), name) for number, name in enumerate(("马", "login", "a--b.git"), 10)] == [
        "user",
        "login-2",
        "a-b-git",
    ]
    with hub.database.transaction() as session:
        accounts.disable(session, accounts.find(session, "user"))
    with pytest.raises(NotAuthenticated, match="disabled"):
        known(hub, "10")


def test_a_provider_gives_roles_and_takes_them(hub):
    root = person(hub, "root", is_admin=True, scope="admin")
    name = known(hub)

    def roles(**given) -> dict[str, str]:
        with hub.database.transaction() as session:
            signin.set_roles(session, accounts.find(session, name), given)
        with hub.database.session() as session:
            return dict(accounts.actor_of(session, accounts.find(session, name)).organizations)

    with hub.database.transaction() as session:
        organizations.create(session, root, "lab")
    assert roles(lab="write", missing="read") == {"lab": "write"}
    assert roles(lab="read", ops="admin") == {"lab": "read", "ops": "admin"}
    assert roles(lab=None, ops=None) == {"ops": "admin"}  # nobody else would be left there
