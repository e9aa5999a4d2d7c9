from __future__ import annotations

import re
from datetime import timedelta

import pytest

from modelcenter.errors import (
    AccessDenied,
    AccountNotFound,
    AlreadyExists,
    Invalid,
    InvalidToken,
    NotAuthenticated,
    RepositoryNotFound,
)
from modelcenter.registry import accounts, organizations, repositories
from modelcenter.registry.access import ANONYMOUS
from modelcenter.registry.tables import Account, Activity, Token, now
from tests.support.registry import person


@pytest.fixture
def session(hub):
    with hub.database.transaction() as session:
        yield session


@pytest.fixture
def ann(session):
    return accounts.create_user(session, "Ann", fullname="Ann Example")


def test_a_token_authenticates_its_account(session, ann):
    token = accounts.create_token(session, ann, scope="write", name="laptop")
    actor = accounts.authenticate_token(session, token)
    assert (actor.name, actor.fullname, actor.scope, actor.token_name) == (
        "Ann",
        "Ann Example",
        "write",
        "laptop",
    )
    assert not actor.is_admin
    assert not actor.is_anonymous


def test_tokens_can_be_told_from_other_text_and_from_each_other(session, ann):
    tokens = {accounts.create_token(session, ann, scope="read") for _ in range(20)}
    assert len(tokens) == 20
    assert all(re.fullmatch(r"mc_[0-9A-Za-z]{40}", token) for token in tokens)


def test_the_token_itself_is_kept_nowhere(session, ann):
    token = accounts.create_token(session, ann, scope="read")
    session.flush()
    row = session.query(Token).one()
    values = [str(getattr(row, column.name)) for column in Token.__table__.columns]
    assert not any(token[:-4] in value for value in values)
    assert row.hint == token[-4:]


@pytest.mark.parametrize("token", ["", "mc_", "mc_" + "0" * 40, "hf_abc", "mc_\ud800", "Ann"])
def test_unknown_tokens_are_invalid(session, ann, token):
    with pytest.raises(InvalidToken, match="Invalid credentials in Authorization header"):
        accounts.authenticate_token(session, token)


def test_tokens_expire(session, ann):
    valid = accounts.create_token(session, ann, scope="read", expires_at=now() + timedelta(hours=1))
    expired = accounts.create_token(session, ann, scope="read", expires_at=now() - timedelta(seconds=1))
    assert accounts.authenticate_token(session, valid).name == "Ann"
    with pytest.raises(InvalidToken):
        accounts.authenticate_token(session, expired)


def test_a_token_limited_to_a_repository_goes_with_it(hub):
    ann = person(hub, "ann", scope="admin")
    repositories.create(hub, ann, "ann/old", private=True)
    repositories.create(hub, person(hub, "bob"), "bob/secret", private=True)
    with hub.database.transaction() as session:
        account = accounts.find(session, "ann")
        token = accounts.create_token(session, account, scope="write", resources=["ANN/old"])
        for hidden in ("bob/secret", "bob/nothing"):
            with pytest.raises(RepositoryNotFound):
                accounts.create_token(session, account, scope="read", resources=[hidden])
        repositories.move(session, ann, "ann/old", "ann/new")
    repositories.create(hub, ann, "ann/old", private=True)
    with hub.database.transaction() as session:
        limited = accounts.authenticate_token(session, token)
        assert limited.resources == frozenset({"ann/new"})
        assert repositories.get(session, limited, "ann/new")
        with pytest.raises(RepositoryNotFound):
            repositories.get(session, limited, "ann/old")
        repositories.delete(session, ann, "ann/new")
    repositories.create(hub, ann, "ann/new")
    with hub.database.session() as session:
        assert accounts.authenticate_token(session, token).resources == frozenset()


def test_a_revoked_token_is_invalid_and_others_cannot_revoke_it(session, ann):
    token = accounts.create_token(session, ann, scope="write")
    actor = accounts.authenticate_token(session, token)
    other = accounts.actor_of(session, accounts.create_user(session, "Bob"))
    assert actor.token_id is not None
    accounts.revoke_token(session, other, actor.token_id)
    assert accounts.authenticate_token(session, token).name == "Ann"
    accounts.revoke_token(session, actor, actor.token_id)
    session.flush()
    with pytest.raises(InvalidToken):
        accounts.authenticate_token(session, token)


def test_use_of_a_token_is_noted_to_ten_minutes(session, ann):
    actor = accounts.authenticate_token(session, accounts.create_token(session, ann, scope="read"))
    row = session.query(Token).one()
    unused: object = row.last_used_at
    assert unused is None
    accounts.token_used(session, actor)
    session.refresh(row)
    first = row.last_used_at
    assert first is not None
    accounts.token_used(session, actor)
    session.refresh(row)
    assert row.last_used_at == first
    row.last_used_at = first - timedelta(minutes=11)
    session.flush()
    accounts.token_used(session, actor)
    session.refresh(row)
    assert row.last_used_at >= first


@pytest.mark.parametrize("scope", ["", "all", "Write"])
def test_other_scopes_are_refused(session, ann, scope):
    with pytest.raises(Invalid, match="read, write, admin"):
        accounts.create_token(session, ann, scope=scope)


