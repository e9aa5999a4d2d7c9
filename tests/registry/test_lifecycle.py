from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from modelcenter.errors import (
    AccessDenied,
    AlreadyExists,
    Invalid,
    NotAuthenticated,
    NotHosted,
    RepositoryNotFound,
)
from modelcenter.registry import accounts, organizations, repositories
from modelcenter.registry.access import ANONYMOUS, Actor
from modelcenter.registry.repositories import AddFile
from modelcenter.registry.tables import Activity, Base, Facet, Job, Model, Repository, Verification
from tests.support.registry import again, commit, person


@pytest.fixture
def ann(hub):
    return person(hub, "Ann")


@pytest.fixture
def root(hub):
    return person(hub, "root", is_admin=True)


def linked(hub, repo_id="google/bert", family="bert"):
    """A catalogue entry whose files are elsewhere."""
    with hub.database.transaction() as session:
        repository = repositories.link(session, repo_id, f"upstream/{repo_id.partition('/')[2]}")
        session.get_one(Model, repository.id).family = family


def test_a_new_repository_has_one_commit_with_the_patterns_of_large_files(hub, ann):
    created = repositories.create(hub, ann, "ann/Model-1.5")
    assert created.repo_id == "Ann/Model-1.5"
    with hub.database.session() as session:
        repository = repositories.get(session, ANONYMOUS, "ANN/model-1.5")
        head = repositories.resolve(session, repository)
        assert (head.title, head.author, head.generation) == ("initial commit", "Ann", 1)
        assert [entry.path for entry in repositories.tree(session, repository, head)] == [".gitattributes"]
        assert session.get_one(Model, repository.id).family is None
        assert session.scalars(select(Job.kind)).all() == ["facts"]
    files = repositories.RevisionFiles(hub, repository, head)
    assert b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n" in files.read(".gitattributes")


def test_ids_are_taken_without_regard_to_case(hub, ann):
    repositories.create(hub, ann, "Ann/m")
    with pytest.raises(AlreadyExists, match="Ann/m"):
        repositories.create(hub, ann, "ann/M")


def test_of_two_that_create_at_once_one_does(hub, ann):
    def create(_: int) -> str:
        try:
            return repositories.create(hub, ann, "ann/m").repo_id
        except AlreadyExists:
            return "exists"

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(create, range(8))) == ["Ann/m"] + ["exists"] * 7


def at_once(act, number=4):
    """What `act` answers for 0, 1, …, all begun at the same moment."""
    start = threading.Barrier(number)

    def begin(index: int):
        start.wait()
        return act(index)

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(begin, range(number)))


@pytest.mark.parametrize("exists", [False, True], ids=["new organisation", "known organisation"])
def test_first_commits_to_a_linked_entry_at_once_all_land(hub, root, exists):
    linked(hub)
    if exists:
        repositories.create(hub, root, "google/other")
    operations = [[AddFile(f"f{index}.txt", b"x")] for index in range(4)]
    done = at_once(
        lambda index: repositories.commit(hub, root, "google/bert", "main", operations[index], title="t")
    )
    assert len({result.oid for result in done}) == 4
    with hub.database.session() as session:
        repository = repositories.get(session, ANONYMOUS, "google/bert")
        head = repositories.resolve(session, repository)
        assert repositories.log(session, head)[1] == 5
        names = {entry.path for entry in repositories.tree(session, repository, head)}
        assert names == {".gitattributes", *(f"f{index}.txt" for index in range(4))}
        acts = select(func.count()).select_from(Activity).where(Activity.verb == "repository.host")
        assert session.scalar(acts) == 1


def test_of_those_that_create_a_linked_entry_at_once_one_does(hub, root):
    linked(hub)

    def create(_: int) -> str:
        try:
            return repositories.create(hub, root, "google/bert").repo_id
        except AlreadyExists as error:
            return str(error)

    answers = at_once(create)
    assert answers.count("google/bert") == 1
    assert sum("google/bert" in answer and "exists" in answer for answer in answers) == 3


def test_repositories_at_once_in_a_missing_organisation_all_come_to_be(hub, root):
    created = at_once(lambda index: repositories.create(hub, root, f"lab/m{index}").repo_id)
    assert created == [f"lab/m{index}" for index in range(4)]
    with hub.database.session() as session:
        assert accounts.find(session, "lab").is_organization


