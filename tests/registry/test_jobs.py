from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from modelcenter.registry.jobs import MAX_ATTEMPTS, Hopeless, Worker, enqueue, pending
from modelcenter.registry.tables import Job, now

# Begins a job and never ends it.
HANGING = """
import sys, threading
from modelcenter.registry.hub import open_hub
from modelcenter.registry.jobs import Worker
from modelcenter.settings import Settings
from pathlib import Path

def hang(hub, payload):
    print("begun", flush=True)
    threading.Event().wait()

hub = open_hub(Settings(data=Path(sys.argv[1]), database_url=sys.argv[2], secret_key=""))
Worker(hub, {"work": hang}).run_once()
"""


class Work:
    """A handler that remembers what it was given."""

    def __init__(self) -> None:
        self.done: list[int] = []
        self.lock = threading.Lock()

    def __call__(self, hub, payload) -> None:
        with self.lock:
            self.done.append(payload["number"])


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def worker(hub, work) -> Worker:
    return Worker(hub, {"work": work})


def queue(hub, number: int, key: str | None = None, kind: str = "work") -> None:
    with hub.database.transaction() as session:
        enqueue(session, kind, {"number": number}, key)


def jobs(hub) -> list[Job]:
    with hub.database.session() as session:
        return list(session.scalars(select(Job).order_by(Job.id)))


def make_due(hub) -> None:
    """As if the time of every job had come, and every lease had run out."""
    past = now() - timedelta(hours=1)
    with hub.database.transaction() as session:
        session.execute(update(Job).where(Job.state == "queued").values(run_after=past))
        session.execute(update(Job).where(Job.state == "running").values(lease_until=past))


def test_jobs_are_done_in_their_order(hub, worker, work):
    for number in range(3):
        queue(hub, number)
    assert worker.run_all() == 3
    assert work.done == [0, 1, 2]
    assert not worker.run_once()
    assert [job.state for job in jobs(hub)] == ["done"] * 3


def test_a_job_is_queued_with_its_transaction_or_not_at_all(hub, worker):
    def fail() -> None:
        with hub.database.transaction() as session:
            enqueue(session, "work", {"number": 1})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not worker.run_once()


def test_a_key_waits_once(hub, worker, work):
    for number in range(3):
        queue(hub, number, key="same")
    queue(hub, 3, key="other")
    queue(hub, 4)
    queue(hub, 5)
    assert worker.run_all() == 4
    assert work.done == [0, 3, 4, 5]
    queue(hub, 6, key="same")
    assert worker.run_all() == 1


def test_what_changes_after_a_job_began_is_looked_at_again(hub):
    seen: list[int] = []

    def handler(hub, payload) -> None:
        seen.append(payload["number"])
        if len(seen) == 1:
            queue(hub, 2, key="same")

    queue(hub, 1, key="same")
    assert Worker(hub, {"work": handler}).run_all() == 2
    assert seen == [1, 2]


def test_a_failed_job_is_tried_again_later(hub, work):
    outcomes = iter([ValueError("first"), ValueError("second"), None])

    def handler(hub, payload) -> None:
        outcome = next(outcomes)
        if outcome:
            raise outcome
        work(hub, payload)

    worker = Worker(hub, {"work": handler})
    queue(hub, 1)
    before = now()
    assert worker.run_once()
    assert not worker.run_once()  # not yet due
    (job,) = jobs(hub)
    assert (job.state, job.attempts, job.lease_until) == ("queued", 1, None)
    assert "ValueError: first" in (job.error or "")
    assert job.run_after >= before + timedelta(seconds=1)
    make_due(hub)
    assert worker.run_once()
    assert jobs(hub)[0].run_after >= before + timedelta(seconds=4)
    make_due(hub)
    assert worker.run_all() == 1
    (job,) = jobs(hub)
    assert (job.state, job.attempts, job.error) == ("done", 3, None)
    assert work.done == [1]


def test_a_job_that_always_fails_is_given_up_and_kept_to_be_looked_at(hub):
    def handler(hub, payload) -> None:
        raise ValueError("never")

    worker = Worker(hub, {"work": handler})
    queue(hub, 1, key="same")
    for _ in range(MAX_ATTEMPTS):
        assert worker.run_once()
        make_due(hub)
    assert not worker.run_once()
    (job,) = jobs(hub)
    assert (job.state, job.attempts) == ("failed", MAX_ATTEMPTS)
    assert "never" in (job.error or "")
    with hub.database.session() as session:
        assert pending(session) == 0


