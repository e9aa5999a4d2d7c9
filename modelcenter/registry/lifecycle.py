"""How a repository comes to be, is found, set and removed."""

from __future__ import annotations

from typing import Literal

from sqlalchemy import delete as sql_delete
from sqlalchemy import func, select
from sqlalchemy import update as sql_update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from modelcenter.errors import AlreadyExists, NotHosted, RepositoryMoved, RepositoryNotFound
from modelcenter.registry import activity, gitattributes, history, jobs, objects, organizations
from modelcenter.registry.access import Actor, may, require, require_create
from modelcenter.registry.hub import Hub
from modelcenter.registry.names import key_of, split_id
from modelcenter.registry.tables import Account, Activity, Commit, File, FormerId, Model, Ref, Repository, now
from modelcenter.registry.trees import Folder

INITIAL = "initial commit"


def find(session: Session, repo_id: str) -> Repository | None:
    """The repository of that id, for the registry itself: `get` asks who wants it. Case does not matter."""
    return session.scalar(select(Repository).where(Repository.key == repo_id.lower()))


def get(session: Session, actor: Actor, repo_id: str) -> Repository:
    """The repository of that id. Raises RepositoryNotFound, also for one that `actor` may not read.

    One that had this id before it moved is named by RepositoryMoved, which is a RepositoryNotFound.
    """
    key = key_of(repo_id)
    repository = session.scalar(select(Repository).where(Repository.key == key))
    if repository is None:
        moved = select(Repository, FormerId.private).join(FormerId, FormerId.repository_id == Repository.id)
        row = session.execute(moved.where(FormerId.key == key)).one_or_none()
        # An id that was never public is not told of by what has become public since.
        if (
            row is not None
            and may(actor, "read", row[0])
            and (not row[1] or actor.role_in(row[0].namespace, row[0].name) is not None)
        ):
            raise RepositoryMoved(repo_id, row[0].repo_id)
        raise RepositoryNotFound(repo_id)
    if not may(actor, "read", repository):
        raise RepositoryNotFound(repo_id)
    return repository


def hold(session: Session, repository_id: int) -> bool:
    """Keeps the repository from being deleted until the transaction ends; says whether it is still there.

    Whoever locks rows of a repository (its refs, its model) takes this first: a deletion locks the repository
    and then those rows, and the two would otherwise wait for each other.
    """
    held = select(Repository.id).where(Repository.id == repository_id)
    return session.scalar(held.with_for_update(read=True, key_share=True)) is not None


def lock(session: Session, repository_id: int) -> Repository | None:
    """The repository as it is now, this transaction's alone to change until it ends; None if it has gone."""
    locked = select(Repository).where(Repository.id == repository_id).with_for_update(key_share=True)
    return session.scalar(locked.execution_options(populate_existing=True))


def create(hub: Hub, actor: Actor, repo_id: str, *, private: bool | None = None) -> Repository:
    """A new repository whose branch `main` has an initial commit, or a linked entry turned into one.

    private: None leaves it to what its owner has set for new repositories, else it is public.

    OWNER is oneself or an organisation where one may create; a site admin's act makes a missing organisation.
    Raises AlreadyExists, Invalid, NotAuthenticated, AccessDenied.
    """
    namespace, name = split_id(repo_id)
    require_create(actor, namespace)
    stage_attributes(hub)
    with hub.database.transaction() as session:
        repository = find(session, repo_id)
        if repository is None:
            repository = insert(session, actor, namespace, name, private=private)
            if repository is not None:
                activity.record(session, actor, "repository.create", repository.repo_id, repository)
                _begin(session, actor, repository)
                return repository
            repository = find(session, repo_id)
        if repository is not None and repository.is_linked:  # of several that host it at once, one does
            repository = lock(session, repository.id)
        if repository is None or not repository.is_linked:
            raise AlreadyExists("Repository", repository.repo_id if repository else repo_id)
        # Before anything is written down of it, which is told to those who may read it.
        repository.private = _is_private(private, owner(session, actor, repository.namespace))
        host(session, actor, repository)
        return repository


def stage_attributes(hub: Hub) -> None:
    """Stores the content of a new repository's `.gitattributes`, before the transaction that names it."""
    hub.blobs.put([gitattributes.DEFAULT.encode()])


def link(session: Session, repo_id: str, upstream: str) -> Repository:
    """The catalogue entry `repo_id` for a repository elsewhere; what exists is left as it is."""
    repository = find(session, repo_id)
    if repository is None:
        namespace, name = split_id(repo_id)
        repository = Repository(namespace=namespace, name=name, status="linked", upstream=upstream)
        session.add(repository)
        session.flush()
        session.add(Model(repository_id=repository.id))
        activity.record(session, None, "repository.link", repo_id, repository, upstream=upstream)
    return repository


def host(session: Session, actor: Actor, repository: Repository) -> None:
    """Turns a linked entry into a hosted repository of `actor`'s making; what is known of the model stays.

    Whoever calls it has the entry from `lock`: found any other way it may be hosted already.
    """
    take_over(session, actor, repository)
    _begin(session, actor, repository)


def take_over(session: Session, actor: Actor, repository: Repository) -> None:
    """As `host`, without a first commit: whoever calls it brings the history in the same transaction."""
    require_create(actor, repository.namespace)
    account = owner(session, actor, repository.namespace)
    repository.status, repository.owner, repository.namespace = "hosted", account, account.name
    repository.created_by_id = actor.account_id
    activity.record(session, actor, "repository.host", repository.repo_id, repository)


