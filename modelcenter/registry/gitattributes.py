"""Which paths Git keeps as large files: reading `.gitattributes`, and adding a line to it."""

from __future__ import annotations

import io

from dulwich.attrs import GitAttributes, compile_gitattributes_patterns, parse_git_attributes

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


class Attributes:
    """What the `.gitattributes` of a repository's root says."""

    def __init__(self, text: bytes) -> None:
        patterns = compile_gitattributes_patterns(parse_git_attributes(io.BytesIO(text)), NAME)
        self._attributes = GitAttributes(patterns)

    def is_large(self, path: str) -> bool:
        """Whether Git keeps a pointer at `path` and the content apart."""
        return self._attributes.match_path(path.encode()).get(b"filter") == b"lfs"


def with_path(text: bytes, path: str) -> bytes:
    """`text` with one more line that makes the file at `path` a large one."""
    end = b"" if not text or text.endswith(b"\n") else b"\n"
    return text + end + f"{_pattern(path)} {_RULE}\n".encode()


def _pattern(path: str) -> str:
    """A pattern for this path alone, written as git-lfs writes it: no spaces, no wildcards."""
    for special in "[*?":
        path = path.replace(special, "\x00" + special)
    escaped = path.replace("\x00", "\\").replace(" ", "[[:space:]]")
    # The leading slash keeps a bare name from matching in every folder, and '#', '!', '"' from their meaning.
    return f"/{escaped}"