def test_an_organisation_made_by_an_upload_is_spelled_as_its_entries(hub, root):
    linked(hub, "Qwen/Qwen3-8B")
    linked(hub, "Qwen_2/m")
    linked(hub, "qwenA2/m")
    assert repositories.create(hub, root, "qwen/mine").repo_id == "Qwen/mine"
    assert repositories.create(hub, root, "qwen_2/mine").repo_id == "Qwen_2/mine"


@pytest.mark.usefixtures("ann")
def test_a_fault_of_the_database_is_not_told_as_a_repository_that_exists(hub):
    """Such as an account that has gone meanwhile."""
    gone = Actor(10**9, "ann", scope="write")
    with pytest.raises(IntegrityError):
        repositories.create(hub, gone, "ann/m")


def test_owner_is_oneself_or_an_organisation_where_one_may_write(hub, ann, root):
    with pytest.raises(NotAuthenticated):
        repositories.create(hub, ANONYMOUS, "ann/m")
    with pytest.raises(AccessDenied):
        repositories.create(hub, ann, "root/m")
    with pytest.raises(AccessDenied, match="nowhere"):
        repositories.create(hub, ann, "nowhere/m")
    with pytest.raises(Invalid):
        repositories.create(hub, ann, "m")
    with hub.database.transaction() as session:
        organizations.found(session, ann, "Lab")
    assert repositories.create(hub, again(hub, ann), "lab/m").repo_id == "Lab/m"
    assert repositories.create(hub, root, "ann/by-root").repo_id == "Ann/by-root"


def test_a_site_admins_act_makes_a_missing_organisation(hub, root):
    repositories.create(hub, root, "sentence-transformers/m")
    with hub.database.session() as session:
        organization = accounts.find(session, "sentence-transformers")
        assert organization.is_organization
        assert (
            accounts.actor_of(session, accounts.find(session, "root")).role_in(organization.name) == "admin"
        )


def test_private_repositories_are_seen_by_their_own_only(hub, ann):
    repositories.create(hub, ann, "ann/secret", private=True)
    with hub.database.session() as session:
        assert repositories.get(session, ann, "ann/secret").private
        for other in (ANONYMOUS, person(hub, "bob")):
            with pytest.raises(RepositoryNotFound):
                repositories.get(session, other, "ann/secret")


@pytest.mark.parametrize("repo_id", ["gpt2", "nobody/m", "a/b/c", "", "模型/模型"])
def test_what_does_not_exist_is_not_found(hub, repo_id):
    with hub.database.session() as session, pytest.raises(RepositoryNotFound):
        repositories.get(session, ANONYMOUS, repo_id)


def test_settings_change_for_those_who_may(hub, ann):
    repositories.create(hub, ann, "ann/m")
    bob = person(hub, "bob")
    with hub.database.transaction() as session:
        with pytest.raises(AccessDenied):
            repositories.update(session, bob, "ann/m", private=True)
        assert repositories.update(session, ann, "ann/m", private=True, gated="manual").private
        assert repositories.update(session, ann, "ann/m", private=False).gated == "manual"
        assert repositories.update(session, ann, "ann/m", gated=False).gated is None


def test_a_deleted_repository_leaves_nothing_but_its_trace(hub, ann):
    repositories.create(hub, ann, "ann/kept")
    repositories.create(hub, ann, "ann/gone")
    for repo_id in ("ann/kept", "ann/gone"):
        commit(hub, ann, repo_id, {"a/b.txt": b"same"}, large={"model.bin": b"the same large bytes"})
    with hub.database.transaction() as session:
        gone = repositories.get(session, ann, "ann/gone")
        head = repositories.resolve(session, gone)
        session.add(Facet(repository_id=gone.id, facet="tag", value="x"))
        session.add(
            Verification(
                repository_id=gone.id, commit_oid=head.oid, status="complete", report={}, version="0"
            )
        )
        repositories.create_tag(session, ann, "ann/gone", "v1", message="first")
    with hub.database.transaction() as session:
        repositories.delete(session, ann, "ANN/gone")
    with hub.database.session() as session:
        with pytest.raises(RepositoryNotFound):
            repositories.get(session, ann, "ann/gone")
        for table in Base.metadata.sorted_tables:
            if "repository_id" in table.c:
                left = select(func.count()).where(table.c.repository_id == gone.id)
                assert session.scalar(left) == 0, table.name
        last = session.scalars(select(Activity).order_by(Activity.id.desc())).first()
        assert last is not None
        assert (last.verb, last.subject) == ("repository.delete", "Ann/gone")
        kept = repositories.get(session, ann, "ann/kept")
        head = repositories.resolve(session, kept)
    files = repositories.RevisionFiles(hub, kept, head)
    assert files.read("model.bin") == b"the same large bytes"
    assert files.read("a/b.txt") == b"same"
    assert repositories.create(hub, ann, "ann/gone").repo_id == "Ann/gone"