def update(
    session: Session,
    actor: Actor,
    repo_id: str,
    *,
    private: bool | None = None,
    gated: Literal["auto", "manual", False] | None = None,
) -> Repository:
    """Changes the settings that are given; `gated=False` opens a gate. Raises AccessDenied."""
    repository = get(session, actor, repo_id)
    require(actor, "admin", repository)
    if private is not None:
        if repository.is_linked:
            raise NotHosted(repository.repo_id, repository.upstream or "")
        repository.private = private
    if gated is not None:
        repository.gated = gated or None
    repository.updated_at = now()
    activity.record(
        session, actor, "repository.settings", repository.repo_id, repository, private=private, gated=gated
    )
    return repository


def delete(session: Session, actor: Actor, repo_id: str) -> None:
    """Removes the repository with its history. Its blobs stay: others may hold the same bytes."""
    repository = get(session, actor, repo_id)
    require(actor, "admin", repository)
    activity.record(
        session, actor, "repository.delete", repository.repo_id, repository, upstream=repository.upstream
    )
    if repository.private:  # what happened while it was public stays as hidden as it is
        acts = sql_update(Activity).where(Activity.repository_id == repository.id).values(private=True)
        session.execute(acts.execution_options(synchronize_session=False))
    session.execute(sql_delete(Repository).where(Repository.id == repository.id))


def moved(
    session: Session, actor: Actor, repository: Repository, ref: Ref, commit: Commit, verb: str = "commit"
) -> None:
    """Writes down that `ref` now is at `commit`, and queues what follows from it."""
    if not ref.name.startswith("refs/pr/"):  # what is only proposed does not change the model
        repository.updated_at = now()
    activity.record(
        session, actor, verb, repository.repo_id, repository, ref=ref.name, oid=commit.oid, title=commit.title
    )
    if ref.name == f"refs/heads/{repository.default_branch}":
        # Lists show it as the head's, and the head's is not known yet.
        session.execute(sql_update(Model).where(Model.repository_id == repository.id).values(verdict=None))
    queue_facts(session, actor, repository, commit.oid, ref.name)


def queue_facts(session: Session, actor: Actor, repository: Repository, oid: str, ref: str) -> None:
    """Queues the look at a commit, which becomes what is said of the model where it is the head."""
    jobs.enqueue(
        session,
        "facts",
        {"repository_id": repository.id, "commit": oid, "ref": ref, "account_id": actor.account_id},
        key=f"facts:{repository.id}:{oid}",
    )


def queue_head(session: Session, actor: Actor, repository: Repository) -> None:
    """Queues the look at the head of the default branch, of which more is here than before."""
    ref = session.get(Ref, (repository.id, f"refs/heads/{repository.default_branch}"))
    if ref is not None:
        queue_facts(session, actor, repository, ref.target, ref.name)


def insert(
    session: Session, actor: Actor, namespace: str, name: str, *, private: bool | None
) -> Repository | None:
    """The row of a new repository; None where another of that id was there first."""
    account = owner(session, actor, namespace)
    session.execute(sql_delete(FormerId).where(FormerId.key == f"{namespace}/{name}".lower()))
    repository = Repository(namespace=account.name, name=name, owner=account)
    repository.private = _is_private(private, account)
    repository.created_by_id = actor.account_id
    try:
        with session.begin_nested():
            session.add(repository)
    except IntegrityError:
        if find(session, f"{namespace}/{name}") is None:
            raise
        return None
    return repository


def _is_private(private: bool | None, owner: Account | None) -> bool:
    return bool(owner and owner.private_by_default) if private is None else private


def owner(session: Session, actor: Actor, namespace: str) -> Account:
    """The account called `namespace`; for a site admin a missing organisation is made."""
    wanted = select(Account).where(Account.key == namespace.lower())
    account = session.scalar(wanted)
    if account is not None:
        return account
    try:
        return organizations.found(session, actor, _spelling(session, namespace))
    except AlreadyExists:  # two at once: the other was first
        account = session.scalar(wanted)
        if account is None:
            raise
        return account


def _spelling(session: Session, namespace: str) -> str:
    """`namespace` as most of the entries in it spell it."""
    known = (
        select(Repository.namespace)
        .where(Repository.key.startswith(f"{namespace.lower()}/", autoescape=True))
        .group_by(Repository.namespace)
        .order_by(func.count().desc(), Repository.namespace)
    )
    return session.scalar(known.limit(1)) or namespace


def _begin(session: Session, actor: Actor, repository: Repository) -> None:
    """The first commit of a repository, its branch `main` and the row of its facts."""
    content = gitattributes.DEFAULT.encode()
    oid = objects.file_oid(content)
    session.add(File(repository_id=repository.id, oid=oid, sha256=objects.sha256(content), size=len(content)))
    root = Folder(lambda _: {})
    root.put(gitattributes.NAME, objects.Item(objects.FILE, oid))
    tree, trees = root.write()
    commit = history.append(session, repository, actor, tree, trees, [], title=INITIAL)
    ref = Ref(repository_id=repository.id, name=f"refs/heads/{repository.default_branch}", target=commit.oid)
    session.add(ref)
    if session.get(Model, repository.id) is None:
        session.add(Model(repository_id=repository.id))
    moved(session, actor, repository, ref, commit)
