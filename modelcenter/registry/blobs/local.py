"""Blobs as files of one local directory: `ab/abcdef…`, `tmp/` for what is still arriving, `damaged/`."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from modelcenter.errors import BlobNotFound
from modelcenter.registry.blobs.interface import Blob, Source, address, hashed


class LocalBlobStore:
    """A directory that any number of processes share. Opening it clears what killed writers left behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._arriving, self._damaged = folder / "tmp", folder / "damaged"
        self._arriving.mkdir(parents=True, exist_ok=True)
        self._clear()

    def put(self, stream: Source, *, sha256: str | None = None, size: int | None = None) -> Blob:
        """Writes to a temporary file, makes it durable, then gives it its name: see BlobStore."""
        if sha256 is not None:
            address(sha256)
        with self._draft() as (file, draft):
            blob = hashed(stream, file.write, sha256, size)
            file.flush()
            os.fchmod(file.fileno(), 0o444)
            os.fsync(file.fileno())
            target = self._file(blob.sha256)
            if not target.parent.is_dir():
                target.parent.mkdir(exist_ok=True)
                _sync(self.folder)
            draft.replace(target)
            _sync(target.parent)
        return blob

    def open(self, sha256: str) -> BinaryIO:
        """The blob's file: see BlobStore."""
        try:
            return self._file(sha256).open("rb")
        except FileNotFoundError:
            raise BlobNotFound(sha256) from None

    def path(self, sha256: str) -> Path:
        """Where the blob lies: see BlobStore."""
        self.stat(sha256)
        return self._file(sha256)

    def stat(self, sha256: str) -> int:
        """The blob's size in bytes: see BlobStore."""
        try:
            return self._file(sha256).stat().st_size
        except FileNotFoundError:
            raise BlobNotFound(sha256) from None

    def delete(self, sha256: str) -> None:
        """Removes the blob's file: see BlobStore."""
        self._file(sha256).unlink(missing_ok=True)

    def quarantine(self, sha256: str) -> None:
        """Moves the file to `damaged/`: see BlobStore."""
        self.stat(sha256)
        self._damaged.mkdir(exist_ok=True)
        self._file(sha256).replace(self._damaged / sha256)
        _sync(self._damaged)
        _sync(self._file(sha256).parent)

    def link(self, sha256: str, *, content_type: str, disposition: str) -> None:
        """None: see BlobStore."""

    def __iter__(self) -> Iterator[str]:
        for folder in self.folder.iterdir():
            if folder not in (self._arriving, self._damaged) and folder.is_dir():
                yield from (file.name for file in folder.iterdir())

    def _file(self, sha256: str) -> Path:
        return self.folder / address(sha256)[:2] / sha256

    @contextlib.contextmanager
    def _draft(self) -> Iterator[tuple[BinaryIO, Path]]:
        """A temporary file that is locked while it is written, and gone afterwards unless it was renamed."""
        while True:
            draft = self._arriving / secrets.token_hex(16)
            with draft.open("xb") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if os.fstat(file.fileno()).st_nlink == 0:
                    continue  # another process cleared it between its creation and its lock
                try:
                    yield file, draft
                finally:
                    draft.unlink(missing_ok=True)
                return

    def _clear(self) -> None:
        """Removes the temporary files whose writers are dead: nobody holds their lock any more."""
        for draft in self._arriving.iterdir():
            with contextlib.suppress(FileNotFoundError, BlockingIOError), draft.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                draft.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Makes the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
