"""What stands between a client and a hub in companies: TLS of an authority of their own, and a proxy."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

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
