"""What an upstream without Git has, as one commit of ours: the pack that Git would have sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import IO

from modelcenter.errors import TooLarge
from modelcenter.registry import objects
from modelcenter.registry.contents import known_files
from modelcenter.registry.git import packs
from modelcenter.registry.git.packs import WHOLE_BYTES, Kind
from modelcenter.registry.history import ADDRESS
from modelcenter.registry.hub import Hub
from modelcenter.registry.objects import FILE, Item
from modelcenter.registry.tables import Commit, Repository, now
from modelcenter.registry.trees import Folder
from modelcenter.registry.upstream import Described, Listed, Upstream

AUTHOR = f"mirror <mirror@{ADDRESS}>"


def write(
    hub: Hub,
    upstream: Upstream,
    described: Described,
    repository: Repository,
    before: str | None,
    pack: IO[bytes],
) -> str:
    """The id of a commit, after `before`, of the files that the upstream has at a commit of its own.

    To `pack` goes what is new of it, of large files the pointers: nothing, and the id is `before`, where the
    files are the same. Raises Invalid for paths that cannot be, TooLarge, and what the upstream answers.
    """
    root, listed = Folder(lambda oid: {}), dict[str, Listed]()
    for file in upstream.files(described.repo_id, described.commit):
        if not file.sha256 and file.size > WHOLE_BYTES:
            raise TooLarge(
                f"{file.path} has {file.size} bytes and is no large file there; "
                f"at most {WHOLE_BYTES} are taken."
            )
        oid = objects.file_oid(_pointer(file)) if file.sha256 else file.oid
        listed[oid] = file
        root.put(file.path, Item(FILE, oid))
    tree, trees = root.write()
    with hub.database.session() as session:
        known = known_files(session, repository.id, listed)
        parent = session.get(Commit, (repository.id, before)) if before else None
    if parent is not None and parent.tree == tree:
        return parent.oid
    title = f"Mirror {described.repo_id} at {described.commit}"
    parents = [parent.oid] if parent is not None else []
    commit = objects.encode_commit(tree, parents, AUTHOR, now().replace(microsecond=0), title)
    encoded = {each.oid: each for each in (*trees, commit)}
    new = [file for oid, file in listed.items() if oid not in known]

    def sent() -> Iterator[tuple[Kind, int, Iterable[bytes]]]:
        for each in encoded.values():
            yield each.kind, len(each.data), (each.data,)
        for file in new:
            place = (described.repo_id, described.commit, file.path)
            content = _pointer(file) if file.sha256 else b"".join(upstream.read(*place, 0, file.size))
            yield "blob", len(content), (content,)

    for chunk in packs.parts(sent(), len(encoded) + len(new)):
        pack.write(chunk)
    return commit.oid


def _pointer(file: Listed) -> bytes:
    return objects.pointer(file.sha256 or "", file.size)
