"""A model's name to a folder with its files: a local one as it is, else what a loader needs from the hub.

What is fetched, in two steps, because the second is known from the first:

    config.json, generation_config.json, tokenizer files, modules.json, *.index.json, …   small
    the weights in one format: safetensors where there are any, else pickles               large
    of each folder that modules.json names: config.json, and its weights in one format

Never the same weights in three formats, no images, no ONNX, no training state.
"""

from __future__ import annotations

import glob
import logging
import os
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelcenter.checkpoint.files import Files, LocalFiles
from modelcenter.checkpoint.index import read_index
from modelcenter.checkpoint.sentence import module_folders
from modelcenter.checkpoint.source import CANDIDATES, CONFIGS
from modelcenter.client import logins
from modelcenter.client.remote import RemoteFiles
from modelcenter.client.telling import told
from modelcenter.client.withdrawn import warn_if_withdrawn
from modelcenter.errors import CheckpointNotFound, Invalid, NotCached, listed

if TYPE_CHECKING:
    from huggingface_hub import HfApi, ResolvedRevision
    from huggingface_hub.utils.tqdm import tqdm

logger = logging.getLogger(__name__)

# What says how the model is built and how its text is cut; none of it is large.
SMALL = (
    *CONFIGS,
    "generation_config.json",
    "tokenizer*.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab*.json",
    "vocab*.txt",
    "merges.txt",
    "*.tiktoken",
    "spiece.model",
    "tokenizer*.model",
    "sentencepiece*.model",
    "*.spm.model",
    "spm.model",
    "vocab.model",
    "cog-pretrain.model",
    "ice_text.model",
    "chat_template*",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "*.index.json",
)


def is_local(name: str | os.PathLike[str]) -> bool:
    """Whether `name` is a folder here rather than a name on the hub."""
    if not isinstance(name, str):
        return True
    return (
        name in (".", "..", "~")
        or name.startswith(("./", "../", "/", "~/"))
        or any((Path(name) / config).is_file() for config in CONFIGS)
    )


def locate(
    name: str | os.PathLike[str],
    *,
    revision: str | None = None,
    endpoint: str | None = None,
    token: str | None = None,
    local_files_only: bool = False,
) -> Path:
    """The folder with the files of `name` that a loader needs.

    `./x`, `/x` or a folder with a config.json is local; anything else is a name on the hub, whose files come
    into a cache folder per hub. With `local_files_only` nothing is asked of the hub. Raises EndpointMissing,
    HubUnreachable, RepositoryNotFound, RevisionNotFound, NotCached; warns with RevisionWithdrawn.
    """
    if is_local(name):
        folder = Path(name).expanduser()
        if not folder.is_dir():
            raise Invalid(f"{name} is no folder. A model on the hub is named OWNER/NAME.")
        if revision is not None:
            raise Invalid(f"{name} is a folder and has no revision {revision}; only models on a hub have.")
        return folder
    place = logins.endpoint(endpoint)
    token = logins.token(token, place)
    if not local_files_only:
        warn_if_withdrawn(place, token, str(name), revision)
    with told(place, str(name), revision):
        return Snapshot.at(str(name), revision, place, token, local_files_only).folder()


def apart(
    name: str | os.PathLike[str],
    *,
    revision: str | None = None,
    endpoint: str | None = None,
    token: str | None = None,
    local_files_only: bool = False,
) -> tuple[RemoteFiles, Path]:
    """The files of `name` on its hub, to be read there, and a folder with the small ones of the same commit.

    Raises Invalid for a folder and for `local_files_only`, else as `locate`.
    """
    if is_local(name):
        raise Invalid(f"{name} is a folder: only models on a hub are streamed. Load it without stream.")
    if local_files_only:
        raise Invalid(f"{name} cannot be streamed without asking its hub. Load it without stream.")
    place = logins.endpoint(endpoint)
    token = logins.token(token, place)
    warn_if_withdrawn(place, token, str(name), revision)
    with told(place, str(name), revision):
        snapshot = Snapshot.at(str(name), revision, place, token, False)
        return RemoteFiles(str(name), snapshot.commit.resolved, place, token, warns=False), snapshot.apart()