def test_only_those_who_may_delete(hub, ann):
    repositories.create(hub, ann, "ann/m")
    bob = person(hub, "bob")
    with hub.database.transaction() as session:
        with pytest.raises(AccessDenied):
            repositories.delete(session, bob, "ann/m")
        with pytest.raises(NotAuthenticated):
            repositories.delete(session, ANONYMOUS, "ann/m")


def test_a_linked_entry_is_seen_by_all_and_has_no_files(hub):
    linked(hub)
    with hub.database.session() as session:
        repository = repositories.get(session, ANONYMOUS, "google/BERT")
        assert repository.is_linked
        with pytest.raises(NotHosted, match=r"https://huggingface.co/upstream/bert"):
            repositories.resolve(session, repository)


def test_linking_again_changes_nothing(hub, ann):
    linked(hub)
    linked(hub)
    repositories.create(hub, ann, "ann/m")
    with hub.database.transaction() as session:
        assert not repositories.link(session, "ann/m", "elsewhere/m").is_linked
    with hub.database.session() as session:
        assert session.scalar(select(func.count()).select_from(Repository)) == 2


def test_a_linked_entry_reserves_no_name(hub):
    linked(hub, "ann/m")
    ann = person(hub, "Ann")
    assert repositories.create(hub, ann, "ann/m").repo_id == "Ann/m"


@pytest.mark.parametrize("by", ["create", "commit"])
def test_a_linked_entry_becomes_hosted_and_keeps_its_facts(hub, root, by):
    linked(hub)
    if by == "create":
        repositories.create(hub, root, "google/bert")
    result = commit(hub, root, "google/bert", {"config.json": b"{}"})
    with hub.database.session() as session:
        repository = repositories.get(session, ANONYMOUS, "google/bert")
        assert (repository.status, repository.upstream) == ("hosted", "upstream/bert")
        assert session.get_one(Model, repository.id).family == "bert"
        head = repositories.resolve(session, repository)
        assert head.oid == result.oid
        assert [row.title for row in repositories.log(session, head)[0]] == ["Add files", "initial commit"]
        assert accounts.find(session, "google").is_organization
    with pytest.raises(AlreadyExists):
        repositories.create(hub, root, "google/bert")
    linked(hub, family="bert")
    with hub.database.session() as session:
        assert not repositories.get(session, ANONYMOUS, "google/bert").is_linked


def test_others_cannot_take_a_linked_entry(hub, ann):
    linked(hub)
    with pytest.raises(AccessDenied):
        repositories.create(hub, ann, "google/bert")
    with pytest.raises(AccessDenied):
        repositories.commit(hub, ann, "google/bert", "main", [AddFile("a", b"")], title="t")
    with pytest.raises(NotAuthenticated):
        repositories.commit(hub, ANONYMOUS, "google/bert", "main", [AddFile("a", b"")], title="t")
    with hub.database.session() as session:
        assert repositories.get(session, ann, "google/bert").is_linked
    assert set(hub.blobs) == set()


def test_an_entry_with_files_belongs_to_somebody(hub):
    """The schema itself says so, whatever the code does."""
    for fields in ({"status": "hosted"}, {"status": "linked"}, {"status": "other", "upstream": "a/b"}):
        with pytest.raises(IntegrityError), hub.database.transaction() as session:
            session.add(Repository(namespace="a", name="b", **fields))
