"""Downloads, counted off the request: collected in each process and written a few times a minute."""

from __future__ import annotations

import atexit
import logging
import threading
from collections import Counter
from typing import TYPE_CHECKING, cast

from flask import current_app
from sqlalchemy.exc import SQLAlchemyError

from modelcenter.registry import activity

if TYPE_CHECKING:
    from flask import Flask

    from modelcenter.registry.hub import Hub

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 15
# Every load asks for one of these once: a model of many files counts as one download.
COUNTED = frozenset({"config.json", "config.yaml", "hyperparams.yaml", "params.json", "meta.yaml"})
COUNTED_SUFFIXES = (".gguf",)


class DownloadCounter:
    """Counts by repository until they are flushed; the thread that flushes starts with the first count."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.counts: Counter[int] = Counter()
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        self.thread: threading.Thread | None = None

    def add(self, repository_id: int) -> None:
        """Count one download."""
        with self.lock:
            self.counts[repository_id] += 1
            if self.thread is None:
                self.thread = threading.Thread(target=self.run, daemon=True)
                self.thread.start()
                atexit.register(self.stop)

    def run(self) -> None:
        """Flush now and then."""
        while not self.stopped.wait(FLUSH_SECONDS):
            self.flush()

    def stop(self) -> None:
        """Flush a last time."""
        self.stopped.set()
        self.flush()

    def flush(self) -> None:
        """Write what was counted; kept for the next time where the database does not take it."""
        with self.lock:
            counts, self.counts = self.counts, Counter()
        if not counts:
            return
        try:
            with self.hub.database.transaction() as session:
                activity.count_downloads(session, counts)
        except SQLAlchemyError:
            logger.warning("The download counts were not written; the next flush will.", exc_info=True)
            with self.lock:
                self.counts.update(counts)


def install(app: Flask) -> None:
    """Give `app` its counter."""
    app.extensions["modelcenter_downloads"] = DownloadCounter(app.extensions["modelcenter"])


def count(repository_id: int, path: str) -> None:
    """Count a download where `path` is a file that stands for one."""
    if path in COUNTED or path.endswith(COUNTED_SUFFIXES):
        counter = cast("DownloadCounter", current_app.extensions["modelcenter_downloads"])
        counter.add(repository_id)
