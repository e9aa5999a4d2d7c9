"""Git objects with their true ids: trees, commits, tags, and the ids of files. Knows no rights.

Source: dulwich encodes; git-lfs docs/spec.md for pointers.
"""

from __future__ import annotations

import codecs
import hashlib
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO

from dulwich.errors import ObjectFormatException
from dulwich.objects import Commit as GitCommit
from dulwich.objects import ObjectID, Tag, Tree
from sqlalchemy import select
from sqlalchemy.orm import Session

from modelcenter.errors import Invalid
from modelcenter.registry.blobs.interface import CHUNK, Blob
from modelcenter.registry.database import insert_missing
from modelcenter.registry.tables import GitObject, ObjectKind

FILE, FOLDER = 0o100644, stat.S_IFDIR
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
POINTER_BYTES = 200  # more than any pointer has
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\noid sha256:([0-9a-f]{64})\nsize (0|[1-9][0-9]{0,18})\n"
)
_LAST = 253_402_300_799  # the last second that a datetime holds
# What the messages of old commits are written in where it is not UTF-8.
_ENCODINGS = frozenset(
    {"gb2312", "gbk", "gb18030", "big5", "shift_jis", "euc_jp", "euc_kr", "iso8859-1", "iso8859-15", "cp1252"}
)


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of a tree: a file or a folder."""

    mode: int
    oid: str

    @property
    def is_folder(self) -> bool:
        """Whether `oid` is a tree."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        """Whether it is neither a folder nor a link."""
        return stat.S_ISREG(self.mode)


@dataclass(frozen=True, slots=True)
class Encoded:
    """An object ready to be kept: its id and its raw bytes."""

    kind: ObjectKind
    oid: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Written:
    """What a commit says. author: the name alone; moment: when it was committed."""

    tree: str
    parents: tuple[str, ...]
    author: str
    moment: datetime
    title: str
    message: str


@dataclass(frozen=True, slots=True)
class Tagged:
    """What an annotated tag says: of which object it is, and of which sort that is."""

    target: str
    kind: str


Items = Mapping[str, Item]


def file_oid(data: bytes) -> str:
    """The Git id of a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def sha256(data: bytes) -> str:
    """The address of `data` in the store."""
    return hashlib.sha256(data).hexdigest()


def stream_oid(stream: BinaryIO, size: int) -> str:
    """The Git id of a file of `size` bytes, read in pieces."""
    digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    while chunk := stream.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def pointer(sha256: str, size: int) -> bytes:
    """What Git keeps in place of a large file."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def read_pointer(data: bytes) -> Blob | None:
    """The large file that a pointer stands for, None where `data` is none, or not as Git LFS writes them."""
    match = _POINTER.fullmatch(data) if len(data) <= POINTER_BYTES else None
    return Blob(match[1].decode(), int(match[2])) if match else None


def encode_tree(items: Items) -> Encoded:
    """The tree of these entries, in Git's order."""
    tree = Tree()
    for name, item in items.items():
        tree.add(name.encode(), item.mode, ObjectID(item.oid.encode()))
    return Encoded("tree", tree.id.decode(), tree.as_raw_string())


def decode_tree(data: bytes) -> dict[str, Item]:
    """The entries of a tree."""
    tree = Tree.from_string(data)
    return {entry.path.decode(): Item(entry.mode, entry.sha.decode()) for entry in tree.iteritems()}


def encode_commit(tree: str, parents: Iterable[str], author: str, moment: datetime, message: str) -> Encoded:
    """A commit by `author` (`Name <address>`), in UTC to the second."""
    commit = GitCommit()
    commit.tree = ObjectID(tree.encode())
    commit.parents = [ObjectID(parent.encode()) for parent in parents]
    commit.author = commit.committer = author.encode()
    commit.author_time = commit.commit_time = int(moment.timestamp())
    commit.author_timezone = commit.commit_timezone = 0
    commit.message = message.encode()
    return Encoded("commit", commit.id.decode(), commit.as_raw_string())


def decode_commit(data: bytes) -> Written:
    """What a commit says, in text that both databases take. Raises Invalid for what is no commit."""
    try:
        commit = GitCommit.from_string(data)
        commit.check()
        moment = datetime.fromtimestamp(min(max(int(commit.commit_time), 0), _LAST), UTC)
    except (ObjectFormatException, ValueError, TypeError, AssertionError) as error:
        raise Invalid(f"A commit is malformed: {error}.") from None
    author = _decoded(commit.author.rpartition(b" <")[0] or commit.author, commit.encoding)
    title, _, message = _decoded(commit.message or b"", commit.encoding).strip().partition("\n")
    return Written(
        commit.tree.decode(),
        tuple(parent.decode() for parent in commit.parents),
        author.strip()[:300],
        moment,
        title.strip(),
        message.strip(),
    )


def decode_tag(data: bytes) -> Tagged:
    """What an annotated tag says. Raises Invalid for what is none."""
    try:
        tag = Tag.from_string(data)
        tag.check()
        kind, target = tag.object
    except (ObjectFormatException, ValueError, TypeError, AssertionError) as error:
        raise Invalid(f"A tag is malformed: {error}.") from None
    return Tagged(target.decode(), kind.type_name.decode())


def _decoded(text: bytes, encoding: bytes | None) -> str:
    """Text of a commit: UTF-8, else what the commit names, as far as it is readable."""
    try:
        found = text.decode()
    except UnicodeDecodeError:
        try:
            named = codecs.lookup((encoding or b"").decode("ascii", "replace")).name
        except LookupError:
            named = "utf-8"
        found = text.decode(named if named in _ENCODINGS else "utf-8", "replace")
    return found.replace("\0", "")


def encode_tag(name: str, commit: str, tagger: str, moment: datetime, message: str) -> Encoded:
    """An annotated tag of a commit."""
    tag = Tag()
    tag.name = name.encode()
    tag.object = (GitCommit, ObjectID(commit.encode()))
    tag.tagger = tagger.encode()
    tag.tag_time, tag.tag_timezone = int(moment.timestamp()), 0
    tag.message = message.encode()
    return Encoded("tag", tag.id.decode(), tag.as_raw_string())


def keep(session: Session, repository_id: int, objects: Iterable[Encoded]) -> None:
    """Keeps the objects that the repository has not yet."""
    rows = [
        {"repository_id": repository_id, "oid": encoded.oid, "kind": encoded.kind, "data": encoded.data}
        for encoded in sorted(objects, key=lambda encoded: encoded.oid)
    ]
    insert_missing(session, GitObject, rows)


def read(session: Session, repository_id: int, oids: Iterable[str]) -> dict[str, bytes]:
    """The raw bytes of objects of the repository, by id."""
    wanted = sorted(set(oids))
    found: dict[str, bytes] = {}
    for start in range(0, len(wanted), 1000):
        rows = session.execute(
            select(GitObject.oid, GitObject.data).where(
                GitObject.repository_id == repository_id, GitObject.oid.in_(wanted[start : start + 1000])
            )
        )
        found.update((oid, data) for oid, data in rows)
    return found


def trees(session: Session, repository_id: int, oids: Iterable[str]) -> dict[str, dict[str, Item]]:
    """The entries of trees of the repository, by the trees' ids: one query for all of them."""
    wanted = set(oids)
    found = {
        oid: decode_tree(data) for oid, data in read(session, repository_id, wanted - {EMPTY_TREE}).items()
    }
    return {**found, EMPTY_TREE: {}} if EMPTY_TREE in wanted else found
