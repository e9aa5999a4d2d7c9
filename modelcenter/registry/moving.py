"""A repository under another id: moved there, or copied there with its history."""

from __future__ import annotations

from sqlalchemy import delete, exists, insert, literal, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from modelcenter.errors import AlreadyExists, NotAuthenticated, NotFetched, RepositoryNotFound
from modelcenter.registry import activity, jobs, lifecycle, quotas
from modelcenter.registry.access import Actor, require, require_create, require_files
from modelcenter.registry.names import split_id
from modelcenter.registry.revisions import HEADS, TAGS, require_hosted
from modelcenter.registry.tables import (
    AwaitedFile,
    Base,
    Change,
    Commit,
    CommitParent,
    File,
    FormerId,
    GitObject,
    LargeFile,
    Model,
    Ref,
    Repository,
    now,
)

TAKEN = "A model repository called"


def move(session: Session, actor: Actor, repo_id: str, target: str) -> Repository:
    """Gives the repository the id `target`; asking for the old one leads here until somebody else takes it.

    Of several at once one moves it. Raises RepositoryNotFound, AlreadyExists, also where a catalogue entry
    has that id, Invalid, AccessDenied, NotHosted, QuotaExceeded.
    """
    namespace, name = split_id(target)
    repository = lifecycle.get(session, actor, repo_id)
    require(actor, "admin", repository)
    require_hosted(repository)
    require_create(actor, namespace)
    locked = lifecycle.lock(session, repository.id)
    if locked is None:
        raise RepositoryNotFound(repo_id)
    # Of several that move it at once the first has: to the others this says where.
    if lifecycle.get(session, actor, repo_id).id != locked.id:
        raise RepositoryNotFound(repo_id)
    before, key = locked.repo_id, target.lower()
    other = lifecycle.find(session, target)
    if other is not None and other.id != locked.id:
        raise AlreadyExists(TAKEN, other.repo_id)
    owner = lifecycle.owner(session, actor, namespace)
    if owner.id != locked.owner_id:
        quotas.require_room_for(session, owner, locked)
    try:
        with session.begin_nested():
            session.execute(delete(FormerId).where(FormerId.key.in_((key, locked.key))))
            if key != locked.key:
                session.add(FormerId(key=locked.key, repository_id=locked.id, private=locked.private))
            locked.owner, locked.namespace, locked.name, locked.key = owner, owner.name, name, key
            locked.updated_at = now()
    except IntegrityError:  # two at once: the other was first
        raise AlreadyExists(TAKEN, target) from None
    activity.record(session, actor, "repository.move", locked.repo_id, locked, before=before)
    _describe(session, locked)
    return locked


def duplicate(
    session: Session, actor: Actor, repo_id: str, target: str, *, private: bool | None = None
) -> Repository:
    """A new repository `target` with branches, tags and history of another; private as that is, unless said.

    A gate comes along: what one may read through it is no more open in the copy. Raises AlreadyExists, Gated,
    Invalid, AccessDenied, NotHosted, NotFetched, QuotaExceeded.
    """
    namespace, name = split_id(target)
    if actor.is_anonymous:
        raise NotAuthenticated(f"Log in to duplicate {repo_id}.")
    source = lifecycle.get(session, actor, repo_id)
    require_hosted(source)
    require_files(actor, source)
    require_create(actor, namespace)
    if not lifecycle.hold(session, source.id):
        raise RepositoryNotFound(repo_id)
    awaited = session.scalar(select(AwaitedFile).where(AwaitedFile.repository_id == source.id).limit(1))
    if awaited is not None:
        raise NotFetched(source.repo_id, awaited.path)
    found = lifecycle.find(session, target)
    copy = (
        lifecycle.insert(
            session, actor, namespace, name, private=source.private if private is None else private
        )
        if found is None
        else None
    )
    if copy is None:
        raise AlreadyExists(TAKEN, found.repo_id if found else target)
    quotas.require_room_for(session, copy.owner or lifecycle.owner(session, actor, namespace), source)
    copy.gated, copy.default_branch, copy.upstream = source.gated, source.default_branch, source.upstream
    session.add(Model(repository_id=copy.id))
    session.flush()
    large = exists().where(
        File.repository_id == source.id, File.sha256 == LargeFile.sha256, File.is_lfs.is_(True)
    )
    _copy(session, GitObject, source, copy)
    _copy(session, File, source, copy)
    _copy(session, LargeFile, source, copy, large)
    _copy(session, Commit, source, copy)
    _copy(session, CommitParent, source, copy)
    _copy(session, Change, source, copy)
    _copy(session, Ref, source, copy, or_(Ref.name.startswith(HEADS), Ref.name.startswith(TAGS)))
    ref = session.get_one(Ref, (copy.id, HEADS + copy.default_branch))
    head = session.get_one(Commit, (copy.id, ref.target))
    lifecycle.moved(session, actor, copy, ref, head, "repository.duplicate")
    return copy


def _copy(session: Session, table: type[Base], source: Repository, copy: Repository, *only: object) -> None:
    """Copies the rows of a repository's table that satisfy `only`, in the database."""
    # What its owners froze there may be moved here.
    columns = [column for column in table.__table__.columns if column.name != "frozen_at"]
    values = [literal(copy.id) if column.name == "repository_id" else column for column in columns]
    rows = select(*values).where(table.__table__.c.repository_id == source.id, *only)  # type: ignore[arg-type]
    session.execute(insert(table).from_select([column.name for column in columns], rows))


def _describe(session: Session, repository: Repository) -> None:
    """Queues what is said of the repository's head by its name: the words it is found by."""
    ref = session.get_one(Ref, (repository.id, HEADS + repository.default_branch))
    jobs.enqueue(
        session,
        "facts",
        {"repository_id": repository.id, "commit": ref.target, "ref": ref.name},
        key=f"facts:{repository.id}:{ref.target}",
    )
