"""What a real Xet client makes of files: hf_xet sends to a server of ours that only writes down.

with recorder(tmp_path) as client:
    sent = client.send(content)          # sent.xorbs, sent.shards: bytes as they travelled
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import hf_xet
import lz4.frame
import pytest

from modelcenter.registry.xet.format import Merkle, chunk_hash, hash_of, text_of


@dataclass
class Sent:
    """The bodies of one upload: xorbs by their name, shards in their order."""

    xorbs: dict[str, bytes] = field(default_factory=dict)
    shards: list[bytes] = field(default_factory=list)


@dataclass
class Recorder:
    """A client that remembers, as hf_xet does between uploads, what it has sent."""

    url: str
    sent: Sent = field(default_factory=Sent)

    def send(self, *contents: bytes) -> Sent:
        """What an upload of these contents sends now."""
        self.sent = Sent()
        session = hf_xet.XetSession()
        with session.new_upload_commit(token_refresh_url=f"{self.url}/token") as commit:
            for content in contents:
                commit.start_upload_bytes(content, sha256=hf_xet.COMPUTE_SHA256)
        return self.sent


@contextlib.contextmanager
def recorder(cache: Path, environment: pytest.MonkeyPatch) -> Iterator[Recorder]:
    """A client with a cache of its own."""
    environment.setenv("HF_XET_CACHE", str(cache))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, answer = 200, {}
            if self.path == "/token":
                answer = {"accessToken": "none", "exp": 4_000_000_000, "casUrl": client.url}
            elif self.path.startswith("/v1/xorbs/"):
                client.sent.xorbs[self.path.rpartition("/")[2]] = body
                answer = {"was_inserted": True}
            elif self.path == "/v1/shards":
                client.sent.shards.append(body)
                answer = {"result": 1}
            else:
                status = 404
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        client = Recorder(f"http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield client
        server.shutdown()


def packed(*contents: bytes, scheme: int = 0) -> tuple[str, bytes]:
    """A xorb of these chunks, and its name."""
    merkle, body = Merkle(), b""
    for content in contents:
        merkle.add(chunk_hash(content), len(content))
        data = lz4.frame.compress(content) if scheme else content
        body += header(len(data), len(content), scheme) + data
    return text_of(merkle.root()), body


def header(stored: int, raw: int, scheme: int = 0, version: int = 0) -> bytes:
    return bytes([version]) + stored.to_bytes(3, "little") + bytes([scheme]) + raw.to_bytes(3, "little")


def shard(name, chunks, ranges, *, sha256=None, file_hash=None, sizes=None, flags=1 << 30) -> io.BytesIO:
    """A shard of one file made of these ranges of a xorb."""
    merkle, content = Merkle(), b""
    for start, stop in ranges:
        for chunk in chunks[start:stop]:
            merkle.add(chunk_hash(chunk), len(chunk))
            content += chunk
    lengths = sizes or [sum(map(len, chunks[start:stop])) for start, stop in ranges]
    body = (
        b"HFRepoMetaData\0" + bytes.fromhex("556967456a7b815783a5bdd95ccdd14aa9") + struct.pack("<QQ", 2, 0)
    )
    body += struct.pack("<32sII8x", merkle.file() if file_hash is None else file_hash, flags, len(ranges))
    for (start, stop), size in zip(ranges, lengths, strict=True):
        body += struct.pack("<32s4xIII", hash_of(name), size, start, stop)
    body += hash_of(sha256 or hashlib.sha256(content).hexdigest()) + bytes(16)
    return io.BytesIO(body + b"\xff" * 32 + bytes(16))
