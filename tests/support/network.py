"""What stands between a client and a hub in companies: TLS of an authority of their own, and a proxy."""

from __future__ import annotations

import contextlib
import random
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme

HOST = "hub.internal"  # which no name server knows: the proxy does


@contextlib.contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port on loopback, each of whose connections has a thread that serves it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=one, args=(connection,), daemon=True).start()

    def one(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            serve(connection)

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        listener.close()


def relay(one: socket.socket, other: socket.socket) -> None:
    """Passes on what either says, until either ends."""

    def forward(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    back = threading.Thread(target=forward, args=(other, one), daemon=True)
    back.start()
    forward(one, other)
    back.join()


@dataclass
class Proxy:
    """A proxy that knows one way of speaking, CONNECT, and one host; `asked` are the addresses it led to."""

    port: int = 0
    asked: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def serve(self, connection: socket.socket) -> None:
        """One client."""
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(1)
        method, target, _ = head.split(b" ", 2)
        self.asked.append(target.decode())
        host, _, port = target.decode().rpartition(":")
        if method != b"CONNECT" or host != HOST:
            connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", int(port))) as there:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            relay(connection, there)


@contextlib.contextmanager
def proxy() -> Iterator[Proxy]:
    """A running proxy."""
    running = Proxy()
    with listening(running.serve) as running.port:
        yield running


@dataclass
class Tls:
    """An address that speaks TLS for a server behind it, whose port may be set later."""

    port: int
    ca: Path
    behind: int = 0


@contextlib.contextmanager
def tls(folder: Path) -> Iterator[Tls]:
    """TLS for HOST and localhost, its certificate signed by an authority of the test's own."""
    authority = trustme.CA()
    ca = folder / "authority.pem"
    authority.cert_pem.write_to_path(str(ca))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST, "localhost").configure_cert(context)
    running = Tls(0, ca)

    def serve(connection: socket.socket) -> None:
        with (
            context.wrap_socket(connection, server_side=True) as inside,
            socket.create_connection(("127.0.0.1", running.behind)) as there,
        ):
            relay(inside, there)

    with listening(serve) as running.port:
        yield running


@dataclass
class Meddler:
    """A man in the middle of a client and the server at `behind`: counts, cuts, flips bits, hides addresses.

    Only answers to requests whose address has `mark` in it are cut and changed. cuts: how many are left, each
    after up to `longest` bytes; flips: at how many bytes of such answers, counted from 1, a bit is flipped.
    hidden: what addresses that are answered with 404 have in them. asked: the request lines, with the Range.
    """

    behind: int
    mark: str = ""
    cuts: int = 0
    longest: int = 1
    seed: int = 0
    flips: set[int] = field(default_factory=set)
    hidden: str = ""
    port: int = 0
    sent: int = 0
    marked: int = 0
    asked: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _chance: random.Random = field(default_factory=random.Random)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def serve(self, connection: socket.socket) -> None:
        """One connection of a client."""
        with socket.create_connection(("127.0.0.1", self.behind)) as there:
            state = {"marked": False}
            back = threading.Thread(target=self._answers, args=(there, connection, state), daemon=True)
            back.start()
            with contextlib.suppress(OSError):
                self._requests(connection, there, state)
            for end in (there, connection):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            back.join()

    def _requests(self, connection: socket.socket, there: socket.socket, state: dict[str, bool]) -> None:
        """Requests without bodies, one after the other."""
        waiting = b""
        while data := connection.recv(1 << 16):
            waiting += data
            while b"\r\n\r\n" in waiting:
                head, waiting = waiting.split(b"\r\n\r\n", 1)
                line, *headers = head.decode().split("\r\n")
                span = next((h for h in headers if h.lower().startswith("range:")), "")
                self.asked.append(f"{line} {span}".strip())
                if self.hidden and self.hidden in line:
                    connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                    continue
                state["marked"] = self.mark in line and line.startswith("GET") if self.mark else False
                there.sendall(head + b"\r\n\r\n")

    def _answers(self, there: socket.socket, connection: socket.socket, state: dict[str, bool]) -> None:
        left = self._chance.randint(1, self.longest)
        with contextlib.suppress(OSError):
            while data := there.recv(1 << 16):
                if state["marked"]:
                    with self._lock:
                        is_cut = self.cuts > 0 and len(data) >= left
                        data = data[:left] if is_cut else data
                        left -= len(data)
                        self.cuts -= is_cut
                        changed = bytearray(data)
                        for place in self.flips:
                            if self.marked < place <= self.marked + len(data):
                                changed[place - self.marked - 1] ^= 1
                        self.marked += len(data)
                    connection.sendall(changed)
                    self.sent += len(data)
                    if is_cut:
                        break
                    continue
                connection.sendall(data)
                self.sent += len(data)
        for end in (there, connection):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def meddler(address: str, **how: Any) -> Iterator[Meddler]:
    """A running one before the server at an address."""
    running = Meddler(int(address.rpartition(":")[2]), **how)
    running._chance.seed(running.seed)
    with listening(running.serve) as running.port:
        yield running
