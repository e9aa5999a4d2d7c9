"""Branches, tags and commit ids: what a revision means, and moving refs by hand."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from dulwich.refs import check_ref_format
from sqlalchemy import (
    ColumnElement,
    Select,
    SQLColumnExpression,
    and_,
    exists,
    func,
    literal,
    or_,
    select,
    tuple_,
)
from sqlalchemy.orm import Session

from modelcenter.errors import (
    AccessDenied,
    AllWithdrawn,
    AlreadyExists,
    Frozen,
    Invalid,
    NotHosted,
    RepositoryNotFound,
    RevisionNotFound,
)
from modelcenter.registry import activity, history, lifecycle, objects
from modelcenter.registry.access import Actor, require
from modelcenter.registry.tables import Commit, CommitParent, Ref, Repository, Withdrawal, now

HEADS, TAGS, REQUESTS = "refs/heads/", "refs/tags/", "refs/pr/"
_FULL = re.compile("[0-9a-f]{40}")
_SHORT = re.compile("[0-9a-f]{7,39}")


def resolve(
    session: Session, repository: Repository, revision: str = "main", *, as_it_is: bool = False
) -> Commit:
    """The commit that a branch, a tag, `refs/…`, a full commit id or one of at least 7 digits means.

    A ref at a withdrawn commit means the newest before it, by first parents, that stands; as_it_is: the one
    that it is at, which is what writers build on. Raises RevisionNotFound, and NotHosted for a linked entry.
    """
    require_hosted(repository)
    if _FULL.fullmatch(revision.lower()):
        commit = session.get(Commit, (repository.id, revision.lower()))
        if commit is not None:
            return commit
    oid = None
    ref, is_withdrawn = _find(session, repository, revision)
    if ref is not None:
        oid = ref.target
        if is_withdrawn and not as_it_is:
            oid = standing(session, {repository.id: oid}).get(repository.id)
            if oid is None:
                withdrawal = session.get_one(Withdrawal, (repository.id, ref.target))
                raise AllWithdrawn(repository.repo_id, revision, ref.target, withdrawal.reason)
    commit = session.get(Commit, (repository.id, oid)) if oid else None
    commit = commit or _by_prefix(session, repository, revision.lower())
    if commit is None:
        raise RevisionNotFound(repository.repo_id, revision)
    return commit


def is_full_id(text: str) -> bool:
    """Whether `text` is a whole commit id, in small letters."""
    return _FULL.fullmatch(text) is not None


def require_hosted(repository: Repository) -> None:
    """Raises NotHosted for a catalogue entry whose files are elsewhere."""
    if repository.is_linked:
        raise NotHosted(repository.repo_id, repository.upstream or "")


def find_ref(session: Session, repository: Repository, revision: str) -> Ref | None:
    """The ref that `revision` names: in full, else a branch before a tag."""
    return _find(session, repository, revision)[0]


def _find(session: Session, repository: Repository, revision: str) -> tuple[Ref | None, bool]:
    """The ref that `revision` names, and whether the commit that it is at is withdrawn."""
    names = (
        [revision]
        if revision.startswith("refs/")
        else [HEADS + revision, TAGS + revision, f"refs/{revision}"]
    )
    rows = session.execute(
        select(Ref, Withdrawal.commit_oid.is_not(None))
        .outerjoin(Withdrawal, _withdrawn(Ref.repository_id, Ref.target))
        .where(Ref.repository_id == repository.id, Ref.name.in_(names))
    )
    known = {ref.name: (ref, is_withdrawn) for ref, is_withdrawn in rows}
    return next((known[name] for name in names if name in known), (None, False))


def standing(session: Session, heads: Mapping[int, str]) -> dict[int, str]:
    """Per repository the newest commit, from the given one back by first parents, that is not withdrawn.

    Repositories where none stands are left out.
    """
    chosen = tuple_(Commit.repository_id, Commit.oid).in_(list(heads.items()))
    found = _standing(select(Commit.repository_id, Commit.oid).where(chosen))
    return dict(session.execute(found).all())


def all_withdrawn() -> Select[int]:
    """The repositories of whose default branch no commit stands."""
    heads = (
        select(Ref.repository_id, Ref.target)
        .join(Repository, Repository.id == Ref.repository_id)
        .join(Withdrawal, _withdrawn(Ref.repository_id, Ref.target))
        .where(Ref.name == literal(HEADS) + Repository.default_branch)
    )
    others = _standing(heads).subquery()
    at = heads.subquery()
    return select(at.c.repository_id).where(at.c.repository_id.not_in(select(others.c.repository_id)))


def _standing(heads: Select[int, str]) -> Select[int, str]:
    """Of each of `heads` the newest commit, back by first parents, that is not withdrawn, if there is one."""
    repository_id, oid = heads.selected_columns
    chain = heads.with_only_columns(
        repository_id.label("repository_id"), oid.label("oid"), literal(0).label("steps")
    ).cte(recursive=True)
    is_withdrawn = exists().where(_withdrawn(chain.c.repository_id, chain.c.oid))
    chain = chain.union_all(
        select(CommitParent.repository_id, CommitParent.parent, chain.c.steps + 1).where(
            CommitParent.repository_id == chain.c.repository_id,
            CommitParent.oid == chain.c.oid,
            CommitParent.position == 0,
            is_withdrawn,
        )
    )
    stands = ~exists().where(_withdrawn(chain.c.repository_id, chain.c.oid))
    return select(chain.c.repository_id, chain.c.oid).where(stands)


def _withdrawn(repository_id: SQLColumnExpression[int], oid: SQLColumnExpression[str]) -> ColumnElement[bool]:
    return and_(Withdrawal.repository_id == repository_id, Withdrawal.commit_oid == oid)


def require_movable(ref: Ref) -> None:
    """Raises Frozen where nobody may move or delete the ref, whose row is locked. Every mover asks here."""
    if ref.frozen_at is not None:
        raise Frozen(ref.name)


def freeze(session: Session, actor: Actor, repo_id: str, name: str, *, frozen: bool = True) -> Ref:
    """Lets nobody move or delete the branch or tag any more, whatever their rights; or again.

    For who administers the repository. Raises RevisionNotFound, AccessDenied and what these are based on.
    """
    repository = lifecycle.get(session, actor, repo_id)
    require(actor, "admin", repository)
    require_hosted(repository)
    if not lifecycle.hold(session, repository.id):
        raise RepositoryNotFound(repo_id)
    found = find_ref(session, repository, name)
    ref = locked(session, repository, found.name) if found else None
    if ref is None:
        raise RevisionNotFound(repository.repo_id, name)
    if frozen != (ref.frozen_at is not None):
        ref.frozen_at = now() if frozen else None
        verb = "ref.freeze" if frozen else "ref.thaw"
        activity.record(session, actor, verb, repository.repo_id, repository, ref=ref.name, oid=ref.target)
    return ref


def locked(session: Session, repository: Repository, name: str) -> Ref | None:
    """The ref of that full name as it is until the transaction ends."""
    wanted = select(Ref).where(Ref.repository_id == repository.id, Ref.name == name)
    return session.scalar(wanted.with_for_update().execution_options(populate_existing=True))


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
    remove(session, actor, repository, name)


def delete_tag(session: Session, actor: Actor, repo_id: str, tag: str) -> None:
    """Removes a tag. Raises RevisionNotFound."""
    repository = _writable(session, actor, repo_id)
    remove(session, actor, repository, TAGS + tag.removeprefix(TAGS))


def remove(session: Session, actor: Actor, repository: Repository, name: str) -> None:
    """Removes the ref of that full name, whoever asks. Raises RevisionNotFound, Frozen."""
    ref = locked(session, repository, name)
    if ref is None:
        raise RevisionNotFound(repository.repo_id, name)
    require_movable(ref)
    activity.record(session, actor, "ref.delete", repository.repo_id, repository, ref=name, oid=ref.target)
    session.delete(ref)


def check_name(name: str) -> None:
    """Raises Invalid for what cannot be the full name of a branch or a tag."""
    short = name.split("/", 2)[2]
    if not _well_formed(name) or short.startswith("-") or _FULL.fullmatch(short.lower()):
        raise Invalid(f"{short!r} cannot name a branch or a tag: see `git help check-ref-format`.")


def _writable(session: Session, actor: Actor, repo_id: str) -> Repository:
    repository = lifecycle.get(session, actor, repo_id)
    require(actor, "write", repository)
    require_hosted(repository)
    if not lifecycle.hold(session, repository.id):
        raise RepositoryNotFound(repo_id)
    return repository


def make(
    session: Session, repository: Repository, name: str, target: str, annotation: str | None = None
) -> Ref:
    """A new ref of that full name at the commit `target`. Every maker of branches and tags asks here.

    Git keeps refs as files: `a` and `a/b` together could not be cloned. Makers of a repository take turns, so
    that of two at once the second sees the first. A name that reads as the beginning of a commit's id here
    would hide that commit. Raises AlreadyExists, Invalid, RepositoryNotFound.
    """
    check_name(name)
    if lifecycle.lock(session, repository.id) is None:
        raise RepositoryNotFound(repository.repo_id)
    kind, short = name.split("/", 2)[1:]
    segments = short.split("/")
    at_or_above = [f"refs/{kind}/{'/'.join(segments[:depth])}" for depth in range(1, len(segments) + 1)]
    is_below = func.substr(Ref.name, 1, len(name) + 1) == f"{name}/"
    taken = select(Ref.name).where(
        Ref.repository_id == repository.id, or_(Ref.name.in_(at_or_above), is_below)
    )
    other = session.scalar(taken.order_by(Ref.name).limit(1))
    if other is not None:
        raise AlreadyExists("Reference", other, beside=name if other != name else "")
    if _beginning_so(session, repository, short.lower()):
        raise Invalid(f"{short!r} cannot name a branch or a tag: a commit's id begins so.")
    ref = Ref(repository_id=repository.id, name=name, target=target, tag=annotation)
    session.add(ref)
    session.flush()
    return ref


def _create(
    session: Session,
    actor: Actor,
    repository: Repository,
    name: str,
    commit: Commit,
    annotation: str | None = None,
) -> Ref:
    ref = make(session, repository, name, commit.oid, annotation)
    activity.record(session, actor, "ref.create", repository.repo_id, repository, ref=name, oid=commit.oid)
    return ref


def _well_formed(name: str) -> bool:
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        return False
    return len(name) <= 255 and not name.endswith("/HEAD") and bool(check_ref_format(encoded))  # type: ignore[arg-type]


def _by_prefix(session: Session, repository: Repository, prefix: str) -> Commit | None:
    """The one commit whose id begins so; None where several do."""
    found = _beginning_so(session, repository, prefix)
    return found[0] if len(found) == 1 else None


def _beginning_so(session: Session, repository: Repository, prefix: str) -> Sequence[Commit]:
    """Up to two commits whose ids begin with `prefix`, if that is a short id."""
    if not _SHORT.fullmatch(prefix):
        return ()
    wanted = select(Commit).where(
        Commit.repository_id == repository.id, Commit.oid >= prefix, Commit.oid < prefix + "g"
    )
    return session.scalars(wanted.limit(2)).all()
