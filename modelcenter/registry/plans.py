"""Loading plans that the hub makes: which bytes of a revision's files a rank needs, and those bytes gathered.

Whoever has a plan can load a shard without our library: it says where each element of each parameter is
stored, and where it goes.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from modelcenter.errors import BlobDamaged, CheckpointError, CheckpointUnsupported, NotFound
from modelcenter.planning import LoadingPlan, plan
from modelcenter.registry import fsck
from modelcenter.registry.blobs.interface import Blob
from modelcenter.registry.blocks import Checked
from modelcenter.registry.contents import RevisionFiles
from modelcenter.registry.hub import Hub
from modelcenter.registry.tables import Commit, Repository, Verification
from modelcenter.weights.gathered import DIGEST_BYTES, FRAME_BYTES, Gathered
from modelcenter.weights.indices import stretches
from modelcenter.weights.relations import Piece
from modelcenter.weights.steps import Read

KEPT_BYTES = 64 << 20  # of plans that were asked for last
SPAN_BYTES = 4 << 20  # of a file that are held at once
VERSION = 1


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose plan: the arguments of `load` that decide what is read, and where it goes."""

    dtype: str | None = None
    tp: int = 1
    rank: int = 0
    fuse: bool = True
    head: str | None = None


@dataclass(frozen=True)
class Plan:
    """A plan as it is served.

    document: JSON. address: of the document, content: of the gathered stream; both name bytes. blobs: the
    files that are read. digests: what is known of their blocks, by the blob's address.
    """

    document: bytes
    address: str
    content: str
    gathered: Gathered
    blobs: Mapping[str, Blob]
    digests: dict[str, bytes] = field(default_factory=dict)


class Plans:
    """Makes plans, one at a time, and remembers those asked for last. For many threads."""

    def __init__(self) -> None:
        self._making, self._lock = threading.Lock(), threading.Lock()
        self._kept: OrderedDict[object, Plan] = OrderedDict()

    def get(self, hub: Hub, repository: Repository, commit: Commit, asked: Asked) -> Plan:
        """The plan of a commit that is known to load.

        Raises NotFound before there is a verdict, CheckpointError where it says no, Invalid, HeadNotFound and
        CannotShard for what was asked, NotFetched where a mirror has the weights not yet.
        """
        key = repository.repo_id, repository.id, commit.oid, asked
        if (known := self._known(key)) is not None:
            return known
        with self._making:
            made = self._known(key) or make(hub, repository, commit, asked)
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > 1 and sum(len(p.document) for p in self._kept.values()) > KEPT_BYTES:
                self._kept.popitem(last=False)
        return made

    def _known(self, key: object) -> Plan | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)


def make(hub: Hub, repository: Repository, commit: Commit, asked: Asked) -> Plan:
    """The plan, from configuration and headers. Raises as `Plans.get`."""
    with hub.database.session() as session:
        row = session.get(Verification, (repository.id, commit.oid))
    if row is None:
        raise NotFound(
            f"Whether {repository.repo_id} loads at {commit.oid[:12]} is not known yet, so there is no plan. "
            "Ask again in a minute."
        )
    if row.status != "complete":  # what made the verdict hard to find has been borne by the job, not by us
        raise CheckpointError(
            f"{repository.repo_id} does not load at {commit.oid[:12]} ({row.status}), so there is no plan."
        )
    files = RevisionFiles(hub, repository, commit)
    planned = plan(
        files, dtype=asked.dtype, head=asked.head, fuse=asked.fuse, rank=asked.rank, world=asked.tp
    )
    if planned.header.format != "safetensors":
        raise CheckpointUnsupported(
            planned.header.parts[0].name,
            "is a pickle",
            "plans are of safetensors; ask for a conversion",
        )
    gathered = Gathered(planned.reads)
    content = gathered.address(lambda name: files.entry(name).etag)
    told = {
        "version": VERSION,
        "repository": repository.repo_id,
        "commit": commit.oid,
        **asdict(asked),
        **document(planned, gathered, files),
    }
    told["stream"] = {"address": content, **told["stream"]}
    text = json.dumps(told, separators=(",", ":")).encode()
    blobs = {name: Blob(files.entry(name).sha256 or "", files.size(name)) for name in gathered.files}
    return Plan(text, hashlib.sha256(text).hexdigest(), content, gathered, blobs)


