from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from sqlalchemy import select

from modelcenter.errors import AccessDenied, NotAuthenticated, RepositoryNotFound
from modelcenter.registry import access, accounts, organizations, repositories
from modelcenter.registry.access import ANONYMOUS, Actor, Verb, may, require, visible
from modelcenter.registry.tables import Repository, Role
from tests.support.registry import again, person

ROLES: tuple[Role, ...] = ("read", "contributor", "write", "admin")
VERBS: tuple[Verb, ...] = ("read", "write", "admin")


@pytest.fixture
def world(hub):
    """An organisation `Lab` with a public and a private repository, and somebody of each kind."""
    owner = person(hub, "owner", scope="admin")
    people: dict[str, Actor] = {role: person(hub, f"the-{role}", scope="admin") for role in ROLES}
    people |= {"stranger": person(hub, "stranger"), "site-admin": person(hub, "root", is_admin=True)}
    with hub.database.transaction() as session:
        organizations.create(session, owner, "Lab")
    with hub.database.transaction() as session:
        for role in ROLES:
            organizations.set_role(
                session,
                accounts.actor_of(session, accounts.find(session, "owner")),
                "Lab",
                f"the-{role}",
                role,
            )
    people = {name: again(hub, actor) for name, actor in people.items()}
    owner = again(hub, owner)
    for name in ("public", "private"):
        repositories.create(hub, owner, f"Lab/{name}", private=name == "private")
    repositories.create(hub, people["contributor"], "lab/contributed", private=True)
    return hub, {**people, "owner": owner, "anonymous": ANONYMOUS}


def repository(hub, name) -> Repository:
    with hub.database.session() as session:
        return session.scalars(select(Repository).where(Repository.name == name)).one()


WRITERS = {"write", "admin", "owner", "site-admin"}
READERS = WRITERS | {"read", "contributor"}
EVERYBODY = READERS | {"stranger", "anonymous"}


@pytest.mark.parametrize(
    ("name", "verb", "allowed"),
    [
        ("public", "read", EVERYBODY),
        ("public", "write", WRITERS),
        ("public", "admin", WRITERS),
        ("private", "read", READERS),
        ("private", "write", WRITERS),
        ("private", "admin", WRITERS),
        ("contributed", "read", READERS),
        ("contributed", "write", WRITERS | {"contributor"}),
        ("contributed", "admin", WRITERS | {"contributor"}),
    ],
)
def test_who_may_do_what(world, name, verb, allowed):
    hub, people = world
    found = repository(hub, name)
    assert {who for who, actor in people.items() if may(actor, verb, found)} == allowed


def test_who_may_create(world):
    hub, people = world
    allowed = set()
    for number, (who, actor) in enumerate(people.items()):
        try:
            repositories.create(hub, actor, f"Lab/new{number}")
            allowed.add(who)
        except (AccessDenied, NotAuthenticated):
            pass
    assert allowed == WRITERS | {"contributor"}


def test_what_is_not_yours_to_read_does_not_exist(world):
    hub, people = world
    private = repository(hub, "private")
    for who, verb in itertools.product(("anonymous", "stranger"), VERBS):
        with pytest.raises(RepositoryNotFound):
            require(people[who], verb, private)
    with hub.database.session() as session:
        for who in ("anonymous", "stranger"):
            with pytest.raises(RepositoryNotFound) as unreadable:
                repositories.get(session, people[who], "Lab/private")
            with pytest.raises(RepositoryNotFound) as absent:
                repositories.get(session, people[who], "Lab/pritave")
            assert str(unreadable.value).replace("private", "", 1) == str(absent.value).replace("pritave", "")


def test_visible_agrees_with_may(world):
    hub, people = world
    with hub.database.session() as session:
        everything = session.scalars(select(Repository)).all()
        for actor in people.values():
            seen = {row.name for row in session.scalars(select(Repository).where(visible(actor)))}
            assert seen == {row.name for row in everything if may(actor, "read", row)}


def test_a_read_token_only_reads_whoever_holds_it(hub):
    ann = person(hub, "ann", is_admin=True, scope="admin")
    repositories.create(hub, ann, "ann/m", private=True)
    with hub.database.session() as session:
        reader = accounts.actor_of(session, accounts.find(session, "ann"), "read")
        found = repositories.get(session, reader, "ann/m")
    assert may(reader, "read", found)
    with pytest.raises(AccessDenied, match="may only read"):
        require(reader, "write", found)
    with pytest.raises(AccessDenied, match="may only read"):
        repositories.create(hub, reader, "ann/n")


def test_refusals_say_what_is_missing(world):
    hub, people = world
    public = repository(hub, "public")
    with pytest.raises(NotAuthenticated, match="Log in"):
        require(ANONYMOUS, "write", public)
    with pytest.raises(AccessDenied, match="the role read in Lab"):
        require(people["read"], "write", public)
    with pytest.raises(AccessDenied, match="stranger is not Lab and does not belong to it"):
        require(people["stranger"], "write", public)
    with pytest.raises(AccessDenied, match="create repositories in nowhere"):
        access.require_create(people["stranger"], "nowhere")


def test_a_limited_token_is_good_for_what_it_names(world):
    hub, people = world
    names = ("public", "private", "contributed")
    for who in ("owner", "site-admin", "contributor"):
        for limit, reached in (
            (["lab"], set(names)),
            (["LAB/private"], {"private"}),
            (["elsewhere"], set[str]()),
        ):
            actor = replace(people[who], resources=frozenset(map(str.lower, limit)), is_admin=False)
            found = [repository(hub, name) for name in names]
            belongs = who != "site-admin"  # whose power a limited token does not have
            seen = {"public"} | (reached if belongs else set())
            assert {row.name for row in found if may(actor, "read", row)} == seen
            with hub.database.session() as session:
                assert {row.name for row in session.scalars(select(Repository).where(visible(actor)))} == seen
            proposed = {row.name for row in found if may(actor, "propose", row)}
            assert proposed == (reached if belongs else reached & {"public"})
    limited = replace(people["owner"], resources=frozenset({"lab/private"}))
    with pytest.raises(AccessDenied, match="limited to lab/private"):
        require(limited, "write", repository(hub, "public"))
    with pytest.raises(AccessDenied, match="limited to lab/private"):
        access.require_create(limited, "lab")
