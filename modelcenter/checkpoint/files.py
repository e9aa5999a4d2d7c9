"""Where a checkpoint's bytes come from: a revision's files behind three questions. Knows no format."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from modelcenter.errors import CheckpointDamaged


class Files(Protocol):
    """A revision's files, wherever they lie: a local folder, the hub's store, another hub.

    Names are paths inside the revision, separated by '/'.
    """

    def names(self) -> Collection[str]:
        """Every file's name."""
        ...

    def size(self, name: str) -> int:
        """How many bytes the file has."""
        ...

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        """The file's bytes from `start` to before `stop` (None: its end); fewer only where the file ends."""
        ...


class LocalFiles:
    """The files of a folder. Links to files are followed (caches link to their blobs), to folders not."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def __repr__(self) -> str:
        return str(self.folder)

    def names(self) -> Collection[str]:
        """Every file below the folder."""
        found = []
        for place, _, files in os.walk(self.folder):
            inside = Path(place).relative_to(self.folder)
            found += [(inside / file).as_posix() for file in files]
        return sorted(found)

    def size(self, name: str) -> int:
        """How many bytes the file has.

        Raises CheckpointDamaged for a pipe or a device, which would keep its reader waiting, and for a link
        to nothing.
        """
        try:
            status = self.path(name).stat()
        except FileNotFoundError as error:
            raise CheckpointDamaged(name, "it is not there, or a link to a file that is not") from error
        if not stat.S_ISREG(status.st_mode):
            raise CheckpointDamaged(name, "it is no regular file: a pipe or a device is not read")
        return status.st_size

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        """The file's bytes from `start` to before `stop`."""
        with self.path(name).open("rb") as file:
            file.seek(start)
            return file.read() if stop is None else file.read(max(0, stop - start))

    def path(self, name: str) -> Path:
        """Where the file lies."""
        return self.folder / name


class Window:
    """One file of `files` as a stream to read from, buffered, and closed to whatever lies past `stop`.

    The bound keeps a length that a file invents from becoming memory: past it the file seems to end.
    """

    BUFFER = 256 << 10

    def __init__(self, files: Files, name: str, start: int = 0, stop: int | None = None) -> None:
        self.files, self.name = files, name
        size = files.size(name)
        self.stop = size if stop is None else min(stop, size)
        self.position = start
        self._buffer, self._buffer_start = b"", start

    def tell(self) -> int:
        """The offset in the file of the next byte."""
        return self.position

    def read(self, count: int) -> bytes:
        """The next `count` bytes, fewer at the end."""
        return self._take(min(self.position + max(count, 0), self.stop))

    def readline(self) -> bytes:
        """The bytes up to and with the next newline, or to the end."""
        line = b""
        while not line.endswith(b"\n") and self.position < self.stop:
            ahead = self._ahead()
            line += self._take(self.position + (ahead.find(b"\n") + 1 or len(ahead)))
        return line

    def _ahead(self) -> bytes:
        """What the buffer holds from here on, filled when it holds nothing."""
        if not self._buffer_start <= self.position < self._buffer_start + len(self._buffer):
            self._buffer_start = self.position
            self._buffer = self.files.read(
                self.name, self.position, min(self.stop, self.position + self.BUFFER)
            )
            if not self._buffer:  # the file became shorter while it was read
                self.stop = self.position
        return self._buffer[self.position - self._buffer_start :] if self._buffer else b""

    def _take(self, stop: int) -> bytes:
        count = stop - self.position
        first = self.position - self._buffer_start
        if first < 0 or first + count > len(self._buffer):
            if count > self.BUFFER:
                data = self.files.read(self.name, self.position, stop)
                self.position += len(data)
                return data
            self._buffer, self._buffer_start = b"", self.position
            first, self._buffer = 0, self._ahead()
        data = self._buffer[first : first + count]
        self.position += len(data)
        return data
