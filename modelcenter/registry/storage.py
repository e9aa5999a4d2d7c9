"""How many bytes the files of repositories take, each content once a repository."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from modelcenter.errors import AccountNotFound, NotAuthenticated
from modelcenter.registry.access import Actor
from modelcenter.registry.tables import File, Repository


def storage(session: Session, actor: Actor, namespace: str | None = None) -> list[tuple[Repository, int]]:
    """The hosted repositories of `actor`, or of an organisation `actor` belongs to, the largest first.

    Raises NotAuthenticated, AccountNotFound.
    """
    if actor.is_anonymous:
        raise NotAuthenticated("Log in to see what your repositories take.")
    owner = namespace or actor.name
    if actor.role_in(owner) is None:
        raise AccountNotFound(owner)
    contents = select(File.repository_id, File.sha256, File.size).distinct().subquery()
    used = func.coalesce(func.sum(contents.c.size), 0)
    rows = session.execute(
        select(Repository, used)
        .outerjoin(contents, contents.c.repository_id == Repository.id)
        .where(Repository.status == "hosted", Repository.key.startswith(f"{owner.lower()}/", autoescape=True))
        .group_by(Repository.id)
        .order_by(used.desc(), Repository.key)
    )
    return [(repository, int(size)) for repository, size in rows]
