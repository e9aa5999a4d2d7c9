"""A folder to a repository: its files are hashed, what the hub lacks is sent, one commit names them all.

An interrupted upload is resumed by starting it again: files that arrived whole are known to the hub by their
hash and are not sent a second time.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, cast

from modelcenter.checkpoint.files import LocalFiles
from modelcenter.client.telling import told
from modelcenter.errors import Invalid

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi, RepoFile

# What tools leave in a folder beside the model.
LEFT_OUT = (".git/*", ".cache/*", "*__pycache__/*", "*.DS_Store", "*.lock", ".ipynb_checkpoints/*")
Stage = Literal["hashing", "sending"]
# (stage, path in the repository, bytes more than last told)
Progress = Callable[[Stage, str, int], None]


@dataclass(frozen=True)
class Uploaded:
    """What an upload came to.

    commit, url: the branch's head afterwards, and its address.
    sent: the paths whose bytes travelled; `files` without them were on the hub already.
    """

    repository: str
    commit: str
    url: str
    files: tuple[str, ...]
    sent: tuple[str, ...]
    sent_bytes: int


def chosen(path: Path, include: Collection[str] = (), exclude: Collection[str] = ()) -> dict[str, Path]:
    """The files of `path` (a folder or one file) to send, by their place in the repository."""
    if path.is_file():
        return {path.name: path}
    if not path.is_dir():
        raise Invalid(f"{path} does not exist: expected a folder or a file to send.")
    found = {}
    for place, _, files in os.walk(path):
        for file in files:
            inside = (Path(place) / file).relative_to(path).as_posix()
            wanted = not include or any(fnmatch(inside, pattern) for pattern in include)
            if wanted and not any(fnmatch(inside, pattern) for pattern in (*LEFT_OUT, *exclude)):
                found[inside] = Path(place) / file
    if not found:
        raise Invalid(f"{path} holds no file to send.")
    return dict(sorted(found.items()))


class ChosenFiles(LocalFiles):
    """The files of a folder that are to be sent, as a checkpoint is read from them."""

    def __init__(self, folder: Path, chosen: Collection[str]) -> None:
        super().__init__(folder)
        self.chosen = chosen

    def names(self) -> Collection[str]:
        """Every file that is to be sent."""
        return self.chosen


def upload(
    api: HfApi,
    files: Mapping[str, Path],
    name: str,
    *,
    revision: str = "main",
    message: str | None = None,
    private: bool = False,
    progress: Progress = lambda stage, path, count: None,
) -> Uploaded:
    """Commit `files` to the repository `name`, created when it is missing, as is the branch `revision`."""
    from huggingface_hub import CommitOperationAdd

    with told(api.endpoint, name, revision):
        api.create_repo(name, private=private or None, exist_ok=True)
        if private and not api.model_info(name).private:
            raise Invalid(
                f"{name} is there already and public, so nothing was sent: private is for a repository that "
                "the upload creates. Make it private first, or upload under another name."
            )
        if revision != "main":
            api.create_branch(name, branch=revision, exist_ok=True)
        there = entries(api, name, revision, files)
        streams = {path: Stream(source, path, progress) for path, source in files.items()}
        try:
            operations = [
                CommitOperationAdd(path, cast("BinaryIO", stream)) for path, stream in streams.items()
            ]
            changed = [operation for operation in operations if not is_there(operation, there)]
            for stream in streams.values():
                stream.enter("sending")
            if changed:
                commit = api.create_commit(
                    name, changed, commit_message=message or title(files), revision=revision, num_threads=4
                ).oid
            else:
                commit = str(api.model_info(name, revision=revision).sha)
        except (
            ValueError
        ) as error:  # a card whose metadata the hub refuses, a path that no repository may have
            raise Invalid(str(error).strip()) from error
    sent = [path for path, stream in streams.items() if stream.furthest]
    return Uploaded(
        repository=name,
        commit=commit,
        url=f"{api.endpoint}/{name}/commit/{commit}",
        files=tuple(files),
        sent=tuple(sent),
        sent_bytes=sum(streams[path].furthest for path in sent),
    )


def entries(api: HfApi, name: str, revision: str, paths: Collection[str]) -> dict[str, RepoFile]:
    """What the branch has at `paths` already."""
    from huggingface_hub import RepoFile

    ordered = sorted(paths)
    found = [
        entry
        for start in range(0, len(ordered), 500)  # the hub answers for up to a thousand paths at once
        for entry in api.get_paths_info(name, ordered[start : start + 500], revision=revision)
    ]
    return {entry.path: entry for entry in found if isinstance(entry, RepoFile)}


def is_there(operation: CommitOperationAdd, there: Mapping[str, RepoFile]) -> bool:
    """Whether the branch has the operation's content at its path."""
    entry = there.get(operation.path_in_repo)
    if entry is None or entry.size != operation.upload_info.size:
        return False
    if entry.lfs is not None:
        return bool(entry.lfs.sha256 == operation.upload_info.sha256.hex())
    with operation.as_file() as file:
        content = file.read()  # a regular file: small
    git_object = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
    return bool(entry.blob_id == git_object.hexdigest())


def title(files: Collection[str]) -> str:
    """The commit's title when none is given."""
    return f"Upload {next(iter(files))}" if len(files) == 1 else f"Upload {len(files)} files"


class Stream(io.BufferedIOBase):
    """A file that tells how far it has been read, and is open only while it is.

    huggingface_hub sends open files over the LFS protocol, which needs nothing of the hub but HTTP; for
    paths it asks for Xet storage.
    """

    def __init__(self, source: Path, path: str, progress: Progress) -> None:
        self.source, self.path, self.progress = source, path, progress
        self.length = source.stat().st_size
        self.enter("hashing")

    def enter(self, stage: Stage) -> None:
        """Begin a stage: what is read from here on counts for it, once; a retry that reads again does not."""
        self.stage, self.furthest, self.position = stage, 0, 0
        self.file: BinaryIO | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.length}[whence]
        self.position = max(0, base + offset)
        return self.position

    def read(self, size: int | None = -1) -> bytes:
        if self.file is None:
            self.file = self.source.open("rb")
        self.file.seek(self.position)
        content = self.file.read(-1 if size is None else size)
        self.position += len(content)
        if self.position >= self.length or not content:
            self.file.close()
            self.file = None
        if self.position > self.furthest:
            self.progress(self.stage, self.path, self.position - self.furthest)
            self.furthest = self.position
        return content