def document(planned: LoadingPlan, gathered: Gathered, files: RevisionFiles) -> dict[str, Any]:
    """The plan as other tools read it: `parameter[to] = tensor[from].permute(dims)` for each gather."""
    told = planned.to_json()
    used = {piece.source for step in planned.steps for piece in step.assignment.pieces}
    for parameter, step in zip(told["parameters"], planned.steps, strict=True):
        parameter["gathers"] = [gather(piece) for piece in step.assignment.pieces]
    numbers = {name: number for number, name in enumerate(gathered.files)}
    return {
        **told,
        "files": [
            {"name": name, "size": files.size(name), "content": files.entry(name).etag} for name in numbers
        ],
        "tensors": {
            name: {
                "file": info.file,
                "dtype": info.dtype,
                "shape": list(info.shape),
                "start": info.start,
                "stop": info.stop,
            }
            for name, info in planned.header.tensors.items()
            if name in used
        },
        "stream": {
            "bytes": gathered.stream_bytes,
            "payload": gathered.size_bytes,
            "frame": FRAME_BYTES,
            "digest": "sha256",
            "reads": [[numbers[r.file], r.start, r.size, r.count, r.stride] for r in gathered.reads],
        },
    }


def gather(piece: Piece) -> dict[str, Any]:
    """A gather, its index sets as [start, stop, step] that follow each other."""
    return {
        "tensor": piece.source,
        "from": [stretches(index) for index in piece.src],
        "to": [stretches(index) for index in piece.dst],
        "dims": list(piece.dims),
    }


def stream(hub: Hub, made: Plan, start: int, stop: int) -> Iterator[bytes]:
    """Bytes `start:stop` of the gathered stream, a frame or less at a time; holds SPAN_BYTES at most.

    What the hub knows the digests of is checked as it is read. Raises BlobDamaged, BlobNotFound.
    """
    if missing := [blob for blob in made.blobs.values() if blob.sha256 not in made.digests]:
        made.digests.update(fsck.learned(hub, missing))
    with ExitStack() as opened:
        content: Checked | None = None
        for number in range(start // (FRAME_BYTES + DIGEST_BYTES), made.gathered.frames):
            begin = number * (FRAME_BYTES + DIGEST_BYTES)
            if begin >= stop:
                return
            parts: list[bytes] = []
            for read in made.gathered.cut(*made.gathered.frame(number)):
                if content is None or content.name != read.file:
                    opened.close()
                    blob = made.blobs[read.file]
                    file = opened.enter_context(fsck.opened(hub, blob.sha256))
                    content = Checked(file, blob, read.file, made.digests.get(blob.sha256))
                try:
                    parts += gathered_bytes(content, read)
                except BlobDamaged as error:
                    fsck.suspect(hub, error.sha256)
                    raise
            payload = b"".join(parts)
            frame = payload + hashlib.sha256(payload).digest()
            yield frame[max(0, start - begin) : stop - begin]


def gathered_bytes(content: Checked, read: Read) -> Iterator[bytes]:
    """The bytes of a read, of which those that lie between its runs are left out."""
    if read.count == 1:
        yield content.read(read.start, read.stop)
        return
    together = max(1, (SPAN_BYTES - read.size) // read.stride + 1)
    for row in range(0, read.count, together):
        rows = min(together, read.count - row)
        start = read.start + row * read.stride
        span = np.frombuffer(content.read(start, start + (rows - 1) * read.stride + read.size), np.uint8)
        yield np.lib.stride_tricks.as_strided(span, (rows, read.size), (read.stride, 1)).tobytes()