@dataclass(frozen=True)
class Snapshot:
    """A commit of a hub's model in the cache, whole or on its way."""

    api: HfApi
    name: str
    commit: ResolvedRevision
    cache: Path | None
    local_files_only: bool

    @classmethod
    def at(
        cls, name: str, revision: str | None, endpoint: str, token: str | None, local_files_only: bool
    ) -> Snapshot:
        """The commit that `revision` is now; with the hub out of reach the one seen last, and a warning."""
        from huggingface_hub import HfApi
        from huggingface_hub.errors import RevisionResolutionError

        # False: without a token of this hub's, huggingface_hub shall not send one of another's.
        api = HfApi(endpoint=endpoint, token=token or False, library_name="modelcenter")
        cache = logins.cache_folder(endpoint)
        try:
            commit = api.resolve_revision(
                name, revision=revision, cache_dir=cache, local_files_only=local_files_only
            )
        except RevisionResolutionError as error:
            if error.__cause__ is None:
                raise NotCached(name, revision or "main", cache or "the shared cache") from error
            raise
        return cls(api, name, commit, cache, local_files_only)

    def folder(self) -> Path:
        """The snapshot's folder, once all that a loader needs is in it."""
        folder, names, small = self.small()
        files = LocalFiles(folder)
        needed = [*small, *weights(files, names), *modules(files, names)]
        if (whole := self.cached(needed)) is not None:
            return whole
        self.tell(needed)
        return self.take([glob.escape(name) for name in needed])

    def apart(self) -> Path:
        """The snapshot's folder, once all is in it that a loader needs beside the weights."""
        folder, names, small = self.small()
        needed = [*small, *modules(LocalFiles(folder), names)]
        return self.cached(needed) or self.take([glob.escape(name) for name in needed], quietly=True)

    def small(self) -> tuple[Path, Collection[str], list[str]]:
        """The snapshot's folder with the small files in it, the names of all files, those of the small."""
        names = self.names() or self.names(self.take(SMALL, quietly=True))
        small = [name for name in names if any(fnmatch(name, pattern) for pattern in SMALL)]
        if not small:
            raise CheckpointNotFound(self.name, ["config.json"])
        folder = self.cached(small) or self.take([glob.escape(name) for name in small], quietly=True)
        return folder, names, small

    def names(self, folder: Path | None = None) -> Collection[str]:
        """The commit's files as the cache knows them; without a listing those in `folder`, else none."""
        return self.sizes() or (LocalFiles(folder).names() if folder else ())

    def sizes(self) -> Mapping[str, int]:
        """The commit's files with their bytes; nothing where the cache has no listing."""
        from huggingface_hub import RepoFile, get_cached_repo_tree
        from huggingface_hub.errors import CachedRepoTreeNotFoundError

        try:
            entries = get_cached_repo_tree(self.name, revision=self.commit, cache_dir=self.cache)
        except CachedRepoTreeNotFoundError:
            return {}
        return {entry.path: entry.size if isinstance(entry, RepoFile) else 0 for entry in entries}

    def tell(self, needed: Collection[str]) -> None:
        """Says what is about to be fetched, to people who look, and what is left."""
        sizes = self.sizes()
        missing = {name: sizes[name] for name in needed if name in sizes and self.cached([name]) is None}
        sentence = f"{self.name}: {Taking(missing, unneeded(sizes, needed))}"
        logger.info(sentence)
        if missing and sys.stderr.isatty():
            print(sentence, file=sys.stderr)

    def cached(self, names: Collection[str]) -> Path | None:
        """The snapshot's folder when all of `names` are in it."""
        from huggingface_hub import try_to_load_from_cache

        root = None
        for name in names:
            path = try_to_load_from_cache(
                self.name, name, revision=self.commit.resolved, cache_dir=self.cache
            )
            if not isinstance(path, str):
                return None
            root = Path(path.removesuffix(name))
        return root

    def take(self, patterns: Collection[str], *, quietly: bool = False) -> Path:
        """The snapshot's folder with the files that match, fetched where they are missing."""
        from huggingface_hub.errors import IncompleteSnapshotError, LocalEntryNotFoundError

        logger.info("Taking %s of %s at %s", ", ".join(patterns), self.name, self.commit.resolved)
        try:
            return Path(
                self.api.snapshot_download(
                    self.name,
                    revision=self.commit,
                    cache_dir=self.cache,
                    allow_patterns=list(patterns),
                    local_files_only=self.local_files_only,
                    tqdm_class=no_bar() if quietly else None,
                )
            )
        except (IncompleteSnapshotError, LocalEntryNotFoundError) as error:
            if self.local_files_only:
                raise NotCached(self.name, str(self.commit), self.cache or "the shared cache") from error
            raise


