"""Bundles: a repository in one file, for hubs that no network joins.

A bundle is a tar archive: `manifest.json` (what the repository is, its refs, and the size and SHA-256 of all
that follows), `manifest.sha256`, `objects.pack` (commits, trees, tags and regular files, as Git packs them),
and the large files as `blobs/SHA256`, in the manifest's order. Source of the layout: POSIX ustar, with GNU's
binary sizes above 8 GiB. Nothing in it names a place on a disk.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import IO, Any

from sqlalchemy.orm import Session

from modelcenter.errors import AlreadyExists, BlobDamaged, Invalid, NotFetched
from modelcenter.registry import activity, adopting, contents, lifecycle, revisions
from modelcenter.registry.access import Actor
from modelcenter.registry.blobs.interface import CHUNK, Blob, address
from modelcenter.registry.git import fetching, importing
from modelcenter.registry.git.packs import WHOLE_BYTES, Pack
from modelcenter.registry.hub import Hub
from modelcenter.registry.names import split_id
from modelcenter.registry.revisions import HEADS, TAGS
from modelcenter.registry.tables import AwaitedFile, Gate, Model, Repository

FORMAT = "modelcenter-bundle/1"
MANIFEST, CHECKSUM, PACK, BLOBS = "manifest.json", "manifest.sha256", "objects.pack", "blobs/"
MANIFEST_BYTES = 64 << 20
BLOCK = tarfile.BLOCKSIZE
_CHECKSUM_BYTES = 64

Progress = Callable[[int, int], None]  # (bytes done, of how many)


@dataclass(frozen=True, slots=True)
class Member:
    """A part of a bundle."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle holds. refs: branches and tags with the ids of their commits, or of annotated tags."""

    repository: str
    refs: Mapping[str, str]
    members: Sequence[Member]
    default_branch: str = "main"
    private: bool = False
    gated: Gate | None = None
    format: str = field(default=FORMAT)

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(member.size for member in self.members)

    @property
    def blobs(self) -> list[Blob]:
        """The large files."""
        return [Blob(member.sha256, member.size) for member in self.members if member.name.startswith(BLOBS)]


def write(
    hub: Hub, actor: Actor, repo_id: str, file: IO[bytes], progress: Progress = lambda done, total: None
) -> Manifest:
    """Writes the repository with all branches and tags to `file`, of which nothing is read back.

    Raises RepositoryNotFound, NotHosted, NotFetched, and BlobNotFound or BlobDamaged where the store has
    lost a file: what was written is then no bundle.
    """
    with tempfile.TemporaryFile() as packed:
        with hub.database.session() as session:
            repository = lifecycle.get(session, actor, repo_id)
            revisions.require_hosted(repository)
            found = [ref for ref in revisions.refs(session, repository) if ref.name.startswith((HEADS, TAGS))]
            refs = {ref.name: ref.tag or ref.target for ref in found}
            pack, oids = fetching.whole(hub, session, repository, list(refs.values()))
            stored = contents.known_files(session, repository.id, oids).values()
        for entry in stored:
            if isinstance(entry, AwaitedFile):
                raise NotFetched(repository.repo_id, entry.path)
        digest = hashlib.sha256()
        for chunk in pack:
            digest.update(chunk)
            packed.write(chunk)
        large = sorted({(entry.sha256, entry.size) for entry in stored if entry.is_lfs})
        manifest = Manifest(
            repository.repo_id,
            refs,
            [
                Member(PACK, packed.tell(), digest.hexdigest()),
                *(Member(f"{BLOBS}{sha256}", size, sha256) for sha256, size in large),
            ],
            repository.default_branch,
            repository.private,
            repository.gated,
        )
        text = json.dumps(asdict(manifest), ensure_ascii=False, indent=1).encode()
        _add(file, MANIFEST, len(text), [text])
        _add(file, CHECKSUM, _CHECKSUM_BYTES, [hashlib.sha256(text).hexdigest().encode()])
        packed.seek(0)
        _add(file, PACK, manifest.members[0].size, iter(lambda: packed.read(CHUNK), b""))
    done = manifest.members[0].size
    for blob in manifest.blobs:
        progress(done, manifest.size)
        _add(file, f"{BLOBS}{blob.sha256}", blob.size, _intact(hub, blob))
        done += blob.size
    file.write(bytes(2 * BLOCK))
    progress(done, manifest.size)
    return manifest


