"""Content over HTTP: ranges, conditions and types. Knows bytes and headers, not repositories."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING
from urllib.parse import quote

from flask import Response, request
from werkzeug.http import parse_etags

from hub_web.security import FILE_POLICY
from modelcenter.errors import BlobDamaged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

BLOCK_BYTES = 256 * 1024
RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)")
DIGITS = 19  # more than the number of any byte has
# Pictures that hold no script. SVG does, so it is text here.
IMAGES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".avif": "image/avif",
}
# fmt: off
TEXTS = frozenset({
    ".bib", ".c", ".cfg", ".cff", ".conf", ".cpp", ".css", ".csv", ".cu", ".gitattributes", ".gitignore",
    ".h", ".html", ".ini", ".ipynb", ".j2", ".jinja", ".js", ".json", ".jsonl", ".log", ".md", ".merges",
    ".py", ".rst", ".sh", ".sql", ".srt", ".svg", ".tex", ".toml", ".ts", ".tsv", ".txt", ".xml", ".yaml",
    ".yml",
})
# fmt: on
TEXT_NAMES = frozenset(
    {"license", "notice", "readme", "dockerfile", "makefile", ".gitattributes", ".gitignore"}
)


@dataclass(frozen=True)
class Span:
    """Bytes start to stop of a content (stop excluded)."""

    start: int
    stop: int


class Unsatisfiable(Exception):
    """A range that begins behind the end."""


def requested_span(header: str | None, size: int) -> Span | None:
    """The bytes that a Range header asks for; None: all of them. Raises Unsatisfiable.

    One range only: a header that lists several, or is no range of bytes, is answered with the whole.
    """
    match = RANGE.fullmatch(header.replace(" ", "")) if header else None
    if match is None or match.groups() == ("", ""):
        return None
    first, last = (_number(digits) if digits else None for digits in match.groups())
    if first is None:  # the last n bytes
        start, stop = max(0, size - (last or 0)), size
    else:
        if last is not None and last < first:
            return None
        start, stop = first, size if last is None else min(size, last + 1)
    if start >= size or start >= stop:
        raise Unsatisfiable
    return Span(start, stop)


def _number(digits: str) -> int:
    """The number, or one that is behind the end of every content: nobody reads thousands of digits."""
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) <= DIGITS else 10**DIGITS


def content_response(
    open_content: Callable[[], IO[bytes]],
    *,
    size: int,
    etag: str,
    name: str,
    head: dict[str, str],
    sha256: str | None = None,
    link: Callable[[str, str], str | None] = lambda content_type, disposition: None,
    damaged: Callable[[str], None] = lambda sha256: None,
) -> Response:
    """The answer to a GET or HEAD of a content: 200, 206, 302, 304 or 416, with `head` among its headers.

    The content is opened only where bytes follow. It leaves through the server's file wrapper, which hands a
    real file to the kernel (sendfile): nothing of it is held in memory. What is not a file but sent whole is
    hashed on its way where its `sha256` is given: of another content nobody gets the end, and `damaged` is
    told.

    Where `link` has an address for the type and disposition that it is given, a GET is sent there instead.
    """
    headers = {
        **head,
        "ETag": f'"{etag}"',
        "Accept-Ranges": "bytes",
        # Content may be kept, but each use asks whether it is still this one and still the caller's to read.
        "Cache-Control": "private, no-cache",
        "Vary": "Authorization",
        "Content-Security-Policy": FILE_POLICY,
        "Content-Type": content_type(name),
        "Content-Disposition": disposition(name),
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    if parse_etags(request.headers.get("If-None-Match")).contains_weak(etag):
        return Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    try:
        span = requested_span(range_header(etag), size)
    except Unsatisfiable:
        headers["Content-Range"] = f"bytes */{size}"
        return Response(status=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers=headers)
    start, stop = (span.start, span.stop) if span else (0, size)
    if span:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    headers["Content-Length"] = str(stop - start)
    body: Iterable[bytes] = ()
    if request.method != "HEAD":
        elsewhere = link(headers["Content-Type"], headers["Content-Disposition"])
        if elsewhere is not None:
            # Metadata is this answer's: what clients keep of the file must not depend on where it lies.
            headers |= {"Location": elsewhere, "Content-Length": "0"}
            headers.pop("Content-Range", None)
            return Response(status=HTTPStatus.FOUND, headers=headers)
        body = window(open_content(), start, stop)
        if sha256 is not None and stop - start == size and isinstance(body, Window):
            body = Verified(body, sha256, damaged)
    return Response(
        body,
        status=HTTPStatus.PARTIAL_CONTENT if span else HTTPStatus.OK,
        headers=headers,
        direct_passthrough=True,
    )


def range_header(etag: str) -> str | None:
    """The Range header, unless If-Range says that the client has parts of another content."""
    condition = request.headers.get("If-Range")
    if condition is not None and condition.strip() != f'"{etag}"':
        return None
    return request.headers.get("Range")


def window(file: IO[bytes], start: int, stop: int) -> Iterable[bytes]:
    """Bytes start to stop of `file`, which is closed after them."""
    file.seek(start)
    wrapper = request.environ.get("wsgi.file_wrapper")
    # gunicorn sends from the position where a real file stands as many bytes as Content-Length says.
    if wrapper is not None and has_descriptor(file) and "gunicorn.socket" in request.environ:
        wrapped: Iterable[bytes] = wrapper(file, BLOCK_BYTES)
        return wrapped
    return Window(file, stop - start)


def has_descriptor(file: IO[bytes]) -> bool:
    """Whether the kernel knows the file."""
    try:
        file.fileno()
    except (AttributeError, OSError):
        return False
    return True


class Window:
    """The next `length` bytes of a file in blocks, where there is no sendfile or no descriptor."""

    def __init__(self, file: IO[bytes], length: int) -> None:
        self.file, self.left = file, length

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        block = self.file.read(min(BLOCK_BYTES, self.left))
        if not block:
            raise StopIteration
        self.left -= len(block)
        return block

    def close(self) -> None:
        """Close the file; servers call it after the last byte, or when the client has gone."""
        self.file.close()


class Verified:
    """The blocks of a whole content, the last of them only if all together are what they should be."""

    def __init__(self, blocks: Window, sha256: str, damaged: Callable[[str], None]) -> None:
        self.blocks, self.sha256, self.damaged = blocks, sha256, damaged

    def __iter__(self) -> Iterator[bytes]:
        digest, held = hashlib.sha256(), b""
        for block in self.blocks:
            digest.update(block)
            if held:
                yield held
            held = block
        if digest.hexdigest() != self.sha256:
            self.damaged(self.sha256)
            # The server hangs up before the announced length: no client takes this for the file.
            raise BlobDamaged(self.sha256, f"is stored as bytes of SHA-256 {digest.hexdigest()}")
        if held:
            yield held

    def close(self) -> None:
        """Close the content."""
        self.blocks.close()


def is_text(name: str) -> bool:
    """Whether a file of that name is shown as text."""
    path = PurePosixPath(name)
    return path.suffix.lower() in TEXTS or path.name.lower() in TEXT_NAMES


def content_type(name: str) -> str:
    """A type under which the content cannot act in a browser."""
    if is_text(name):
        return "text/plain; charset=utf-8"
    return IMAGES.get(PurePosixPath(name).suffix.lower(), "application/octet-stream")


def disposition(name: str) -> str:
    """Shown where it is text or a picture, saved where it is anything else or the caller asks for it."""
    shown = content_type(name) != "application/octet-stream" and "download" not in request.args
    return (
        f"{'inline' if shown else 'attachment'}; filename*=UTF-8''{quote(PurePosixPath(name).name, safe='')}"
    )
