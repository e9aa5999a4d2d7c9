"""Where clients of Xet send chunks and shards, once `xet` has given them a token.

Only the sending: files are whole here and leave over plain HTTP, so nothing is read by Xet.
"""

from __future__ import annotations

import io
import json
import logging
import queue
import tempfile
import threading
from collections.abc import Callable, Generator
from typing import Any, BinaryIO, cast

from flask import Blueprint, Response, g, request

from hub_web import context
from hub_web.api.errors import api_blueprint
from hub_web.api.permits import XetPermit, signed
from modelcenter.errors import ModelCenterError, NotFound
from modelcenter.registry import accounts
from modelcenter.registry.access import Actor
from modelcenter.registry.xet import ingest
from modelcenter.registry.xet.format import SHARD_BYTES, XORB_BYTES, hash_of, read_shard

PREFIX = "/cas/<memory>"  # of the addresses that clients find through their token
FOOTER_BYTES = 4 << 20  # beside the chunks of a xorb, where a client sends one
BUFFER_BYTES = 256 << 10  # of each request; clients cut chunks at 128 KiB
HEARTBEAT_SECONDS = 10.0  # clients wait 300; proxies in between often 60

logger = logging.getLogger(__name__)

blueprint: Blueprint = api_blueprint("cas")


def address(base: str, secret: str, actor: Actor) -> str:
    """Where somebody's clients send their chunks.

    Clients remember by this address what they have sent, and refer to it. So another account has another one,
    and a token of another reach, and so has another hub that comes to be at the same host: none is referred
    to what it never got.
    """
    return f"{base}/cas/{signed(secret, 'memory', actor.name.lower(), actor.reach)[:16]}"


@blueprint.url_value_preprocessor
def forget_address(endpoint: str | None, values: dict[str, Any] | None) -> None:
    """The address carries no right: the token says who sends."""
    if values is not None:
        values.pop("memory", None)


@blueprint.get(f"{PREFIX}/v1/chunks/<prefix>/<name>")
def chunk(prefix: str, name: str) -> Response:
    """None: who asks whether a chunk is known would learn of other people's files."""
    raise NotFound(f"Chunk {hash_of(name).hex()} is not known here: send it.")


@blueprint.post(f"{PREFIX}/v1/xorb-grants/<prefix>/<name>")
@blueprint.post(f"{PREFIX}/v1/xorb-commits/<prefix>/<name>/grant/<grant>")
def grant(prefix: str, name: str, grant: str = "") -> Response:
    """None: xorbs are sent to this hub itself, whose chunks are checked before anything refers to them."""
    raise NotFound(f"This hub gives no grants. Send the xorb to /v1/xorbs/{prefix}/{name}.")


@blueprint.post(f"{PREFIX}/v1/xorbs/<prefix>/<name>")
def xorb(prefix: str, name: str) -> dict[str, Any]:
    """Take a pack of chunks; answered once it is durable. Whether it was here before is nobody's business."""
    permit, actor = sender()
    request.max_content_length = XORB_BYTES + FOOTER_BYTES
    context.release()
    ingest.receive_xorb(context.hub(), actor, permit.repo_id, name, body())
    return {"was_inserted": True}


@blueprint.post(f"{PREFIX}/v1/shards")
def shard() -> dict[str, Any]:
    """Put the files of a shard together; answered when they stand."""
    permit, actor = sender()
    with recipes() as shard:
        ingest.receive_shard(context.hub(), actor, permit.repo_id, shard)
    return {"result": 1}


@blueprint.post(f"{PREFIX}/v2/shards")
def shard_stream() -> Response:
    """The same, with a line now and then while it lasts: what is malformed is refused before the first."""
    permit, actor = sender()
    shard, hub = recipes(), context.hub()
    try:
        total = sum(recipe.size for recipe in read_shard(shard))
        shard.seek(0)
    except BaseException:
        shard.close()
        raise

    def work(progress: Callable[[int], None]) -> None:
        with shard:
            ingest.receive_shard(hub, actor, permit.repo_id, shard, progress)

    return Response(events(work, total), mimetype="application/x-ndjson")


@blueprint.post("/v1/telemetry")
@blueprint.post(f"{PREFIX}/v1/telemetry")
def telemetry() -> tuple[str, int]:
    """Thank the client for its figures, and keep none."""
    return "", 204


def sender() -> tuple[XetPermit, Actor]:
    """The permit presented, and whose it is: what its token may do now counts, not what it might before."""
    hub, session = context.hub(), context.session()
    permit = XetPermit.read(context.presented_token(), hub.settings.secret_key)
    g.actor = actor = accounts.authenticate_fingerprint(session, permit.account, permit.token)
    return permit, actor


def body() -> BinaryIO:
    """The request's body. Buffered: small pieces read from the bare stream are asked for byte by byte."""
    return io.BufferedReader(cast("io.RawIOBase", request.stream), BUFFER_BYTES)


def recipes() -> BinaryIO:
    """The shard sent, whole, from its beginning: it is read twice."""
    request.max_content_length = SHARD_BYTES
    context.release()
    shard = tempfile.SpooledTemporaryFile(max_size=BUFFER_BYTES)  # noqa: SIM115  # closed by whoever reads it
    try:
        stream = body()
        while piece := stream.read(BUFFER_BYTES):
            shard.write(piece)
        shard.seek(0)
    except BaseException:
        shard.close()
        raise
    return cast("BinaryIO", shard)


def events(work: Callable[[Callable[[int], None]], None], total: int) -> Generator[bytes, None, None]:
    """Lines of JSON while `work` is done by a thread: how far it is, and at the end the result or an error.

    `work` gets a function to call with the bytes done; when the client has gone, that raises and ends it.
    """
    finished: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    gone = threading.Event()
    done = 0

    def progress(count: int) -> None:
        nonlocal done
        done += count
        if gone.is_set():
            raise ConnectionAbortedError("The client has gone.")

    def run() -> None:
        try:
            work(progress)
        except ModelCenterError as error:
            finished.put({"type": "error", "message": str(error), "retryable": False})
        except Exception as error:  # whatever it is, the client is told that there was one
            if not gone.is_set():
                logger.error("A shard was not taken.", exc_info=error)
            message = "The hub failed to put the files together. Its log says why."
            finished.put({"type": "error", "message": message, "retryable": True})
        else:
            finished.put({"type": "result", "result": 1})

    threading.Thread(target=run, daemon=True).start()
    try:
        while True:
            try:
                last = finished.get(timeout=HEARTBEAT_SECONDS)
            except queue.Empty:
                yield line({"type": "validating", "verified": done, "total": total})
            else:
                yield line(last)
                return
    finally:
        gone.set()


def line(event: dict[str, Any]) -> bytes:
    """An event as it travels."""
    return json.dumps(event).encode() + b"\n"