def read(
    hub: Hub,
    actor: Actor,
    file: IO[bytes],
    repo_id: str | None = None,
    *,
    force: bool = False,
    progress: Progress = lambda done, total: None,
) -> tuple[Repository, Manifest]:
    """Makes the bundle in `file`, which can be sought in, a repository: `repo_id`, by default as it was.

    Commits keep their ids. All of it is read and hashed before anything is kept. A repository that is here
    already gets what is new; its branches move forwards alone, unless with `force`.
    Raises Invalid, which names the part that is not as the manifest says, AlreadyExists, AccessDenied,
    NotAuthenticated, QuotaExceeded.
    """
    with tempfile.TemporaryFile() as packed:
        manifest = _verify(file, packed, progress)
        place = repo_id or manifest.repository
        namespace, name = split_id(place)
        with hub.database.session() as session:
            repository = lifecycle.find(session, place)
            adopting.require_place(actor, place, repository)
            # Where there is none yet, nothing is known of it: no repository has this id.
            known = repository or Repository(id=0, namespace=namespace, name=name)
            pack = Pack(packed, importing.outside(hub, known.id))
            tips = list(manifest.refs.values())
            arrival = importing.examine(hub, session, known, pack, tips, regular_max=WHOLE_BYTES)
        wanted = set(arrival.large.values())
        lacking = sorted(blob.sha256 for blob in wanted - set(manifest.blobs))
        if lacking:
            raise Invalid(f"The bundle has commits with the large file {lacking[0]}, but not its content.")
        file.seek(0)
        for member, stream in _parts(file):
            if member.name.startswith(BLOBS):
                blob = Blob(member.name.removeprefix(BLOBS), member.size)
                if blob in wanted:
                    hub.blobs.put(stream, sha256=blob.sha256, size=blob.size)
        files = importing.store(hub, pack, arrival)
        with hub.database.transaction() as session:
            repository = lifecycle.find(session, place) or _create(session, actor, namespace, name, manifest)
            if repository.is_linked:
                repository.default_branch = manifest.default_branch
                repository.private, repository.gated = manifest.private, manifest.gated
            adopting.adopt(session, actor, repository, manifest.refs, pack, arrival, files, force=force)
            return repository, manifest


def _create(session: Session, actor: Actor, namespace: str, name: str, manifest: Manifest) -> Repository:
    repository = lifecycle.insert(session, actor, namespace, name, private=manifest.private)
    if repository is None:
        raise AlreadyExists("Repository", f"{namespace}/{name}")
    repository.default_branch, repository.gated = manifest.default_branch, manifest.gated
    session.flush()
    session.add(Model(repository_id=repository.id))
    activity.record(session, actor, "repository.create", repository.repo_id, repository)
    return repository


def _verify(file: IO[bytes], packed: IO[bytes], progress: Progress) -> Manifest:
    """Reads the bundle once to its end and copies its pack. Raises Invalid."""
    parts = _parts(file)
    manifest = _manifest(parts)
    done = 0
    for expected in manifest.members:
        found = next(parts, None)
        if found is None:
            raise Invalid(f"The bundle ends before {expected.name}. It was cut short: carry it over again.")
        member, stream = found
        if (member.name, member.size) != (expected.name, expected.size):
            raise Invalid(
                f"The bundle has {member.name!r:.100} of {member.size} bytes where its manifest names "
                f"{expected.name} of {expected.size}."
            )
        digest = hashlib.sha256()
        for chunk in stream:
            digest.update(chunk)
            if expected.name == PACK:
                packed.write(chunk)
            done += len(chunk)
            progress(done, manifest.size)
        if digest.hexdigest() != expected.sha256:
            raise Invalid(
                f"{expected.name} in the bundle is damaged: its SHA-256 is {digest.hexdigest()}, expected "
                f"{expected.sha256}. Carry it over again."
            )
    if next(parts, None) is not None:
        raise Invalid("The bundle has more parts than its manifest names.")
    packed.flush()
    return manifest


