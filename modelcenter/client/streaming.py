"""The bytes of a plan from a hub, by several connections at once, with what is cut or corrupted asked again.

A ModelCenter hub gathers them: it answers a plan with one stream, a digest after each frame. Any other server
is asked for ranges of the files: neighbours come as one, and what lies between them is dropped.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from modelcenter.client.remote import RemoteFiles
from modelcenter.client.telling import ask, introduced, told
from modelcenter.errors import CheckpointDamaged, HubError, ModelCenterError, listed
from modelcenter.weights.gathered import DIGEST_BYTES, FRAME_BYTES, Gathered, spans
from modelcenter.weights.steps import Stored

if TYPE_CHECKING:
    import httpx2

logger = logging.getLogger(__name__)

CONNECTIONS = 4
PORTION_FRAMES = 32  # of the gathered stream that one request asks for
PORTION_BYTES = 16 << 20  # of a file
TRIES = 6  # without a byte more, until it is given up
CORRUPTED = 3  # times that a frame may come corrupted
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 30.0  # seconds
CONNECT_SECONDS, SILENT_SECONDS = 10.0, 60.0
AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})

Progress = Callable[[int, int], object]


class Receiver(Protocol):
    """What takes the bytes: see `weights.receive`."""

    def wait(self) -> None: ...
    def check(self) -> None: ...
    def fail(self, error: BaseException) -> None: ...
    def write(self, offset: int, data: memoryview) -> None: ...
    def finish(self, frame: int) -> None: ...


def stream(
    files: RemoteFiles,
    gathered: Gathered,
    query: Mapping[str, str],
    receiver: Receiver,
    header: Mapping[str, Stored],
    progress: Progress = lambda done, total: None,
) -> None:
    """Brings all bytes of `gathered`, which the hub knows as the plan that `query` asks for.

    header: of the tensors, to name what is corrupted. progress: told the bytes that came, and all of them.

    Raises what the hub refuses; HubUnreachable where it does not answer; CheckpointDamaged for what keeps
    coming other than its digest says, or from a file that changes; what the receiver raises.
    """
    line = Line(files)
    source: Source = line.gathered(gathered, query) or Ranged(files, gathered)
    counted = Counted(receiver, gathered, header, progress)
    portions = list(source.portions(counted))
    with ThreadPoolExecutor(CONNECTIONS, "stream") as pool:
        try:
            for done in as_completed([pool.submit(line.fetch, portion, receiver) for portion in portions]):
                done.result()
        except BaseException as error:  # the other threads shall end too
            receiver.fail(error)
            raise
    receiver.check()


class Portion(Protocol):
    """What one request asks for: bytes `start:stop` of what is at `address`."""

    @property
    def address(self) -> str: ...
    @property
    def query(self) -> Mapping[str, str]: ...
    @property
    def start(self) -> int: ...
    @property
    def stop(self) -> int: ...
    @property
    def name(self) -> str:
        """What it is, for people."""
        ...

    def accept(self, headers: Mapping[str, str]) -> None:
        """Raises CheckpointDamaged where these are of something else than before."""
        ...

    def feed(self, position: int, data: memoryview) -> int:
        """Takes what lies at `position` of it; returns where to go on: behind it, or before it once more."""
        ...


class Source(Protocol):
    """Where the bytes come from, in portions."""

    def portions(self, counted: Counted) -> Iterator[Portion]: ...


class Busy(Exception):
    """The server asks for patience, for so many seconds if it says so."""

    def __init__(self, status: int, seconds: float | None) -> None:
        self.status, self.seconds = status, seconds
        super().__init__(f"it answered {status}")


class Line:
    """The requests to one hub about one commit."""

    def __init__(self, files: RemoteFiles) -> None:
        self.files = files

    def gathered(self, gathered: Gathered, query: Mapping[str, str]) -> Framed | None:
        """The hub's own stream of these very bytes; None where it has none."""
        place = (
            f"{self.files.endpoint}/api/modelcenter/{quote(self.files.name)}/plan/{self.files.commit}/bytes"
        )
        address = gathered.address(self.files.content)
        try:
            with told(self.files.endpoint, self.files.name, self.files.revision):
                answer = ask("HEAD", place, self.files.token, query=query)
        except ModelCenterError as error:  # no such hub, or no verdict yet: ranges tell what is wrong
            logger.info("No stream for %s: %s", self.files.name, error)
            return None
        if answer.headers.get("ETag") != f'"{address}"':
            logger.info("The stream of %s has other bytes than are planned here", self.files.name)
            return None
        return Framed(place, dict(query), address, gathered)

    def fetch(self, portion: Portion, receiver: Receiver) -> None:
        """Brings a portion, going on where a connection was cut."""
        position, tries = portion.start, 0
        with told(self.files.endpoint, self.files.name, self.files.revision):
            while position < portion.stop:
                receiver.wait()
                reached, problem = self._reach(portion, position, receiver)
                tries = 0 if reached > position else tries + 1
                position = reached
                if problem is None:
                    continue
                if tries > TRIES:
                    busy = isinstance(problem, Busy)
                    raise HubError(f"{self.files.endpoint} is too busy: {problem}.") if busy else problem
                logger.info("%s: %s at byte %d, asked again", portion.name, problem, position)
                if tries or isinstance(problem, Busy):
                    pause(problem, tries, receiver)

    def _reach(self, portion: Portion, position: int, receiver: Receiver) -> tuple[int, Exception | None]:
        """How far one request comes, and what cut it short."""
        import httpx2

        try:
            with self._asked(portion, position) as response:
                for chunk in response.iter_raw():
                    data = memoryview(chunk)[: portion.stop - position]
                    expected = position + len(data)
                    position = portion.feed(position, data)
                    if position != expected:
                        return position, None
                    if position < portion.stop:
                        receiver.wait()
        except (httpx2.TransportError, Busy) as problem:
            return position, problem
        if position < portion.stop:
            return position, httpx2.RemoteProtocolError("the answer ended early")
        return position, None

    @contextmanager
    def _asked(self, portion: Portion, position: int) -> Iterator[httpx2.Response]:
        """The answer to a request for the rest of a portion, which is that."""
        import httpx2
        from huggingface_hub import get_session, hf_raise_for_status

        headers = {
            **introduced(self.files.token),
            "Range": f"bytes={position}-{portion.stop - 1}",
            "Accept-Encoding": "identity",  # compressed, the range would be one of the compressed bytes
        }
        with get_session().stream(
            "GET",
            portion.address,
            params=dict(portion.query),
            headers=headers,
            follow_redirects=True,
            timeout=httpx2.Timeout(SILENT_SECONDS, connect=CONNECT_SECONDS),
        ) as response:
            if response.status_code in AGAIN:
                raise Busy(response.status_code, patience(response.headers.get("Retry-After")))
            if response.status_code >= 400:
                response.read()
                hf_raise_for_status(response)
            begins = response.headers.get("Content-Range", "").startswith(f"bytes {position}-")
            is_plain = response.headers.get("Content-Encoding", "identity") == "identity"
            if response.status_code != HTTPStatus.PARTIAL_CONTENT or not begins or not is_plain:
                raise HubError(
                    f"{self.files.endpoint} sends {portion.name} whole or compressed where a part of it is "
                    "asked for. Load without stream."
                )
            portion.accept(response.headers)
            yield response


