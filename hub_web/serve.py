"""The hub as a process: gunicorn with threads, and the job worker as a child beside it.

modelcenter serve            arbiter: listens, restarts what dies, stops all on SIGTERM
  ├─ gunicorn worker × n     threads answer requests; files leave by sendfile
  └─ hub_web.worker          facts, cards, search index, verification; started by exec
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter

from hub_web.app import create_app
from modelcenter.registry.database import migrate
from modelcenter.registry.handlers import begin_upkeep
from modelcenter.registry.hub import check_stores, open_hub

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from flask import Flask

    from modelcenter.settings import Settings

REQUEST_LINE_BYTES = 8190  # gunicorn's largest: quoted Chinese paths take nine bytes a character
GRACE_SECONDS = 30
STALL_SECONDS = 120  # a client that neither sends nor takes a byte for so long is gone
RESTART_SECONDS = (1.0, 30.0)  # the first and the longest pause before a dead job worker is started again

M_ARENA_MAX, M_MMAP_THRESHOLD = -8, -3  # of glibc's mallopt
HEAPS = 2
LARGE_BYTES = 4 << 20  # and more are mapped one by one: parts that go to S3, not pieces of a stream


def serve(
    settings: Settings,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    workers: int | None = None,
    threads: int = 16,
    announce: Callable[[str], None] | None = None,
) -> None:
    """Migrate what `settings` names and serve it until SIGTERM or Ctrl-C; then exits the process.

    port 0 lets the system choose; `announce` gets the address once it listens (by default it is printed).
    """
    check_stores(settings)
    hub = open_hub(settings)
    migrate(hub.database)
    begin_upkeep(hub)
    hub.database.engine.dispose()  # no connection survives into the forked workers
    server = Server(
        settings,
        bind=f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        workers=workers or min(4, max(2, os.cpu_count() or 2)),
        threads=threads,
        announce=announce or (lambda url: print(f"ModelCenter serves {settings.data} on {url}", flush=True)),
    )
    server.run()


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn is not typed
    """Our application and gunicorn's settings for it."""

    def __init__(
        self,
        settings: Settings,
        *,
        bind: str,
        workers: int,
        threads: int,
        announce: Callable[[str], None],
    ) -> None:
        self.settings, self.announce = settings, announce
        self.options = {
            "bind": bind,
            "workers": workers,
            "threads": threads,
            "worker_class": "gthread",  # a sync worker is killed in the middle of a long upload
            "limit_request_line": REQUEST_LINE_BYTES,
            "graceful_timeout": GRACE_SECONDS,
            "keepalive": 15,
            # Forwarded headers are ProxyFix's, and only where proxies are configured.
            "forwarded_allow_ips": "",
            "control_socket_disable": True,
            "loglevel": "warning",
            "proc_name": "modelcenter",
            "when_ready": lambda arbiter: announce(listening(arbiter)),
            "post_fork": lambda arbiter, worker: arbiter.jobs.let_go(),
        }
        super().__init__()

    def load_config(self) -> None:
        """Hand our settings to gunicorn."""
        for name, value in self.options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """The application of one worker process."""
        spare_memory()
        app = create_app(self.settings)
        app.wsgi_app = Patience(app.wsgi_app)  # type: ignore[method-assign]
        return app

    def run(self) -> None:
        """Serve until told to stop."""
        Supervisor(self).run()


def spare_memory() -> None:
    """Let this process give back the memory of large buffers, and its threads share the memory of small ones.

    glibc gives each thread a heap of its own, and serves buffers from there once one as large was freed:
    every thread that ever sent a part to S3 would go on holding twice its size.
    """
    with contextlib.suppress(AttributeError, OSError):  # another C library, which has no such settings
        libc = ctypes.CDLL(None)
        libc.mallopt(M_ARENA_MAX, HEAPS)
        libc.mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)


def listening(arbiter: Arbiter) -> str:
    """The address that the first listener is bound to."""
    host, port = arbiter.LISTENERS[0].getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Supervisor(Arbiter):  # type: ignore[misc]  # gunicorn is not typed
    """gunicorn's arbiter, minding the job worker too."""

    def __init__(self, server: Server) -> None:
        self.jobs = JobWorker(server.settings)
        super().__init__(server)

    def manage_workers(self) -> None:
        """Called about once a second: start what is missing."""
        self.jobs.ensure()
        super().manage_workers()

    def stop(self, graceful: bool = True) -> None:
        """Stop the threads' processes, then the job worker."""
        super().stop(graceful)
        self.jobs.stop()


@dataclass
class JobWorker:
    """The process that does what commits leave to be done.

    Started by exec: forking a process that has threads or database connections copies their locks. It exits
    by itself when the other end of its standard input closes, so a killed server leaves none behind.
    """

    settings: Settings
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause_seconds: float = field(default=0.0)

    def ensure(self) -> None:
        """Start the process unless it runs; after a death wait a little, longer each time."""
        if self.process is not None and self.process.poll() is None:
            return
        shortest, longest = RESTART_SECONDS
        alive_seconds = time.monotonic() - self.started
        if self.process is not None and alive_seconds < self.pause_seconds:
            return
        lived_long = alive_seconds > longest
        self.pause_seconds = shortest if lived_long else min(longest, max(shortest, self.pause_seconds * 2))
        self.let_go()
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hub_web.worker"],
            stdin=subprocess.PIPE,
            env={**os.environ, **environment(self.settings)},
        )

    def let_go(self) -> None:
        """Close our end of the pipe to the process, as forked workers must: theirs would keep it open."""
        pipe: IO[bytes] | None = self.process.stdin if self.process else None
        if pipe is not None and not pipe.closed:
            pipe.close()

    def stop(self) -> None:
        """Ask the process to finish its job, kill it if it does not within the grace."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def environment(settings: Settings) -> dict[str, str]:
    """The variables from which another process reads the same settings."""
    return {
        "MODELCENTER_DATA": str(settings.data),
        "DATABASE_URL": settings.database_url,
        "MODELCENTER_SECRET_KEY": settings.secret_key,
        "MODELCENTER_EXTERNAL_URL": settings.external_url or "",
        "MODELCENTER_TRUSTED_PROXIES": str(settings.trusted_proxies),
        **(settings.s3.environment() if settings.s3 else {"MODELCENTER_BLOBS": ""}),
        "MODELCENTER_UPSTREAM": settings.upstream or "",
        "MODELCENTER_UPSTREAM_TOKEN": settings.upstream_token or "",
        "MODELCENTER_UPSTREAM_EXPIRY": str(settings.upstream_expiry),
        "MODELCENTER_PART_MB": str(settings.part_mb),
        "MODELCENTER_CHECK_DAYS": str(settings.check_days),
        "MODELCENTER_CONVERT_UPLOADS": "on" if settings.convert_uploads else "off",
        "MODELCENTER_WEBHOOKS_PRIVATE": "on" if settings.webhooks_private else "off",
        "MODELCENTER_CONVERT_SECONDS": str(settings.convert_seconds),
        "MODELCENTER_CONVERT_MEMORY_GB": str(settings.convert_memory_gb),
    }


class Patience:
    """WSGI middleware that gives up on clients which stall: without it each would hold a thread for ever."""

    def __init__(self, app: WSGIApplication) -> None:
        self.app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        socket = environ.get("gunicorn.socket")
        if socket is not None:
            socket.settimeout(STALL_SECONDS)
        return self.app(environ, start_response)
