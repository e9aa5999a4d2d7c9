"""A commit as it travels: one JSON object a line, read while it arrives. Knows the spelling, not its meaning.

{"key": "header", "value": {"summary": …, "description": …, "parentCommit": …}}     first, once
{"key": "file", "value": {"path": …, "encoding": "base64", "content": …}}
{"key": "lfsFile", "value": {"path": …, "algo": "sha256", "oid": …, "size": …}}     size is absent in copies
{"key": "deletedFile" | "deletedFolder", "value": {"path": …}}
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

from modelcenter.errors import Invalid, TooLarge
from modelcenter.registry.blobs.interface import Blob
from modelcenter.registry.repositories import AddFile, AddLfs, Delete, DeleteFolder, Operation
from modelcenter.registry.texts import is_storable

MEGABYTE = 2**20
FILE_BYTES = 32 * MEGABYTE  # a regular file; what is larger travels as a large file
LINE_BYTES = FILE_BYTES * 4 // 3 + 64 * 1024
BODY_BYTES = 256 * MEGABYTE  # base64: about 190 MB of files
KEPT_BYTES = 256 * 1024  # of a regular file; larger ones are stored as they arrive
OPERATIONS = 25_000


@dataclass(frozen=True)
class CommitRequest:
    """What a client asks to be committed."""

    title: str
    message: str
    parent: str | None
    operations: tuple[Operation, ...]


def read_commit(stream: IO[bytes], keep: Callable[[bytes], Blob]) -> CommitRequest:
    """The commit that `stream` spells. Raises Invalid with the number of the line, or TooLarge.

    Files of some size go to `keep` as they arrive, so that a long commit is never in memory as a whole.
    """
    header: dict[str, Any] | None = None
    operations: list[Operation] = []
    for number, line in enumerate(lines(stream), 1):
        key, value = parsed(line, number)
        if key == "header":
            if header is not None or operations:
                raise Invalid(f"Line {number}: the header comes first and once.")
            header = value
        elif header is None:
            raise Invalid(f'Line {number} is {key!r}; the first line of a commit is {{"key": "header", …}}.')
        else:
            operations.append(operation(key, value, number, keep))
        if len(operations) > OPERATIONS:
            raise TooLarge(f"A commit takes at most {OPERATIONS} operations. Send the rest in another.")
    if header is None:
        raise Invalid("The commit is empty: expected one JSON object a line, the header first.")
    return CommitRequest(
        title=text(header, "summary", 1, default=""),
        message=text(header, "description", 1, default=""),
        parent=text(header, "parentCommit", 1, default="") or None,
        operations=tuple(operations),
    )


def lines(stream: IO[bytes]) -> Iterator[bytes]:
    """The lines of `stream` that are not blank. Raises TooLarge."""
    received = 0
    while line := stream.readline(LINE_BYTES + 1):
        received += len(line)
        if len(line) > LINE_BYTES:
            raise TooLarge(
                f"A regular file is longer than {FILE_BYTES // MEGABYTE} MB. Send it as a large file (LFS)."
            )
        if received > BODY_BYTES:
            raise TooLarge(f"A commit is longer than {BODY_BYTES // MEGABYTE} MB. Send the rest in another.")
        if not line.isspace():
            yield line


def parsed(line: bytes, number: int) -> tuple[str, dict[str, Any]]:
    """The key and value of a line."""
    try:
        item = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"Line {number} is no JSON. Was the request cut off?") from error
    if not isinstance(item, dict) or not isinstance(item.get("key"), str):
        raise Invalid(f'Line {number} has no key; expected {{"key": …, "value": {{…}}}}.')
    value = item.get("value")
    if not isinstance(value, dict):
        raise Invalid(f"Line {number} ({item['key']}) has no value; expected an object.")
    return item["key"], value


def operation(key: str, value: dict[str, Any], number: int, keep: Callable[[bytes], Blob]) -> Operation:
    """The operation that a line asks for."""
    path = text(value, "path", number)
    match key:
        case "file":
            found = content(value, number)
            return AddFile(path, keep(found) if len(found) > KEPT_BYTES else found)
        case "lfsFile":
            if value.get("algo", "sha256") != "sha256":
                raise Invalid(f"Line {number}: {path} is hashed with {value['algo']!r}; expected sha256.")
            size = value.get("size")
            if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 0):
                raise Invalid(f"Line {number}: the size of {path} is {size!r}; expected a number of bytes.")
            return AddLfs(path, text(value, "oid", number).lower(), size)
        case "deletedFile":
            return Delete(path)
        case "deletedFolder":
            return DeleteFolder(path.rstrip("/"))
    raise Invalid(
        f"Line {number} asks for {key!r}; expected header, file, lfsFile, deletedFile or deletedFolder."
    )


def content(value: dict[str, Any], number: int) -> bytes:
    """The bytes of a regular file."""
    encoded = text(value, "content", number)
    encoding = value.get("encoding", "base64")
    if encoding == "utf-8":
        return encoded.encode()
    if encoding != "base64":
        raise Invalid(f"Line {number}: encoding is {encoding!r}; expected base64 or utf-8.")
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Invalid(f"Line {number}: the content is no base64.") from error


def text(value: dict[str, Any], name: str, number: int, default: str | None = None) -> str:
    """A string of the line; `default` when it is absent or null."""
    found = value.get(name)
    if found is None and default is not None:
        return default
    if not isinstance(found, str):
        raise Invalid(f"Line {number}: {name} is {type(found).__name__}; expected a string.")
    if not is_storable(found):
        raise Invalid(f"Line {number}: {name} has characters that cannot be stored.")
    return found
