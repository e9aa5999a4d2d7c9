"""What a commit is made of, checked and with its content in the store before any transaction begins."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from sqlalchemy import delete
from sqlalchemy.orm import Session

from modelcenter.errors import BlobNotFound, Invalid
from modelcenter.registry import gitattributes, objects, quotas, uploads
from modelcenter.registry.access import Actor
from modelcenter.registry.blobs.interface import Blob, address
from modelcenter.registry.contents import known_files
from modelcenter.registry.database import insert_missing
from modelcenter.registry.hub import Hub
from modelcenter.registry.names import check_path
from modelcenter.registry.tables import AwaitedFile, File, Repository


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
    """A file whose content is in the store. `oid` is its Git id, of the pointer where it is large.

    names: the large file whose pointer the text of a regular file is, whether that is here or not.
    """

    oid: str
    blob: Blob
    is_lfs: bool = False
    names: Blob | None = None


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
        names = objects.read_pointer(content)
        return Stored(objects.file_oid(content), hub.blobs.put([content]), names=names)
    with hub.blobs.open(content.sha256) as stream:
        oid = objects.stream_oid(stream, content.size)
    return Stored(oid, content, names=pointed_by(hub, content))


def pointed(blob: Blob) -> Stored:
    """The large file of this content."""
    return Stored(objects.file_oid(objects.pointer(blob.sha256, blob.size)), blob, is_lfs=True)


def pointed_by(hub: Hub, text: Blob) -> Blob | None:
    """The large file whose pointer this content is; None where it is none."""
    if text.size > objects.POINTER_BYTES:
        return None
    with hub.blobs.open(text.sha256) as stream:
        return objects.read_pointer(stream.read())


def keep_files(session: Session, actor: Actor, repository: Repository, files: Iterable[Stored]) -> None:
    """Makes the files known in this repository, large ones as readable here. Raises QuotaExceeded."""
    ordered = sorted(files, key=lambda file: file.oid)
    large = {file.oid: file.blob for file in ordered if file.is_lfs}
    quotas.take_room(session, actor, repository, [file.blob for file in ordered])
    uploads.keep(session, actor, repository, large.values())
    rows = [
        {
            "repository_id": repository.id,
            "oid": file.oid,
            "sha256": file.blob.sha256,
            "size": file.blob.size,
            "is_lfs": file.is_lfs,
        }
        for file in ordered
    ]
    insert_missing(session, File, rows)
    for start in range(0, len(large), 1000):  # what was awaited has come
        oids = list(large)[start : start + 1000]
        session.execute(
            delete(AwaitedFile).where(AwaitedFile.repository_id == repository.id, AwaitedFile.oid.in_(oids))
        )
    for oid, known in known_files(session, repository.id, large).items():
        # A pointer that lay here as plain text, its content unknown until now.
        if isinstance(known, File) and not known.is_lfs:
            known.sha256, known.size, known.is_lfs = large[oid].sha256, large[oid].size, True


def not_uploaded(path: str, sha256: str) -> Invalid:
    """The error that a large file is not here, or not the actor's to refer to: the two are told alike."""
    return Invalid(f"{path} names the large file {sha256}, which has not been uploaded here.")


def _check_stored(hub: Hub, operation: AddLfs) -> None:
    if operation.path == gitattributes.NAME:
        raise Invalid(f"{operation.path} says which files are large and cannot be one itself.")
    try:
        size = hub.blobs.stat(address(operation.sha256))
    except BlobNotFound:
        raise not_uploaded(operation.path, operation.sha256) from None
    if operation.size not in (None, size):
        raise not_uploaded(operation.path, operation.sha256)
