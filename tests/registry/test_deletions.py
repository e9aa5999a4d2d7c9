"""A repository deleted while others write to it: each is told so, nobody waits for ever."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import func, select

from modelcenter.errors import RepositoryNotFound, RevisionNotFound
from modelcenter.registry import accounts, jobs, repositories
from modelcenter.registry.handlers import HANDLERS
from modelcenter.registry.repositories import AddFile
from modelcenter.registry.tables import Commit, File, Job, Model, Ref, Verification


def test_commits_jobs_and_deletion_at_once_never_wait_for_each_other(hub):
    with hub.database.transaction() as session:
        alice = accounts.actor_of(session, accounts.create_user(session, "alice"))

    def commit(number: int) -> None:
        files = [AddFile(f"{number}.txt", b"%d" % number), AddFile("README.md", b"# %d" % number)]
        with contextlib.suppress(RepositoryNotFound, RevisionNotFound):
            repositories.commit(hub, alice, "alice/gone", "main", files, title="Change")

    def work(_: int) -> None:
        jobs.Worker(hub, HANDLERS).run_all()

    def delete() -> None:
        with hub.database.transaction() as session:
            repositories.delete(session, alice, "alice/gone")

    with ThreadPoolExecutor(6) as pool:
        for _ in range(8):
            repositories.create(hub, alice, "alice/gone")
            acts = [pool.submit(commit, 1), pool.submit(work, 1), pool.submit(commit, 2), pool.submit(delete)]
            acts += [pool.submit(commit, 3), pool.submit(work, 2)]
            for act in acts:
                act.result(60)
    with hub.database.session() as session:
        assert not session.scalars(select(Job.error).where(Job.error.is_not(None))).all()
        for table in (Commit, File, Ref, Model, Verification):
            assert session.scalar(select(func.count()).select_from(table)) == 0
