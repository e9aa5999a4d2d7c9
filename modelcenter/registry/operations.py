"""What a commit is made of, checked and with its content in the store before any transaction begins."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from modelcenter.errors import BlobNotFound, Invalid
from modelcenter.registry import gitattributes, objects
from modelcenter.registry.blobs.interface import Blob, address
from modelcenter.registry.hub import Hub
from modelcenter.registry.names import check_path


@dataclass(frozen=True, slots=True)
class AddFile:
    """A regular file: its content, or where the store has it."""

    path: str
    content: bytes | Blob


@dataclass(frozen=True, slots=True)
class AddLfs:
    """A large file, uploaded before or known to be readable; without `size`, a copy of one that is here."""

    path: str
    sha256: str
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """A file, or a folder with all it holds."""

    path: str


@dataclass(frozen=True, slots=True)
class DeleteFolder:
    """A folder with all it holds."""

    path: str


Operation = AddFile | AddLfs | Delete | DeleteFolder


@dataclass(frozen=True, slots=True)
class Stored:
    """A file whose content is in the store. `oid` is its Git id, of the pointer where it is large."""

    oid: str
    blob: Blob
    is_lfs: bool = False


def stage(hub: Hub, operations: Sequence[Operation]) -> list[Stored | None]:
    """Stores the content of regular files: one answer an operation. Raises Invalid before it stores any."""
    for operation in operations:
        path = operation.path.removesuffix("/") if isinstance(operation, DeleteFolder) else operation.path
        check_path(path)
        if isinstance(operation, AddLfs):
            _check_stored(hub, operation)

    def one(operation: Operation) -> Stored | None:
        return store(hub, operation.content) if isinstance(operation, AddFile) else None

    # Each file waits for the disk: together they wait for less.
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(one, operations))


def store(hub: Hub, content: bytes | Blob) -> Stored:
    """A regular file of this content, stored now unless it is already."""
    if isinstance(content, bytes):
        return Stored(objects.file_oid(content), hub.blobs.put([content]))
    with hub.blobs.open(content.sha256) as stream:
        return Stored(objects.stream_oid(stream, content.size), content)


def pointed(blob: Blob) -> Stored:
    """The large file of this content."""
    return Stored(objects.file_oid(objects.pointer(blob.sha256, blob.size)), blob, is_lfs=True)


def not_uploaded(operation: AddLfs) -> Invalid:
    """The error that a large file is not here, or not the actor's to refer to: the two are told alike."""
    return Invalid(
        f"{operation.path} names the large file {operation.sha256}, which has not been uploaded here."
    )


def _check_stored(hub: Hub, operation: AddLfs) -> None:
    if operation.path == gitattributes.NAME:
        raise Invalid(f"{operation.path} says which files are large and cannot be one itself.")
    try:
        size = hub.blobs.stat(address(operation.sha256))
    except BlobNotFound:
        raise not_uploaded(operation) from None
    if operation.size not in (None, size):
        raise not_uploaded(operation)
