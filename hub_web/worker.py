"""The job worker's process: does what commits leave to be done, until told to stop or its server is gone."""

from __future__ import annotations

import os
import signal
import sys
import threading

from modelcenter.registry.handlers import APART, HANDLERS
from modelcenter.registry.hub import open_hub
from modelcenter.registry.jobs import Worker
from modelcenter.settings import Settings


def main() -> None:
    """Work on the hub that the environment describes."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches the whole group; the server says when to stop
    threading.Thread(target=watch_server, args=(stop,), daemon=True).start()
    hub = open_hub(Settings.from_environment())
    shared = dict(HANDLERS)
    for kinds in APART:
        own = {kind: shared.pop(kind) for kind in kinds}
        # Left in the middle when the process ends: begun again then; its own child dies with this thread.
        threading.Thread(target=Worker(hub, own).run_forever, args=(stop,), daemon=True).start()
    Worker(hub, shared).run_forever(stop)


def watch_server(stop: threading.Event) -> None:
    """Set `stop` when the server that started this process is gone: it holds the other end of our input."""
    # Past Python's buffer, whose lock a thread that waits in it would still hold when the process ends.
    while os.read(sys.stdin.fileno(), 4096):
        pass
    stop.set()


if __name__ == "__main__":
    main()
