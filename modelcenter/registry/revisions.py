"""Branches, tags and commit ids: what a revision means, and moving refs by hand."""

from __future__ import annotations

import re

from dulwich.refs import check_ref_format
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from modelcenter.errors import (
    AccessDenied,
    AlreadyExists,
    Invalid,
    NotHosted,
    RepositoryNotFound,
    RevisionNotFound,
)
from modelcenter.registry import activity, history, lifecycle, objects
from modelcenter.registry.access import Actor, require
from modelcenter.registry.tables import Commit, Ref, Repository, now

HEADS, TAGS, REQUESTS = "refs/heads/", "refs/tags/", "refs/pr/"
_FULL = re.compile("[0-9a-f]{40}")
_SHORT = re.compile("[0-9a-f]{7,39}")


def resolve(session: Session, repository: Repository, revision: str = "main") -> Commit:
    """The commit that a branch, a tag, `refs/…`, a full commit id or one of at least 7 digits means.

    Raises RevisionNotFound, and NotHosted for a linked entry.
    """
    require_hosted(repository)
    if _FULL.fullmatch(revision.lower()):
        commit = session.get(Commit, (repository.id, revision.lower()))
        if commit is not None:
            return commit
    ref = find_ref(session, repository, revision)
    commit = session.get(Commit, (repository.id, ref.target)) if ref else None
    commit = commit or _by_prefix(session, repository, revision.lower())
    if commit is None:
        raise RevisionNotFound(repository.repo_id, revision)
    return commit


def require_hosted(repository: Repository) -> None:
    """Raises NotHosted for a catalogue entry whose files are elsewhere."""
    if repository.is_linked:
        raise NotHosted(repository.repo_id, repository.upstream or "")


def find_ref(session: Session, repository: Repository, revision: str) -> Ref | None:
    """The ref that `revision` names: in full, else a branch before a tag."""
    names = (
        [revision]
        if revision.startswith("refs/")
        else [HEADS + revision, TAGS + revision, f"refs/{revision}"]
    )
    known = {
        ref.name: ref
        for ref in session.scalars(select(Ref).where(Ref.repository_id == repository.id, Ref.name.in_(names)))
    }
    return next((known[name] for name in names if name in known), None)


def refs(session: Session, repository: Repository) -> list[Ref]:
    """All refs, by name: branches in `refs/heads/`, tags in `refs/tags/`, pull requests in `refs/pr/`."""
    return list(session.scalars(select(Ref).where(Ref.repository_id == repository.id).order_by(Ref.name)))


def create_branch(
    session: Session, actor: Actor, repo_id: str, branch: str, revision: str | None = None
) -> Ref:
    """A new branch at `revision`, else at the head of the default branch. Raises AlreadyExists, Invalid."""
    repository = _writable(session, actor, repo_id)
    commit = resolve(session, repository, revision or repository.default_branch)
    return _create(session, actor, repository, HEADS + branch.removeprefix(HEADS), commit)


def create_tag(
    session: Session, actor: Actor, repo_id: str, tag: str, revision: str = "main", message: str | None = None
) -> Ref:
    """A new tag at `revision`, annotated where there is a message. Raises AlreadyExists, Invalid."""
    repository = _writable(session, actor, repo_id)
    commit = resolve(session, repository, revision)
    name = TAGS + tag.removeprefix(TAGS)
    annotation = None
    if message:
        encoded = objects.encode_tag(
            name.removeprefix(TAGS), commit.oid, history.identity(actor), now(), f"{message}\n"
        )
        objects.keep(session, repository.id, [encoded])
        annotation = encoded.oid
    return _create(session, actor, repository, name, commit, annotation)


def delete_branch(session: Session, actor: Actor, repo_id: str, branch: str) -> None:
    """Removes a branch; its commits stay. Raises RevisionNotFound, AccessDenied for the default branch."""
    repository = _writable(session, actor, repo_id)
    name = HEADS + branch.removeprefix(HEADS)
    if name == HEADS + repository.default_branch:
        raise AccessDenied(f"Cannot delete {name}")
    _delete(session, actor, repository, name)


def delete_tag(session: Session, actor: Actor, repo_id: str, tag: str) -> None:
    """Removes a tag. Raises RevisionNotFound."""
    repository = _writable(session, actor, repo_id)
    _delete(session, actor, repository, TAGS + tag.removeprefix(TAGS))


def _writable(session: Session, actor: Actor, repo_id: str) -> Repository:
    repository = lifecycle.get(session, actor, repo_id)
    require(actor, "write", repository)
    require_hosted(repository)
    if not lifecycle.hold(session, repository.id):
        raise RepositoryNotFound(repo_id)
    return repository


def _create(
    session: Session,
    actor: Actor,
    repository: Repository,
    name: str,
    commit: Commit,
    annotation: str | None = None,
) -> Ref:
    short = name.split("/", 2)[2]
    if not _well_formed(name) or _FULL.fullmatch(short):
        raise Invalid(f"{short!r} cannot name a branch or a tag: see `git help check-ref-format`.")
    if session.get(Ref, (repository.id, name)) is not None:
        raise AlreadyExists("Reference", name)
    ref = Ref(repository_id=repository.id, name=name, target=commit.oid, tag=annotation)
    try:
        with session.begin_nested():
            session.add(ref)
    except IntegrityError:  # two at once: the other was first
        raise AlreadyExists("Reference", name) from None
    activity.record(session, actor, "ref.create", repository.repo_id, repository, ref=name, oid=commit.oid)
    return ref


def _well_formed(name: str) -> bool:
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        return False
    return len(name) <= 255 and not name.endswith("/HEAD") and bool(check_ref_format(encoded))  # type: ignore[arg-type]


def _delete(session: Session, actor: Actor, repository: Repository, name: str) -> None:
    ref = session.get(Ref, (repository.id, name))
    if ref is None:
        raise RevisionNotFound(repository.repo_id, name)
    activity.record(session, actor, "ref.delete", repository.repo_id, repository, ref=name, oid=ref.target)
    session.delete(ref)


def _by_prefix(session: Session, repository: Repository, prefix: str) -> Commit | None:
    """The one commit whose id begins so; None where several do."""
    if not _SHORT.fullmatch(prefix):
        return None
    found = session.scalars(
        select(Commit)
        .where(Commit.repository_id == repository.id, Commit.oid >= prefix, Commit.oid < prefix + "g")
        .limit(2)
    ).all()
    return found[0] if len(found) == 1 else None
