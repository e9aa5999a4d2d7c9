"""Files in memory, for what reads a revision's files wherever they lie."""

from collections.abc import Collection, Mapping
from pathlib import Path


class MemoryFiles:
    """Files by name and content; `reads` counts the bytes asked for, as a remote hub would be asked."""

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        self.contents = dict(contents)
        self.reads: list[tuple[str, int]] = []

    @classmethod
    def of(cls, folder: Path) -> "MemoryFiles":
        """The files of a folder."""
        return cls({path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()})

    def __repr__(self) -> str:
        return "memory"

    def names(self) -> Collection[str]:
        return self.contents.keys()

    def size(self, name: str) -> int:
        return len(self.contents[name])

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        data = self.contents[name][start:stop]
        self.reads.append((name, len(data)))
        return data