def no_bar() -> type[tqdm]:
    """A progress bar that is not drawn: small files are there before anyone has read it."""
    from huggingface_hub.utils.tqdm import tqdm

    class NoBar(tqdm):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **{**options, "disable": True})  # type: ignore[no-untyped-call]

    return NoBar


# The same weights once more, for other programs, and what training goes on from.
OTHER_FORMS = (
    "*.safetensors",
    "*.safetensors.index.json",
    "*pytorch_model*.bin",
    "*pytorch_model*.pt",
    "*pytorch_model*.bin.index.json",
    "*tf_model*.h5",
    "*flax_model*.msgpack",
    "*.onnx",
    "*.onnx_data*",
    "*.gguf",
    "*.ot",
    "*.ckpt*",
    "*.tflite",
    "*.mlmodel",
    "*.mlpackage/*",
    "openvino_model*",
    "consolidated*.pth",
    "*optimizer*.pt",
    "*optimizer*.bin",
    "*scheduler.pt",
    "*rng_state*.pth",
)


@dataclass(frozen=True)
class Taking:
    """What a download fetches and what it leaves, with their bytes."""

    taken: Mapping[str, int]
    left: Mapping[str, int]

    def __str__(self) -> str:
        sentence = f"taking {counted(self.taken)}"
        if self.left:
            sentence += f"; leaving {counted(self.left)}, weights in other forms ({listed(self.left, 3)})"
        return f"{sentence}."


def counted(files: Mapping[str, int]) -> str:
    """How many files, of how many bytes."""
    size = sum(files.values())
    shown = (
        f"{size / 10**9:.2f} GB"
        if size >= 10**9
        else f"{size / 10**6:.1f} MB"
        if size >= 10**6
        else f"{size:,} bytes"
    )
    return f"{len(files)} {'file' if len(files) == 1 else 'files'} ({shown})"


def taking(files: Files) -> Taking:
    """Of a revision all files but the weights that a loader does not read.

    Where none are found that it reads, nothing is left.
    """
    sizes = {name: files.size(name) for name in files.names()}
    needed = weights(files, sizes)
    left = unneeded(sizes, [*needed, *modules(files, sizes)]) if needed else {}
    return Taking({name: size for name, size in sizes.items() if name not in left}, left)


def unneeded(sizes: Mapping[str, int], needed: Collection[str]) -> dict[str, int]:
    """The files that have the weights once more; their index goes with them."""
    return {
        name: size
        for name, size in sizes.items()
        if name not in needed and any(fnmatch(name, pattern) for pattern in OTHER_FORMS)
    }


def weights(files: Files, names: Collection[str]) -> list[str]:
    """The weight files to take, of those that a commit has; its index files are in `files` already.

    A sharded checkpoint says in its index which files are its own: others that look alike are left.
    """
    for first, _ in CANDIDATES:
        if first in names:
            if not first.endswith(".index.json"):
                return [first]
            weight_map, _ = read_index(files, first)
            return sorted({shard for shard in weight_map.values() if shard in names})
    return []


def modules(files: Files, names: Collection[str]) -> list[str]:
    """The files to take of sentence-transformers' modules, whose list is in `files` already.

    Of each that has a folder of its own these are its config.json, and its weights in one format.
    """
    one_file = [first for first, _ in CANDIDATES if not first.endswith(".index.json")]
    needed = []
    for module in module_folders(files):
        here = [f"{module}/{name}" for name in one_file if f"{module}/{name}" in names]
        needed += [name for name in (f"{module}/config.json", *here[:1]) if name in names]
    return needed
