"""What requests leave to be noted, off the request: downloads and tokens seen, written now and then."""

from __future__ import annotations

import atexit
import logging
import threading
from collections import Counter
from typing import TYPE_CHECKING, cast

from flask import current_app
from sqlalchemy.exc import SQLAlchemyError

from modelcenter.registry import accounts, activity

if TYPE_CHECKING:
    from flask import Flask

    from modelcenter.registry.access import Actor
    from modelcenter.registry.hub import Hub

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 15
# Every load asks for one of these once: a model of many files counts as one download.
COUNTED = frozenset({"config.json", "config.yaml", "hyperparams.yaml", "params.json", "meta.yaml"})
COUNTED_SUFFIXES = (".gguf",)


class Ledger:
    """One process's notes until they are written; the thread that writes them starts with the first."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.downloads: Counter[int] = Counter()  # by repository
        self.actors: dict[int, Actor] = {}  # by token
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        self.thread: threading.Thread | None = None

    def sent(self, repository_id: int, path: str) -> None:
        """Count a download where `path` is a file that stands for one."""
        if path in COUNTED or path.endswith(COUNTED_SUFFIXES):
            self.downloaded(repository_id)

    def downloaded(self, repository_id: int) -> None:
        """Count a download."""
        with self.lock:
            self.downloads[repository_id] += 1
        self.begin()

    def saw(self, actor: Actor) -> None:
        """Note that the token of `actor` was used."""
        if actor.token_id is not None:
            with self.lock:
                self.actors[actor.token_id] = actor
            self.begin()

    def begin(self) -> None:
        """Start the thread that writes, once: after the server has forked this process."""
        with self.lock:
            if self.thread is None:
                self.thread = threading.Thread(target=self.run, daemon=True)
                self.thread.start()
                atexit.register(self.stop)

    def run(self) -> None:
        """Write now and then."""
        while not self.stopped.wait(FLUSH_SECONDS):
            self.flush()

    def stop(self) -> None:
        """Write a last time."""
        self.stopped.set()
        self.flush()

    def flush(self) -> None:
        """Write what was noted; downloads are kept for the next time if the database does not take them."""
        with self.lock:
            downloads, self.downloads = self.downloads, Counter()
            actors, self.actors = self.actors, {}
        if not downloads and not actors:
            return
        try:
            with self.hub.database.transaction() as session:
                activity.count_downloads(session, downloads)
                for token_id in sorted(actors):
                    accounts.token_used(session, actors[token_id])
        except SQLAlchemyError:
            logger.warning("Download counts were not written; the next flush will.", exc_info=True)
            with self.lock:
                self.downloads.update(downloads)


def install(app: Flask) -> None:
    """Give `app` its ledger."""
    app.extensions["modelcenter_ledger"] = Ledger(app.extensions["modelcenter"])


def ledger() -> Ledger:
    """The ledger of this process."""
    return cast("Ledger", current_app.extensions["modelcenter_ledger"])
