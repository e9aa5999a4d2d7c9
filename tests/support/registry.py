"""People and commits, made in one line."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from sqlalchemy.orm import Session

from modelcenter.registry import accounts, repositories, uploads
from modelcenter.registry.access import Actor
from modelcenter.registry.blobs.interface import Blob
from modelcenter.registry.hub import Hub
from modelcenter.registry.repositories import AddFile, AddLfs, CommitResult, Operation
from modelcenter.registry.tables import Scope, Verification
from modelcenter.verification import Verdict


def person(hub: Hub, name: str, *, is_admin: bool = False, scope: Scope = "write") -> Actor:
    """A new person, acting with a token of that scope."""
    with hub.database.transaction() as session:
        account = accounts.create_user(session, name, is_admin=is_admin)
        token = accounts.create_token(session, account, scope=scope)
    with hub.database.session() as session:
        return accounts.authenticate_token(session, token)


def again(hub: Hub, actor: Actor) -> Actor:
    """The same person with the memberships of now."""
    with hub.database.session() as session:
        return accounts.actor_of(session, accounts.find(session, actor.name), actor.scope)


def limited(hub: Hub, actor: Actor, *resources: str) -> Actor:
    """The same person by a token that is good for these accounts and repositories alone."""
    with hub.database.transaction() as session:
        account = accounts.find(session, actor.name)
        token = accounts.create_token(session, account, scope=actor.scope, resources=resources)
        return accounts.authenticate_token(session, token)


def upload(hub: Hub, actor: Actor, repo_id: str, content: bytes) -> Blob:
    """A large file's content, uploaded and not yet committed."""
    blob = Blob(hashlib.sha256(content).hexdigest(), len(content))
    uploads.receive(hub, actor, repo_id, blob, [content])
    return blob


def commit(
    hub: Hub,
    actor: Actor,
    repo_id: str,
    files: Mapping[str, bytes],
    *,
    large: Mapping[str, bytes] | None = None,
    revision: str = "main",
    title: str = "Add files",
) -> CommitResult:
    """A commit of these files, the `large` ones uploaded first."""
    blobs = {path: upload(hub, actor, repo_id, content) for path, content in (large or {}).items()}
    operations: list[Operation] = [
        *(AddFile(path, content) for path, content in files.items()),
        *(AddLfs(path, blob.sha256, blob.size) for path, blob in blobs.items()),
    ]
    return repositories.commit(hub, actor, repo_id, revision, operations, title=title)


def verdict_of(session: Session, repository_id: int, commit: str) -> Verdict | None:
    """The verdict on a commit; None until it was judged."""
    row = session.get(Verification, (repository_id, commit))
    return Verdict.from_json(row.report) if row else None