def test_a_failed_job_leaves_the_rest_to_a_newer_one_of_its_key(hub):
    def handler(hub, payload) -> None:
        if payload["number"] == 1:
            queue(hub, 2, key="same")
            raise ValueError("too old")

    assert Worker(hub, {"work": handler}).run_all() == 0
    queue(hub, 1, key="same")
    assert Worker(hub, {"work": handler}).run_all() == 2
    assert [job.state for job in jobs(hub)] == ["failed", "done"]


def test_kinds_without_a_handler_wait(hub, worker, work):
    queue(hub, 1, kind="elsewhere")
    queue(hub, 2)
    assert worker.run_all() == 1
    assert work.done == [2]
    with hub.database.session() as session:
        assert pending(session) == 1


def test_several_workers_share_the_work(hub, work):
    for number in range(40):
        queue(hub, number)
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: Worker(hub, {"work": work}).run_all(), range(4)))
    assert sum(done) == 40
    assert Counter(work.done) == Counter(range(40))


def test_the_job_of_a_killed_worker_is_done_by_another(hub, settings, worker, work):
    queue(hub, 1)
    process = subprocess.Popen(
        [sys.executable, "-c", HANGING, str(settings.data), settings.database_url], stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        assert not worker.run_once()  # it is leased
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not worker.run_once()  # the lease has not run out
    make_due(hub)
    assert worker.run_once()
    assert work.done == [1]
    assert (jobs(hub)[0].state, jobs(hub)[0].attempts) == ("done", 2)


def test_a_job_that_kills_its_workers_is_given_up(hub, worker, work):
    queue(hub, 1)
    with hub.database.transaction() as session:
        session.execute(
            update(Job).values(state="running", attempts=MAX_ATTEMPTS, lease_owner="dead", lease_until=now())
        )
    make_due(hub)
    worker.run_all()
    (job,) = jobs(hub)
    assert job.state == "failed"
    assert "workers died" in (job.error or "")
    assert work.done == []


def test_long_work_keeps_its_lease(hub):
    lease = timedelta(seconds=0.3)
    renewed = threading.Event()

    def handler(hub, payload) -> None:
        first = jobs(hub)[0].lease_until
        for _ in range(200):
            if jobs(hub)[0].lease_until != first:
                renewed.set()
                return
            threading.Event().wait(0.05)

    queue(hub, 1)
    assert Worker(hub, {"work": handler}, lease=lease).run_once()
    assert renewed.is_set()
    assert jobs(hub)[0].state == "done"


def test_a_worker_that_lost_its_lease_changes_nothing(hub, work):
    """It was thought dead while it worked: the other worker's outcome stands."""

    def slow(hub, payload) -> None:
        make_due(hub)
        assert Worker(hub, {"work": work}).run_once()
        raise ValueError("late")

    queue(hub, 1)
    Worker(hub, {"work": slow}).run_once()
    (job,) = jobs(hub)
    assert (job.state, job.error, work.done) == ("done", None, [1])


def test_a_worker_runs_until_it_is_stopped(hub, worker, work):
    stop = threading.Event()
    thread = threading.Thread(target=worker.run_forever, args=(stop, 0.01))
    thread.start()
    queue(hub, 1)
    for _ in range(500):
        if work.done:
            break
        stop.wait(0.02)
    stop.set()
    thread.join(10)
    assert work.done == [1]
    assert not thread.is_alive()


def test_jobs_done_long_ago_are_forgotten_and_failures_kept(hub, worker):
    long_ago = now() - timedelta(days=30)
    for number, state in enumerate(("done", "failed")):
        queue(hub, number)
        with hub.database.transaction() as session:
            session.execute(
                update(Job).where(Job.state == "queued").values(state=state, finished_at=long_ago)
            )
    queue(hub, 3)
    worker.run_all()
    assert [job.state for job in jobs(hub)] == ["failed", "done"]


def test_what_is_hopeless_is_tried_once(hub):
    tried = []

    def give_up(hub, payload):
        tried.append(payload)
        raise Hopeless("Nobody has that.")

    with hub.database.transaction() as session:
        enqueue(session, "hopeless", {})
    assert Worker(hub, {"hopeless": give_up}).run_all() == 1
    with hub.database.session() as session:
        job = session.scalars(select(Job)).one()
    assert (job.state, job.error, len(tried)) == ("failed", "Nobody has that.", 1)
