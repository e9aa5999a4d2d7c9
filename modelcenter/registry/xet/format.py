"""Xet's formats: xorbs (packs of compressed chunks), shards (recipes of files), and their hashes.

Written after the public specification, https://huggingface.co/docs/xet, version 1.1. Integers are
little-endian. Knows bytes; knows no repositories.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import lz4.frame
from blake3 import blake3

from modelcenter.errors import Invalid, TooLarge
from modelcenter.registry.blobs.interface import Readable

HASH: Final = 32  # bytes of a hash
CHUNK_BYTES: Final = 256 * 1024  # of a chunk, raw: clients cut at 128 KiB
XORB_CHUNKS: Final = 16_384  # clients pack at most 8,192
XORB_BYTES: Final = 65 << 20  # as it travels: 64 MiB of chunks, and their headers
XORB_RAW_BYTES: Final = 128 << 20  # unpacked: clients pack at most 64 MiB
SHARD_BYTES: Final = 64 << 20
FILE_BYTES: Final = 10**12  # of one file: a shard of a few bytes may ask for any number

_CHUNK = struct.Struct("<B3sB3s")  # version, stored length, scheme, raw length
_FOOTER = b"XETBLOB"
_SHARD = struct.Struct("<32sQQ")  # tag, version, length of the footer
_SHARD_TAG = b"HFRepoMetaData\0" + bytes.fromhex("556967456a7b815783a5bdd95ccdd14aa9")
_FILE = struct.Struct("<32sII8x")  # hash, flags, number of terms
_TERM = struct.Struct("<32s4xIII")  # xorb, raw bytes, first chunk, chunk after the last
_ENTRY = 48  # bytes of each of a shard's entries
_END = b"\xff" * HASH
_HAS_VERIFICATION, _HAS_SHA256 = 1 << 31, 1 << 30

# The keys that tell the kinds of hashes apart, from the specification.
_DATA = bytes.fromhex("6697f5775b9550de3135cbaca597181c9de421109beb2b58b4d0b04b93adf229")
_NODE = bytes.fromhex("017ec5c7a5472996fd946666b48a02e65ddd536f37c76dd2f86352e64a53713f")
_FILE_KEY = bytes(HASH)
_BRANCHING, _MOST_BRANCHES = 4, 9


def text_of(raw: bytes) -> str:
    """A hash as the protocol prints it: four 64-bit numbers, 16 hexadecimal digits each."""
    return "".join(f"{number:016x}" for number in struct.unpack("<4Q", raw))


def hash_of(text: str) -> bytes:
    """The hash that was printed so. Raises Invalid."""
    if len(text) != 2 * HASH or set(text) - set("0123456789abcdef"):
        raise Invalid(f"{text!r:.100} is no Xet hash: expected 64 lower-case hexadecimal digits.")
    return struct.pack("<4Q", *(int(text[start : start + 16], 16) for start in range(0, 64, 16)))


def chunk_hash(data: bytes) -> bytes:
    """The hash of a chunk's raw bytes."""
    return blake3(data, key=_DATA).digest()


class Merkle:
    """The hash of a sequence of chunks: the root of a tree whose nodes have 2 to 9 children, 4 on average.

    Chunks are added one by one and forgotten, so that the length of a file does not matter.
    """

    def __init__(self) -> None:
        self._levels: list[_Level] = []

    def add(self, chunk: bytes, length: int) -> None:
        """Continues the sequence by a chunk of that hash and raw length."""
        self._add(0, chunk, length)

    def root(self) -> bytes:
        """The xorb that these chunks make; all zeros for none. Ends the sequence."""
        level = 0
        while level < len(self._levels):
            here = self._levels[level]
            if here.count == 1:
                return here.children[0][0]
            self._close(level)
            level += 1
        return bytes(HASH)

    def file(self) -> bytes:
        """The file that these chunks make; all zeros for none. Ends the sequence."""
        root = self.root()
        return blake3(root, key=_FILE_KEY).digest() if self._levels else root

    def _add(self, level: int, node: bytes, length: int) -> None:
        if level == len(self._levels):
            self._levels.append(_Level())
        here = self._levels[level]
        here.children.append((node, length))
        here.count += 1
        # The 64-bit number at its end decides where a group of children ends; its lowest byte comes first.
        ends = len(here.children) > 2 and node[24] % _BRANCHING == 0
        if ends or len(here.children) == _MOST_BRANCHES:
            self._close(level)

    def _close(self, level: int) -> None:
        children = self._levels[level].children
        if not children:
            return
        said = "".join(f"{text_of(node)} : {length}\n" for node, length in children)
        total = sum(length for _, length in children)
        children.clear()
        self._add(level + 1, blake3(said.encode(), key=_NODE).digest(), total)


