"""History that was begun elsewhere, taken over with its ids: rows, refs and rights in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelcenter.errors import AlreadyExists, Invalid, RepositoryNotFound
from modelcenter.registry import history, lifecycle, revisions, uploads
from modelcenter.registry.access import Actor, may, require, require_create
from modelcenter.registry.accounts import actor_of
from modelcenter.registry.git import importing, pushing
from modelcenter.registry.git.importing import Arrival
from modelcenter.registry.git.packs import Pack
from modelcenter.registry.operations import Stored
from modelcenter.registry.revisions import HEADS, TAGS
from modelcenter.registry.tables import Account, Commit, Ref, Repository


def operator(session: Session, name: str | None = None) -> Actor:
    """In whose name an operator acts: the person `name`, else the first site admin. Raises Invalid."""
    wanted = select(Account).order_by(Account.id).limit(1)
    wanted = wanted.where(Account.key == name.lower()) if name else wanted.where(Account.is_admin)
    account = session.scalar(wanted.where(Account.kind == "user"))
    if account is None:
        raise Invalid(
            f"{name} is nobody here: expected the name of a person who has an account."
            if name
            else "The hub has no site admin in whose name to act. Make one (`modelcenter admin create-user "
            "NAME --admin`), or say who acts with --by NAME."
        )
    return actor_of(session, account, "admin")


def require_place(actor: Actor, repo_id: str, repository: Repository | None) -> None:
    """Raises unless `actor` may bring a history to `repo_id`, where `repository` is by now.

    One that they may not read is refused as if it were not there.
    """
    if repository is None or repository.is_linked or not may(actor, "read", repository):
        require_create(actor, repo_id.partition("/")[0])
    if repository is not None and not repository.is_linked:
        require(actor, "write", repository)


def check_refs(refs: Mapping[str, str]) -> None:
    """Raises Invalid unless these may be refs of a repository: branches and tags, with well-formed names."""
    for name in refs:
        if not name.startswith((HEADS, TAGS)):
            raise Invalid(f"{name!r:.200} is no branch ({HEADS}…) and no tag ({TAGS}…).")
        revisions.check_name(name)


def adopt(
    session: Session,
    actor: Actor,
    repository: Repository,
    refs: Mapping[str, str],
    pack: Pack | None,
    arrival: Arrival,
    files: Sequence[Stored],
    *,
    force: bool = False,
) -> None:
    """Keeps what arrived in `repository` and puts `refs` where they are elsewhere; hosts a linked entry.

    The content of the large files in `files` has come with the history: from here on it is this repository's.
    A branch that has moved on here, or that was rewritten there, moves only with `force`.
    Raises AlreadyExists, Invalid, AccessDenied, QuotaExceeded.
    """
    if repository.is_linked:
        locked = lifecycle.lock(session, repository.id)
        if locked is None:
            raise RepositoryNotFound(repository.repo_id)
        if not locked.is_linked:
            raise AlreadyExists("Repository", locked.repo_id)
        repository = locked
        lifecycle.take_over(session, actor, repository)
    elif not lifecycle.hold(session, repository.id):
        raise RepositoryNotFound(repository.repo_id)
    require(actor, "write", repository)
    wanted = select(Ref).where(Ref.repository_id == repository.id, Ref.name.in_(list(refs)))
    known = {ref.name: ref for ref in session.scalars(wanted.order_by(Ref.name).with_for_update())}
    uploads.keep(session, actor, repository, [file.blob for file in files if file.is_lfs])
    if pack is not None:
        importing.keep(session, actor, repository, pack, arrival, files)
    for name, tip in sorted(refs.items()):
        ref = known.get(name)
        if ref is not None and (ref.tag or ref.target) == tip:
            continue
        if ref is not None:
            _require_move(session, repository, ref, arrival.heads[tip], force=force)
        if tip in arrival.annotated and not name.startswith(TAGS):
            raise Invalid(f"{name} is a branch and cannot be at a tag.")
        pushing.point(session, actor, repository, ref, name, tip, arrival)


def _require_move(session: Session, repository: Repository, ref: Ref, target: str, *, force: bool) -> None:
    """Raises unless `ref` may go to the commit `target`: forwards, or where one insists."""
    revisions.require_movable(ref)
    if force:
        return
    head = session.get_one(Commit, (repository.id, ref.target))
    shared = history.fork(session, head, session.get_one(Commit, (repository.id, target)))
    if shared is None or shared.oid != head.oid:
        raise Invalid(
            f"{ref.name} of {repository.repo_id} is at {head.oid}, which is not before {target}: it was "
            "committed to here or rewritten there. Take theirs with --force."
        )
