"""A folder to a repository: what the hub lacks is sent as huggingface_hub does it, one commit names it all.

An interrupted upload is resumed by starting it again: what arrived is remembered, here and on the hub, and is
not sent a second time.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from modelcenter.checkpoint.files import LocalFiles
from modelcenter.client.telling import told
from modelcenter.errors import Invalid

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi, RepoFile

# What tools leave in a folder beside the model.
LEFT_OUT = (".git/*", ".cache/*", "*__pycache__/*", "*.DS_Store", "*.lock", ".ipynb_checkpoints/*")


@dataclass(frozen=True)
class Uploaded:
    """What an upload came to.

    commit, url: the branch's head afterwards, and its address.
    sent: the paths that the commit changed; `files` without them were in the branch already.
    sent_bytes: their sizes; of a large file only what this machine has not sent before travelled.
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
        try:
            operations = [CommitOperationAdd(path, source) for path, source in files.items()]
            changed = [operation for operation in operations if not is_there(operation, there)]
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
    return Uploaded(
        repository=name,
        commit=commit,
        url=f"{api.endpoint}/{name}/commit/{commit}",
        files=tuple(files),
        sent=tuple(operation.path_in_repo for operation in changed),
        sent_bytes=sum(operation.upload_info.size for operation in changed),
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