@dataclass(slots=True)
class _Level:
    children: list[tuple[bytes, int]] = field(default_factory=list)
    count: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk in its xorb: the lengths of its raw bytes, and of its stored ones with their header."""

    hash: bytes
    raw: int
    stored: int


class ChunkTable:
    """The chunks of a xorb as the registry keeps them: 40 bytes each."""

    _ROW = struct.Struct("<32sII")

    def __init__(self, packed: bytes | bytearray = b"") -> None:
        self.packed = packed

    def __len__(self) -> int:
        return len(self.packed) // self._ROW.size

    def append(self, chunk: Chunk) -> None:
        """Adds a chunk at the end."""
        self.packed += self._ROW.pack(chunk.hash, chunk.raw, chunk.stored)

    def chunks(self, start: int, stop: int) -> Iterator[Chunk]:
        """Chunks `start` to `stop` (excluded)."""
        rows = memoryview(self.packed)[start * self._ROW.size : stop * self._ROW.size]
        return (Chunk(*row) for row in self._ROW.iter_unpack(rows))


class Incoming:
    """A xorb on its way in: iterating passes its chunks on, each checked against its hash and lengths.

    At the end `table` has the chunks, and the whole has the hash that its sender said. Raises Invalid or
    TooLarge where something is not as it should be; bytes passed on before that are to be thrown away. A
    footer, which would repeat what the chunks say, is left out.
    """

    def __init__(self, stream: Readable, name: str) -> None:
        self.stream, self.name, self.wanted = stream, name, hash_of(name)
        self.table = ChunkTable(bytearray())

    def __iter__(self) -> Iterator[bytes]:
        merkle, stored, raw = Merkle(), 0, 0
        while header := self._read(_CHUNK.size):
            if header.startswith(_FOOTER):
                self._skip(XORB_BYTES - stored)
                break
            length, scheme, unpacked = self._lengths(header)
            data = self._read(length)
            if len(data) != length:
                raise self._wrong(f"ends within chunk {len(self.table)}")
            content = unpack(data, scheme, unpacked)
            chunk = Chunk(chunk_hash(content), unpacked, _CHUNK.size + length)
            stored, raw = stored + chunk.stored, raw + unpacked
            if len(self.table) == XORB_CHUNKS or stored > XORB_BYTES or raw > XORB_RAW_BYTES:
                raise TooLarge(
                    f"Xorb {self.name} is too large: expected at most {XORB_CHUNKS} chunks, "
                    f"{XORB_BYTES} bytes packed and {XORB_RAW_BYTES} unpacked. Send smaller ones."
                )
            self.table.append(chunk)
            merkle.add(chunk.hash, unpacked)
            yield header + data
        if not len(self.table):
            raise self._wrong("has no chunks")
        found = merkle.root()
        if found != self.wanted:
            raise self._wrong(f"has the hash {text_of(found)}")

    def _lengths(self, header: bytes) -> tuple[int, int, int]:
        """Packed length, scheme and raw length of the next chunk."""
        if len(header) != _CHUNK.size:
            raise self._wrong(f"ends within the header of chunk {len(self.table)}")
        version, stored, scheme, raw = _CHUNK.unpack(header)
        length, unpacked = int.from_bytes(stored, "little"), int.from_bytes(raw, "little")
        if version != 0:
            raise self._wrong(f"has a chunk of version {version}, expected 0")
        if not 0 < unpacked <= CHUNK_BYTES or not 0 < length <= CHUNK_BYTES:
            raise self._wrong(
                f"says that chunk {len(self.table)} has {length} bytes packed and {unpacked} unpacked; "
                f"expected 1 to {CHUNK_BYTES}"
            )
        return length, scheme, unpacked

    def _read(self, length: int) -> bytes:
        return _exactly(self.stream, length)

    def _skip(self, most: int) -> None:
        while most > 0 and (read := self.stream.read(1 << 16)):
            most -= len(read)

    def _wrong(self, found: str) -> Invalid:
        return Invalid(f"Xorb {self.name} {found}: nothing was kept. Send it again.")


def unpack(data: bytes, scheme: int, length: int) -> bytes:
    """The raw bytes of a chunk. Raises Invalid unless they are exactly `length`; never makes more of them."""
    if scheme == 0:
        content = data
    elif scheme in (1, 2):
        try:
            frame = lz4.frame.LZ4FrameDecompressor()
            content = frame.decompress(data, max_length=length + 1)
        except (RuntimeError, EOFError) as error:
            raise Invalid("A chunk is no LZ4 frame. Send its xorb again.") from error
        if not frame.eof or frame.unused_data:
            raise Invalid(f"A chunk is not exactly one LZ4 frame of {length} bytes. Send its xorb again.")
        if scheme == 2:
            content = ungrouped(content)
    else:
        raise Invalid(f"A chunk is packed by scheme {scheme}; expected 0 (not), 1 (LZ4) or 2 (grouped LZ4).")
    if len(content) != length:
        raise Invalid(f"A chunk unpacks to {len(content)} bytes, announced were {length}.")
    return content


def unpack_stored(stored: bytes, length: int) -> bytes:
    """The raw bytes of a chunk that was kept with its header."""
    return unpack(stored[_CHUNK.size :], stored[4], length)


def ungrouped(grouped: bytes) -> bytes:
    """Bytes in their order, from all first ones of each four, then all second ones, and so on."""
    content, start = bytearray(len(grouped)), 0
    for position in range(4):
        count = len(range(position, len(grouped), 4))
        content[position::4] = grouped[start : start + count]
        start += count
    return bytes(content)


@dataclass(frozen=True, slots=True)
class Term:
    """Chunks `start` to `stop` (excluded) of a xorb, `size` raw bytes of a file."""

    xorb: str
    start: int
    stop: int
    size: int


@dataclass(frozen=True, slots=True)
class Recipe:
    """A file of a shard: its Xet hash, SHA-256, size, and from which chunks it is put together."""

    hash: bytes
    sha256: str
    size: int
    packed: bytes = field(repr=False)

    def terms(self) -> Iterator[Term]:
        """The terms, in order."""
        for xorb, size, start, stop in _TERM.iter_unpack(self.packed):
            yield Term(text_of(xorb), start, stop, size)


def read_shard(stream: Readable) -> Iterator[Recipe]:
    """The files of a shard, one at a time. Raises Invalid.

    What follows them tells of the xorbs that were sent with it; we know them from their own bytes.
    """
    tag, version, _ = _SHARD.unpack(_entry(stream))
    if tag != _SHARD_TAG or version != 2:
        raise Invalid("The body is no Xet shard of version 2.")
    while not (header := _entry(stream)).startswith(_END):
        name, flags, count = _FILE.unpack(header)
        if count * _TERM.size > SHARD_BYTES:
            raise Invalid(f"The shard says that a file has {count} terms; it has no room for them.")
        packed = _exactly(stream, count * _TERM.size)
        if len(packed) != count * _TERM.size:
            raise _cut_off()
        if flags & _HAS_VERIFICATION:
            for _ in range(count):  # proofs that the sender knows the chunks: who may refer is ours to say
                _entry(stream)
        if not flags & _HAS_SHA256:
            raise Invalid(f"File {text_of(name)} of the shard has no SHA-256: a model's files need one.")
        sha256 = text_of(_entry(stream)[:HASH])  # written the same way as Xet's own hashes
        size = sum(size for _, size, _, _ in _TERM.iter_unpack(packed))
        if size > FILE_BYTES:
            raise TooLarge(f"File {sha256} has {size} bytes; expected at most {FILE_BYTES}.")
        yield Recipe(name, sha256, size, packed)


def _entry(stream: Readable) -> bytes:
    entry = _exactly(stream, _ENTRY)
    if len(entry) != _ENTRY:
        raise _cut_off()
    return entry


def _cut_off() -> Invalid:
    return Invalid("The shard ends before its files do. Was the request cut off?")


def _exactly(stream: Readable, length: int) -> bytes:
    """The next `length` bytes; fewer only at the end."""
    data = stream.read(length)
    if len(data) in (0, length):
        return data
    whole = io.BytesIO()
    whole.write(data)
    while whole.tell() < length and (data := stream.read(length - whole.tell())):
        whole.write(data)
    return whole.getvalue()
