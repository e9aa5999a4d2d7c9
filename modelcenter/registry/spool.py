"""Bytes that come once and are read by many while they come, in this process and in others of the machine.

A spool is a file that is written by one thread, which holds its lock, and read by any number. Its mode says
that all of it came and is right, its name has gone when it failed: readers who have it open see either. Who
writes may be killed: then its lock is free, and a reader goes on with the writing.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, cast

from modelcenter.registry.blobs.interface import CHUNK

PAUSE_SECONDS = 0.02  # before a reader who has all that has come looks again
KEPT = timedelta(days=2)  # how long what a killed writer left waits for somebody who goes on with it
_COMING, _WHOLE = 0o600, 0o400

# Brings the rest, after what an earlier writer left, and returns once all of it was found right.
Bring = Callable[["Draft"], object]


class Draft:
    """A spool as its writer sees it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def kept(self) -> Iterator[bytes]:
        """What was here when the writing began."""
        position = 0
        while position < self.size and (chunk := os.pread(self._descriptor, CHUNK, position)):
            position += len(chunk)
            yield chunk

    def passing(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """The chunks, each of which readers see before the next is taken."""
        for chunk in chunks:
            rest = memoryview(chunk)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            yield chunk


class Spool(io.RawIOBase):
    """A spool as one of its readers sees it: `size` bytes, to be read while they come.

    The last byte is read by nobody before all of them were found right. Reading raises what `bring` raised,
    or what `broken` makes where another process failed.
    """

    def __init__(self, path: Path, size: int, bring: Bring, broken: Callable[[], Exception]) -> None:
        super().__init__()
        self._path, self._size, self._bring, self._broken = path, size, bring, broken
        self._position = 0
        self._problem: list[Exception] = []
        self._writes = False
        self._descriptor = self._open()

    def file(self) -> BinaryIO:
        """This, as a file that others take."""
        return cast("BinaryIO", self)

    def wait(self) -> None:
        """Returns when the first byte can be read. Raises as reading does."""
        self._available(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Moves to `offset`, from the start."""
        if whence != os.SEEK_SET:
            raise io.UnsupportedOperation("A spool is sought from its start.")
        self._position = offset
        return offset

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, as many as have come and at most `size`; empty at the end alone."""
        if size == 0:
            return b""
        stop = self._available(self._position)
        most = stop - self._position if size < 0 else min(size, stop - self._position)
        chunk = os.pread(self._descriptor, max(0, most), self._position)
        self._position += len(chunk)
        return chunk

    def close(self) -> None:
        """Stops reading; the writing goes on."""
        if not self.closed:
            os.close(self._descriptor)
        super().close()

    def _available(self, position: int) -> int:
        """Up to where it can be read, once that is beyond `position` or the end."""
        while True:
            state = os.fstat(self._descriptor)
            if state.st_mode & 0o777 == _WHOLE:
                return self._size
            if state.st_nlink == 0:
                raise self._problem[0] if self._problem else self._broken()
            stop = min(state.st_size, self._size - 1)
            if position < stop:
                return stop
            # To whom has the lock it is given again.
            if not self._writes and _locks(self._descriptor):
                self._begin()
            time.sleep(PAUSE_SECONDS)

    def _open(self) -> int:
        """The file, new where there is none."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        _clear(self._path.parent)
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _COMING)

    def _begin(self) -> None:
        """Has a thread write, under the lock that was taken; gives it back where nothing is to be done."""
        state = os.fstat(self._descriptor)
        if state.st_nlink == 0 or state.st_mode & 0o777 == _WHOLE:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            return
        self._writes = True
        # Its own: readers close theirs while it still writes.
        descriptor = os.dup(self._descriptor)
        threading.Thread(target=self._write, args=(descriptor,), daemon=True).start()

    def _write(self, descriptor: int) -> None:
        try:
            self._bring(Draft(descriptor))
            os.fchmod(descriptor, _WHOLE)
        except Exception as error:  # noqa: BLE001  whatever it is, it is the readers'
            self._problem.append(error)
        finally:
            self._path.unlink(missing_ok=True)
            os.close(descriptor)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Keeps all others of this machine who ask for the same from what follows, until it ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file.fileno()).st_nlink == 0:
                continue  # whoever had it before has removed it
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


def _locks(descriptor: int) -> bool:
    """Whether the lock was free; it is taken now."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _clear(folder: Path) -> None:
    """Removes what killed writers left long ago."""
    oldest = time.time() - KEPT.total_seconds()
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < oldest:
                with path.open("rb") as file:
                    if _locks(file.fileno()):
                        path.unlink()
