"""Work that follows an act: queued in the act's transaction, done at least once whatever is killed meanwhile.

Handlers may run twice, and more than one worker may run: they write what they find, not what they add.
"""

from __future__ import annotations

import logging
import secrets
import threading
import traceback
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from modelcenter.registry.database import insert_missing
from modelcenter.registry.hub import Hub
from modelcenter.registry.tables import Job, now

Handler = Callable[[Hub, Mapping[str, Any]], object]

LEASE = timedelta(seconds=30)  # after this long without a sign of life a worker counts as dead
MAX_ATTEMPTS = 8  # the last an hour and a half after the first
KEPT = timedelta(days=7)  # how long finished jobs can be looked at

log = logging.getLogger(__name__)


class Hopeless(Exception):
    """Raised by a handler whose job would fail again however often it is tried: its text says why."""


class NotYet(Exception):
    """Raised by a handler for what is somebody else's to mend: the job is repeated, its text says why."""


def enqueue(
    session: Session,
    kind: str,
    payload: Mapping[str, Any],
    key: str | None = None,
    run_after: datetime | None = None,
) -> None:
    """Queues a job in the session's transaction, unless one of the same key still waits to begin."""
    moment = now()
    row = {
        "kind": kind,
        "payload": dict(payload),
        "key": key,
        "state": "queued",
        "attempts": 0,
        "run_after": run_after or moment,
        "created_at": moment,
    }
    insert_missing(session, Job, [row])


def pending(session: Session) -> int:
    """How many jobs are not finished: waiting, begun, or waiting to be tried again."""
    count = session.scalar(select(func.count()).select_from(Job).where(Job.state.in_(("queued", "running"))))
    return count or 0


class Worker:
    """Does the jobs of the kinds in `handlers`, one after the other. Any number may work on one database."""

    def __init__(self, hub: Hub, handlers: Mapping[str, Handler], *, lease: timedelta = LEASE) -> None:
        self.hub, self.handlers, self.lease = hub, dict(handlers), lease
        self.name = secrets.token_hex(8)

    def run_once(self) -> bool:
        """Does one job that is due and says whether there was one. A failure is kept with the job."""
        job = self._begin()
        if job is None:
            return False
        if job.attempts > MAX_ATTEMPTS:  # its workers died each time: it may be what kills them
            self._end(job, f"{MAX_ATTEMPTS} workers died while they did this job.")
            return True
        stop = threading.Event()
        heart = threading.Thread(target=self._beat, args=(job.id, stop), daemon=True)
        heart.start()
        try:
            self.handlers[job.kind](self.hub, job.payload)
        except Hopeless as error:
            problem: str | None = str(error)
            job.attempts = MAX_ATTEMPTS
            log.warning("Job %s (%s %s) is given up: %s", job.id, job.kind, job.payload, problem)
        except NotYet as error:
            problem = str(error)
            log.warning("Job %s (%s) waits, attempt %s: %s", job.id, job.kind, job.attempts, problem)
        except Exception:  # whatever it is, it is the job's, and the next one is due
            problem = traceback.format_exc()
            log.exception("Job %s (%s %s) failed, attempt %s", job.id, job.kind, job.payload, job.attempts)
        else:
            problem = None
        finally:
            stop.set()
            heart.join()
        self._end(job, problem)
        return True

    def run_all(self) -> int:
        """Does what is due until nothing is; says how many."""
        done = 0
        while self.run_once():
            done += 1
        return done

    def run_forever(self, stop: threading.Event | None = None, idle_seconds: float = 0.5) -> None:
        """Does what is due and looks again when nothing is, until `stop` is set."""
        stop = stop or threading.Event()
        while not stop.is_set():
            try:
                found = self.run_once()
            except OperationalError:  # the database is away or busy: what was begun is done again
                log.exception("The database did not answer")
                found = False
            if not found:
                stop.wait(idle_seconds)

    def _begin(self) -> Job | None:
        """Takes the lease of the oldest job that is due, or whose worker died."""
        moment = now()
        due = or_(
            (Job.state == "queued") & (Job.run_after <= moment),
            (Job.state == "running") & (Job.lease_until < moment),
        )
        choice = select(Job).where(due, Job.kind.in_(self.handlers)).order_by(Job.run_after, Job.id).limit(1)
        with self.hub.database.session() as session:
            if session.scalar(choice.with_only_columns(Job.id)) is None:
                return None  # looking takes no writer's turn
        with self.hub.database.transaction() as session:
            job = session.scalar(choice.with_for_update(skip_locked=True))
            if job is not None:
                job.state, job.attempts = "running", job.attempts + 1
                job.lease_owner, job.lease_until = self.name, moment + self.lease
            return job

    def _beat(self, job_id: int, stop: threading.Event) -> None:
        while not stop.wait(self.lease.total_seconds() / 3):
            with self.hub.database.transaction() as session:
                session.execute(self._mine(job_id).values(lease_until=now() + self.lease))

    def _mine(self, job_id: int) -> Any:
        held = (Job.id == job_id) & (Job.state == "running") & (Job.lease_owner == self.name)
        return update(Job).where(held).execution_options(synchronize_session=False)

    def _end(self, job: Job, problem: str | None) -> None:
        """Writes down how it went, unless the lease was lost to another worker meanwhile."""
        moment = now()
        free = {"lease_owner": None, "lease_until": None, "error": problem}
        if problem is None:
            outcome = {"state": "done", "finished_at": moment}
        elif job.attempts >= MAX_ATTEMPTS:
            outcome = {"state": "failed", "finished_at": moment}
        else:
            # 1 s, 4 s, 16 s … 68 min: a moment's trouble is soon over, a lasting one costs little.
            outcome = {"state": "queued", "run_after": moment + timedelta(seconds=4 ** (job.attempts - 1))}
        with self.hub.database.transaction() as session:
            if outcome["state"] == "queued" and job.key is not None and _waiting(session, job.key):
                outcome = {"state": "failed", "finished_at": moment}  # a newer one of its key tries instead
            session.execute(self._mine(job.id).values(**free, **outcome))
            session.execute(
                delete(Job)
                .where(Job.state == "done", Job.finished_at < moment - KEPT)
                .execution_options(synchronize_session=False)
            )


def _waiting(session: Session, key: str) -> bool:
    return session.scalar(select(Job.id).where(Job.key == key, Job.state == "queued")) is not None
