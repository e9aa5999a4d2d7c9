"""Which paths Git keeps as large files: reading `.gitattributes`, and adding a line to it."""

from __future__ import annotations

import re

from modelcenter.registry import wildmatch

NAME = ".gitattributes"
_RULE = "filter=lfs diff=lfs merge=lfs -text"
_SUFFIXES = (
    *("7z", "arrow", "bin", "bz2", "ckpt", "ftz", "gguf", "gz", "h5", "joblib", "lfs.*", "mlmodel", "model"),
    *(
        "msgpack",
        "npy",
        "npz",
        "onnx",
        "ot",
        "parquet",
        "pb",
        "pdiparams",
        "pickle",
        "pkl",
        "pt",
        "pth",
        "rar",
    ),
    *("safetensors", "spm", "tar", "tar.*", "tflite", "tgz", "wasm", "xz", "zip", "zst"),
)
DEFAULT = "".join(
    f"{pattern} {_RULE}\n"
    for pattern in (*(f"*.{suffix}" for suffix in _SUFFIXES), "*tfevents*", "saved_model/**/*")
)


_MAX_LINE = 2048  # bytes; Git passes over longer ones
_LINE = re.compile(rb"[ \t\r]*+(?:\"((?:[^\"\\]|\\.)*+)\"|([^ \t\r\"#][^ \t\r]*+))(.*)")
_ESCAPE = re.compile(rb"\\([0-3][0-7]{2}|.)")
_CONTROL = dict(zip(b"abfnrtv", b"\a\b\f\n\r\t\v", strict=True))


class Attributes:
    """What the `.gitattributes` of a repository's root says of large files. Macros are not read."""

    def __init__(self, text: bytes) -> None:
        """Raises Invalid for more patterns than a request may be kept busy with."""
        patterns: list[bytes] = []
        self._large: list[bool] = []
        for line in wildmatch.lines(text, NAME):
            match = _LINE.fullmatch(line) if len(line) < _MAX_LINE else None
            if match is None:
                continue
            pattern = match[2] if match[1] is None else _ESCAPE.sub(_unescaped, match[1])
            # Git takes no pattern that begins with '!', and "dir/" is never of a file.
            if pattern.startswith((b"!", b"[attr]")) or pattern.endswith(b"/"):
                continue
            filters = [
                word for word in match[3].split() if word.lstrip(b"-!").partition(b"=")[0] == b"filter"
            ]
            if filters:
                patterns.append(pattern)
                self._large.append(filters[-1] == b"filter=lfs")
        self._patterns = wildmatch.Patterns(patterns, NAME)

    def is_large(self, path: str) -> bool:
        """Whether Git keeps a pointer at `path` and the content apart."""
        *_, last = self._patterns.last(path.encode())
        return last >= 0 and self._large[last]


def _unescaped(match: re.Match[bytes]) -> bytes:
    code = match[1]
    return bytes([int(code, 8) if len(code) == 3 else _CONTROL.get(code[0], code[0])])


def with_path(text: bytes, path: str) -> bytes:
    """`text` with one more line that makes the file at `path` a large one."""
    return _ended(text) + f"{_pattern(path)} {_RULE}\n".encode()


def united(base: bytes, ours: bytes, theirs: bytes) -> bytes | None:
    """What two texts are together that both are `base` with lines behind it; None where one is not.

    Each large file may bring its line: two that came at the same time are no conflict.
    """
    base, ours, theirs = map(_ended, (base, ours, theirs))
    if not (ours.startswith(base) and theirs.startswith(base)):
        return None
    known = set(ours.split(b"\n"))
    added = [line for line in theirs[len(base) :].split(b"\n") if line not in known]
    return ours + b"".join(line + b"\n" for line in added)


def _ended(text: bytes) -> bytes:
    return text if not text or text.endswith(b"\n") else text + b"\n"


def _pattern(path: str) -> str:
    """A pattern for this path alone, without wildcards; in quotes where a space would end it."""
    for special in "[*?":
        path = path.replace(special, "\\" + special)
    # The leading slash keeps a bare name from matching in every folder, and '#', '!', '"' from their meaning.
    if " " not in path:
        return f"/{path}"
    return '"/{}"'.format(path.replace("\\", "\\\\").replace('"', '\\"'))