def _manifest(parts: Iterator[tuple[tarfile.TarInfo, Iterator[bytes]]]) -> Manifest:
    """The manifest, which comes first. Raises Invalid."""
    texts = []
    for name, most in ((MANIFEST, MANIFEST_BYTES), (CHECKSUM, _CHECKSUM_BYTES)):
        member, stream = next(parts, (None, None))
        if member is None or stream is None or member.name != name or member.size > most:
            raise Invalid(f"This is no bundle of a repository: expected {name} at its beginning.")
        texts.append(b"".join(stream))
    text, checksum = texts
    if hashlib.sha256(text).hexdigest().encode() != checksum:
        raise Invalid(f"{MANIFEST} in the bundle is damaged: its SHA-256 is not {CHECKSUM}'s.")
    try:
        manifest = _decoded(json.loads(text))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Invalid(f"{MANIFEST} in the bundle is malformed: {error!s:.200}.") from error
    adopting.check_refs(manifest.refs)
    return manifest


def _decoded(found: Any) -> Manifest:
    """The manifest that JSON says. Raises ValueError, TypeError, KeyError, Invalid."""
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ValueError(f"its format is not {FORMAT}: a bundle of a newer ModelCenter takes a newer one")
    members = [Member(**member) for member in found["members"]]
    refs = dict(found["refs"])
    branch = found["default_branch"]
    strings = [found["repository"], branch, *refs, *refs.values()]
    if not all(isinstance(text, str) for text in strings) or not isinstance(found["private"], bool):
        raise ValueError("a name, a ref or `private` is of the wrong type")
    if found["gated"] not in (None, "auto", "manual"):
        raise ValueError(f"gated is {found['gated']!r:.50}")
    if f"{HEADS}{branch}" not in refs:
        raise ValueError(f"it has no branch {branch!r:.100}, which it calls the default one")
    if not all(revisions.is_full_id(oid) for oid in refs.values()):
        raise ValueError("a ref is at what is no commit's id")
    for number, member in enumerate(members):
        if not isinstance(member.size, int) or member.size < 0:
            raise ValueError(f"{member.name!r:.100} has the size {member.size!r:.30}")
        expected = f"{BLOBS}{address(member.sha256)}" if number else PACK
        if member.name != expected:
            raise ValueError(f"it names {member.name!r:.100} where {expected} belongs")
    if not members:
        raise ValueError(f"it names no {PACK}")
    return Manifest(
        found["repository"], refs, members, branch, found["private"], found["gated"], found["format"]
    )


def _parts(file: IO[bytes]) -> Iterator[tuple[tarfile.TarInfo, Iterator[bytes]]]:
    """The members of the archive with their bytes, in order. Raises Invalid where it is cut or no archive.

    Regular files alone, headed by one block each: there is nothing here that could ask for memory or a path.
    """
    last = "its beginning"
    while True:
        head = file.read(BLOCK)
        if head == bytes(BLOCK):
            # An archive ends with two of them.
            if file.read(BLOCK) != bytes(BLOCK) or file.read(1):
                raise Invalid(f"The bundle is damaged after {last}: it does not end where its parts do.")
            return
        try:
            member = tarfile.TarInfo.frombuf(head, "ascii", "strict")
        except (tarfile.HeaderError, UnicodeDecodeError) as error:
            raise Invalid(f"The bundle is damaged or cut short after {last}: {error!s:.100}.") from error
        if member.type != tarfile.REGTYPE:
            raise Invalid(f"The bundle has {member.name!r:.100}, which is no regular file.")
        last = repr(member.name)[:100]
        stream = _content(file, member)
        yield member, stream
        for _ in stream:  # what was not wanted
            pass
        if any(file.read(-member.size % BLOCK)):
            raise Invalid(f"The bundle is damaged after {last}: its padding is not empty.")


def _content(file: IO[bytes], member: tarfile.TarInfo) -> Iterator[bytes]:
    left = member.size
    while left:
        chunk = file.read(min(CHUNK, left))
        if not chunk:
            raise Invalid(
                f"The bundle is cut short in {member.name!r:.100}: {left} of {member.size} bytes are missing."
            )
        left -= len(chunk)
        yield chunk


def _add(file: IO[bytes], name: str, size: int, chunks: Iterable[bytes]) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    file.write(member.tobuf(tarfile.GNU_FORMAT, "ascii", "strict"))
    for chunk in chunks:
        file.write(chunk)
    file.write(bytes(-size % BLOCK))


def _intact(hub: Hub, blob: Blob) -> Iterator[bytes]:
    """The bytes of a large file. Raises BlobDamaged at their end if they are not what they were."""
    digest, size = hashlib.sha256(), 0
    with hub.blobs.open(blob.sha256) as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
            yield chunk
    if (digest.hexdigest(), size) != (blob.sha256, blob.size):
        raise BlobDamaged(blob.sha256, "is not what it was when it came")