def patience(header: str | None) -> float | None:
    """The seconds that Retry-After asks for, where it says them."""
    return min(float(header), LONGEST_PAUSE) if header and header.strip().isdecimal() else None


def pause(problem: Exception, tries: int, receiver: Receiver) -> None:
    """Waits a little, longer each time, or as long as the server asks for."""
    seconds = problem.seconds if isinstance(problem, Busy) else None
    if seconds is None:
        seconds = min(FIRST_PAUSE * 2 ** max(tries - 1, 0), LONGEST_PAUSE)
    receiver.check()
    time.sleep(seconds)
    receiver.check()


class Counted:
    """Passes bytes on to a receiver and counts what has come of each frame."""

    def __init__(
        self, receiver: Receiver, gathered: Gathered, header: Mapping[str, Stored], progress: Progress
    ) -> None:
        self.receiver, self.gathered, self.header, self.progress = receiver, gathered, header, progress
        self._lock = threading.Lock()
        self._left: dict[int, int] = {}
        self._done = 0

    def write(self, offset: int, data: memoryview) -> None:
        """Bytes of the stream that nothing else vouches for: a frame is done once all of it is there."""
        self.receiver.write(offset, data)
        stop = offset + len(data)
        for frame in range(offset // FRAME_BYTES, (stop - 1) // FRAME_BYTES + 1):
            first, last = self.gathered.frame(frame)
            come = min(stop, last) - max(offset, first)
            with self._lock:
                left = self._left.pop(frame, last - first) - come
                if left:
                    self._left[frame] = left
            if not left:
                self.finish(frame)

    def finish(self, frame: int) -> None:
        """A frame that is whole and right."""
        first, last = self.gathered.frame(frame)
        with self._lock:
            self._done += last - first
            self.progress(self._done, self.gathered.size_bytes)
        self.receiver.finish(frame)

    def corrupted(self, frame: int, times: int) -> CheckpointDamaged:
        """The error for a frame that came other than its digest says."""
        reads = list(self.gathered.cut(*self.gathered.frame(frame)))
        file = reads[0].file
        start, stop = reads[0].start, max(read.stop for read in reads if read.file == file)
        tensors = [
            name
            for name, info in self.header.items()
            if info.file == file and info.start < stop and start < info.stop
        ]
        return CheckpointDamaged(
            file,
            f"bytes {start:,} to {stop:,} ({listed(tensors)}) came {times} times other than the digest that "
            "the hub sent with them says: something on the way changes them",
        )


@dataclass(frozen=True)
class Framed:
    """The stream of a ModelCenter hub."""

    place: str
    query: Mapping[str, str]
    content: str
    gathered: Gathered

    def portions(self, counted: Counted) -> Iterator[Portion]:
        """Frames, some together."""
        for frame in range(0, self.gathered.frames, PORTION_FRAMES):
            yield Frames(self, counted, frame, min(frame + PORTION_FRAMES, self.gathered.frames))


class Frames:
    """Frames `first:last` of a stream, each held against its digest."""

    def __init__(self, source: Framed, counted: Counted, first: int, last: int) -> None:
        self.source, self.counted = source, counted
        self.address, self.query = source.place, source.query
        self.name = "the stream"
        self.start = first * (FRAME_BYTES + DIGEST_BYTES)
        self.stop = min(last * (FRAME_BYTES + DIGEST_BYTES), source.gathered.stream_bytes)
        self._hash, self._digest = hashlib.sha256(), b""
        self._corrupted = 0

    def accept(self, headers: Mapping[str, str]) -> None:
        """Raises where the hub's plan has changed."""
        if headers.get("ETag") != f'"{self.source.content}"':
            raise HubError("The hub's stream changed while it was read. Load again.")

    def feed(self, position: int, data: memoryview) -> int:
        """Passes on what is of a frame, and checks it by what follows."""
        while data:
            frame, inner = divmod(position, FRAME_BYTES + DIGEST_BYTES)
            first, last = self.source.gathered.frame(frame)
            size = last - first
            if inner < size:
                given = data[: size - inner]
                self.counted.receiver.write(first + inner, given)
                self._hash.update(given)
            else:
                given = data[: size + DIGEST_BYTES - inner]
                self._digest += given
            position, data = position + len(given), data[len(given) :]
            if inner + len(given) == size + DIGEST_BYTES:
                found, self._hash, told, self._digest = (
                    self._hash.digest(),
                    hashlib.sha256(),
                    self._digest,
                    b"",
                )
                if found != told:
                    return self._again(frame)
                self.counted.finish(frame)
                self._corrupted = 0
        return position

    def _again(self, frame: int) -> int:
        self._corrupted += 1
        error = self.counted.corrupted(frame, self._corrupted)
        if self._corrupted == CORRUPTED:
            raise error
        logger.warning("%s They are asked for again.", error)
        return frame * (FRAME_BYTES + DIGEST_BYTES)


@dataclass(frozen=True)
class Ranged:
    """The files of any server that answers Range requests."""

    files: RemoteFiles
    gathered: Gathered

    def portions(self, counted: Counted) -> Iterator[Portion]:
        """Neighbouring ranges as one, and large ones cut."""
        seen: dict[str, str] = {}
        for span in spans(self.gathered.reads):
            for start in range(span.start, span.stop, PORTION_BYTES):
                stop = min(start + PORTION_BYTES, span.stop)
                yield Part(self.files, counted, span.file, start, stop, seen)


@dataclass(frozen=True)
class Part:
    """Bytes `start:stop` of a file."""

    files: RemoteFiles
    counted: Counted
    name: str
    start: int
    stop: int
    seen: dict[str, str]  # the ETag of each file, of the first answer
    query: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """Where the file is."""
        return self.files.address(self.name)

    def accept(self, headers: Mapping[str, str]) -> None:
        """Raises where the file is not what it was."""
        etag, length = headers.get("ETag", ""), headers.get("Content-Range", "").rpartition("/")[2]
        if self.seen.setdefault(self.name, etag) != etag or length != str(self.files.size(self.name)):
            raise CheckpointDamaged(
                self.name, f"{self.files.endpoint} sends another content than when its header was read"
            )

    def feed(self, position: int, data: memoryview) -> int:
        """Passes on what is wanted of it."""
        stop = position + len(data)
        for offset, first, last in self.counted.gathered.wanted(self.name, position, stop):
            self.counted.write(offset, data[first - position : last - position])
        return stop
