"""Which paths Git leaves out: reading `.gitignore`."""

from __future__ import annotations

from modelcenter.registry import wildmatch

NAME = ".gitignore"


class Ignored:
    """What the `.gitignore` of a repository's root says."""

    def __init__(self, text: bytes) -> None:
        """Raises Invalid for more patterns than a request may be kept busy with."""
        lines = [_stripped(line) for line in wildmatch.lines(text, NAME) if not line.startswith(b"#")]
        self._kept = [line.startswith(b"!") for line in lines]
        self._patterns = wildmatch.Patterns([line.removeprefix(b"!") for line in lines], NAME)

    def has(self, path: str) -> bool:
        """Whether Git passes over a file at `path`: it or a folder that it is in is ignored."""
        found = self._patterns.last(path.encode())
        return any(number >= 0 and not self._kept[number] for number in found)


def _stripped(line: bytes) -> bytes:
    """The line without the spaces at its end, unless a backslash keeps them."""
    stripped = line.rstrip(b" ")
    backslashes = len(stripped) - len(stripped.rstrip(b"\\"))
    return stripped + b" " if backslashes % 2 and stripped != line else stripped
