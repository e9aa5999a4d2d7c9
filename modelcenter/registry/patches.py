"""Changes as text that `git apply` and people read. Knows files and their bytes, no commits.

Source of the format: git-diff(1), "Generating patch text with -p".
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence

from modelcenter.registry import objects
from modelcenter.registry.blobs.interface import BlobStore
from modelcenter.registry.contents import Known
from modelcenter.registry.differences import Difference

MAX_FILES = 200
MAX_TEXT = 200_000  # bytes of a file whose lines are shown
MAX_LINES = 2_000  # of a file whose lines are compared: what that costs grows with their square
MAX_PATCH = 1_000_000  # characters in all
NO_FILE = "0" * 40


def patch(blobs: BlobStore, changes: Sequence[Difference]) -> str:
    """The changes as one text of a bounded length: of large files their pointers, as Git sees them."""
    parts: list[str] = []
    length = 0
    for change in changes[:MAX_FILES]:
        part = "".join(_one(blobs, change))
        if length + len(part) > MAX_PATCH:
            break
        parts.append(part)
        length += len(part)
    if len(parts) < len(changes):
        parts.append(f"# The changes of {len(changes) - len(parts)} more files are not shown.\n")
    return "".join(parts)


def _one(blobs: BlobStore, change: Difference) -> Iterator[str]:
    before, after = change.before, change.after
    yield f"diff --git a/{change.path} b/{change.path}\n"
    if before is None:
        yield "new file mode 100644\n"
    if after is None:
        yield "deleted file mode 100644\n"
    yield f"index {before.oid if before else NO_FILE}..{after.oid if after else NO_FILE}\n"
    old, new = _lines(blobs, before), _lines(blobs, after)
    names = (f"a/{change.path}" if before else "/dev/null", f"b/{change.path}" if after else "/dev/null")
    if old is None or new is None or (old and new and max(len(old), len(new)) > MAX_LINES):
        yield f"Binary files {names[0]} and {names[1]} differ\n"
        return
    for line in difflib.unified_diff(old, new, *names):
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _lines(blobs: BlobStore, file: Known | None) -> list[str] | None:
    """The lines of a text, None for what is none or too long."""
    if file is None:
        return []
    if file.is_lfs:
        data = objects.pointer(file.sha256, file.size)
    elif file.size > MAX_TEXT:
        return None
    else:
        with blobs.open(file.sha256) as stream:
            data = stream.read(MAX_TEXT)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    # Git ends lines at a line feed alone; Python knows more ways.
    return None if "\0" in text else [line + "\n" for line in text.split("\n")[:-1]] + _last(text)


def _last(text: str) -> list[str]:
    rest = text.rpartition("\n")[2]
    return [rest] if rest else []