def test_passwords_log_in(session):
    accounts.create_user(session, "Ann", password="correct horse 马")
    accounts.create_user(session, "Bob")
    assert accounts.authenticate_password(session, "ANN", "correct horse 马").scope == "admin"
    for name, password in [("ann", "wrong"), ("nobody", "x"), ("bob", ""), ("bob", "x"), ("ann", "")]:
        with pytest.raises(NotAuthenticated, match="name or the password is wrong"):
            accounts.authenticate_password(session, name, password)
    kept = session.query(Account).where(Account.key == "ann").one().password
    assert kept.startswith("scrypt$")
    assert "horse" not in kept


def test_passwords_change_and_are_never_empty(session, ann):
    accounts.set_password(session, ann, "first")
    accounts.set_password(session, ann, "second")
    assert accounts.authenticate_password(session, "ann", "second").name == "Ann"
    with pytest.raises(NotAuthenticated):
        accounts.authenticate_password(session, "ann", "first")
    with pytest.raises(Invalid):
        accounts.set_password(session, ann, "")


def test_names_are_one_namespace_without_regard_to_case(session, ann):
    with pytest.raises(AlreadyExists, match="ANN"):
        accounts.create_user(session, "ANN")
    with pytest.raises(AlreadyExists):
        organizations.create(session, accounts.actor_of(session, ann), "ann")
    assert accounts.find(session, "aNN").name == "Ann"
    with pytest.raises(AccountNotFound, match="nobody"):
        accounts.find(session, "nobody")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a--b",
        "a..b",
        ".a",
        "-a",
        "a.git",
        "A.GIT",
        "a/b",
        "a b",
        "模型",
        "x" * 97,
        "a.",
        "a-",
        "api",
        "Models",
        "a\n",
    ],
)
def test_names_that_cannot_be(session, name):
    with pytest.raises(Invalid):
        accounts.create_user(session, name)


@pytest.mark.parametrize(
    "name", ["a", "A1", "x" * 96, "sentence-transformers", "01-ai", "a_b.c-d", "admin", "a_"]
)
def test_names_that_can_be(session, name):
    assert accounts.create_user(session, name).name == name


def test_organisations_have_members_with_roles(session, ann):
    actor = accounts.actor_of(session, ann)
    organizations.create(session, actor, "Lab")
    bob = accounts.create_user(session, "Bob")
    organizations.set_role(session, accounts.actor_of(session, ann), "lab", "bob", "read")
    assert dict(accounts.actor_of(session, bob).organizations) == {"Lab": "read"}
    organizations.set_role(session, accounts.actor_of(session, ann), "lab", "bob", "write")
    assert accounts.actor_of(session, bob).role_in("LAB") == "write"
    organizations.set_role(session, accounts.actor_of(session, ann), "lab", "bob", None)
    session.flush()
    assert accounts.actor_of(session, bob).role_in("lab") is None
    assert accounts.actor_of(session, ann).role_in("lab") == "admin"


def test_only_administrators_give_roles(session, ann):
    organizations.create(session, accounts.actor_of(session, ann), "Lab")
    bob = accounts.create_user(session, "Bob")
    with pytest.raises(AccessDenied):
        organizations.set_role(session, accounts.actor_of(session, bob), "lab", "bob", "admin")
    with pytest.raises(AccessDenied):
        organizations.set_role(session, accounts.actor_of(session, ann, "read"), "lab", "bob", "admin")
    with pytest.raises(NotAuthenticated):
        organizations.set_role(session, ANONYMOUS, "lab", "bob", "admin")
    root = accounts.create_user(session, "root", is_admin=True)
    organizations.set_role(session, accounts.actor_of(session, root), "lab", "bob", "contributor")
    with pytest.raises(Invalid):
        organizations.set_role(session, accounts.actor_of(session, root), "ann", "bob", "read")
    with pytest.raises(Invalid):
        organizations.set_role(session, accounts.actor_of(session, root), "lab", "lab", "read")


def test_organisations_have_neither_tokens_nor_passwords(session, ann):
    lab = organizations.create(session, accounts.actor_of(session, ann), "Lab")
    with pytest.raises(Invalid):
        accounts.create_token(session, lab, scope="read")
    with pytest.raises(NotAuthenticated):
        accounts.authenticate_password(session, "lab", "")


def test_each_act_is_written_down(session, ann):
    actor = accounts.actor_of(session, ann)
    organizations.create(session, actor, "Lab")
    actor = accounts.actor_of(session, ann)
    accounts.create_user(session, "Bob")
    organizations.set_role(session, actor, "Lab", "Bob", "read")
    accounts.create_token(session, ann, scope="read")
    accounts.revoke_token(session, actor, session.query(Token).one().id)
    events = [
        (event.actor, event.verb, event.subject) for event in session.query(Activity).order_by(Activity.id)
    ]
    assert events == [
        ("", "account.create", "Ann"),
        ("Ann", "organization.create", "Lab"),
        ("", "account.create", "Bob"),
        ("Ann", "organization.role", "Lab"),
        ("", "token.create", "Ann"),
        ("Ann", "token.revoke", "Ann"),
    ]
