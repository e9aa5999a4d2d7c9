"""Packs: one that arrived, indexed in a temporary file and read by the object; and the parts of a new one.

Memory holds two objects, a cache of fixed size and the index, whatever is sent. Knows no rights.
Source: git's Documentation/gitformat-pack.txt; dulwich applies the deltas.
"""

from __future__ import annotations

import hashlib
import zlib
from array import array
from bisect import bisect_left
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import count
from typing import IO, Literal

from dulwich.errors import ApplyDeltaError
from dulwich.object_format import SHA1
from dulwich.pack import apply_delta, pack_object_header

from modelcenter.errors import Invalid, TooLarge
from modelcenter.registry.blobs.interface import CHUNK, Readable

PACK_BYTES = 4 << 30  # of a pack as it is sent
OBJECTS = 500_000  # in one pack
WHOLE_BYTES = 32 << 20  # of an object that is taken apart in memory: all but large files
UNPACKED_BYTES = 64 << 30  # of all objects of a pack together
HELD_BYTES = 48 << 20  # of objects kept at hand
INFLATED = 1 << 16  # bytes inflated at once
AHEAD = 1 << 13  # bytes read at once: what is left of them is copied for each object
BEGINNING = 32  # bytes that hold both sizes with which a delta begins

Kind = Literal["commit", "tree", "blob", "tag"]
Outside = Callable[[Collection[str]], Iterable[tuple[str, Kind, bytes]]]
_KINDS: dict[int, Kind] = {1: "commit", 2: "tree", 3: "blob", 4: "tag"}
_NUMBERS: dict[Kind, int] = {kind: number for number, kind in _KINDS.items()}
_OFFSET_DELTA, _REF_DELTA = 6, 7


class Pack:
    """The objects of a pack in `file`, by their ids, which were computed from their bytes.

    outside: reads objects that a thin pack builds on and does not bring. Raises Invalid for a pack that is
    damaged or not complete, TooLarge for one beyond the limits above.
    """

    def __init__(self, file: IO[bytes], outside: Outside) -> None:
        self._file = file
        self._kinds = bytearray()  # 0 until known
        self._offsets, self._sizes = array("Q"), array("Q")  # of the deflated bytes; of the object
        self._bases = array("q")  # the entry that a delta builds on, -1 for whole objects
        self._places: dict[bytes, int] = {}  # by id
        self._held: OrderedDict[int, bytes] = OrderedDict()
        self._held_bytes = 0
        self._index(outside)

    def __contains__(self, oid: str) -> bool:
        return bytes.fromhex(oid) in self._places

    def kind(self, oid: str) -> Kind | None:
        """What sort of object `oid` is; None where the pack does not have it."""
        place = self._places.get(bytes.fromhex(oid))
        return None if place is None else _KINDS[self._kinds[place]]

    def size(self, oid: str) -> int:
        """The bytes of an object that the pack has."""
        return self._sizes[self._places[bytes.fromhex(oid)]]

    def read(self, oid: str) -> bytes:
        """The bytes of an object that the pack has, of at most WHOLE_BYTES."""
        return self._read(self._places[bytes.fromhex(oid)])

    def of_kind(self, kind: Kind) -> Iterator[str]:
        """The ids of all objects of that sort."""
        number = _NUMBERS[kind]
        return (oid.hex() for oid, place in self._places.items() if self._kinds[place] == number)

    def _index(self, outside: Outside) -> None:
        children: dict[int, list[int]] = defaultdict(list)  # deltas by the entry they build on
        waiting: dict[bytes, list[int]] = defaultdict(list)  # deltas by the id they build on
        resolved = self._scan(children, waiting)
        self._resolve(resolved, children, waiting)
        if waiting:
            added = []
            for oid, kind, data in outside([oid.hex() for oid in waiting]):
                added.append(self._append(kind, data))
                self._places[bytes.fromhex(oid)] = added[-1]
            self._resolve(list(zip(added, map(self._oid, added), strict=True)), children, waiting)
        if waiting or children:
            raise Invalid("The pack builds on objects that were neither sent nor are here. Fetch, then push.")

    def _scan(
        self, children: dict[int, list[int]], waiting: dict[bytes, list[int]]
    ) -> list[tuple[int, bytes]]:
        """Reads the pack once from its start; returns the whole objects with their ids."""
        reader = _Reader(self._file, 0)
        signature, version = reader.take(4), int.from_bytes(reader.take(4))
        total = int.from_bytes(reader.take(4))
        if signature != b"PACK" or version not in (2, 3):
            raise _damaged("it does not begin as one")
        if total > OBJECTS:
            raise TooLarge(
                f"The pack has {total} objects; expected at most {OBJECTS}. Push in several parts."
            )
        whole: list[tuple[int, bytes]] = []
        starts: list[int] = []
        unpacked = 0
        for place in range(total):
            starts.append(reader.position)
            number, size = _entry_head(reader)
            base = b""
            if number == _OFFSET_DELTA:
                offset = starts[-1] - _delta_offset(reader)
                found = bisect_left(starts, offset, hi=place)
                if found == place or starts[found] != offset:
                    raise _damaged("a delta builds on nothing")
                children[found].append(place)
            elif number == _REF_DELTA:
                base = reader.take(20)
                waiting[base].append(place)
            elif number not in _KINDS:
                raise _damaged(f"an object has the unknown type {number}")
            self._offsets.append(reader.position)
            self._bases.append(-1)
            if number in _KINDS:
                oid, _ = reader.inflate(size, _NAMES[number] + b" %d\0" % size)
                self._kinds.append(number)
                whole.append((place, oid))
                if oid not in self._places:
                    self._places[oid] = place
            else:
                _, head = reader.inflate(size)
                size = max(size, _target_size(head))
                self._kinds.append(0)
                if size > WHOLE_BYTES:
                    raise TooLarge(
                        f"The pack has a file of {size} bytes. Keep large files with Git LFS, not in Git."
                    )
                size = _target_size(head)
            self._sizes.append(size)
            unpacked += size
            if unpacked > UNPACKED_BYTES:
                raise TooLarge(f"The pack holds more than {UNPACKED_BYTES} bytes. Push in several parts.")
        reader.finish()
        return whole

    def _resolve(
        self,
        known: list[tuple[int, bytes]],
        children: dict[int, list[int]],
        waiting: dict[bytes, list[int]],
    ) -> None:
        """Finds the ids of deltas that build on the objects `known`, depth first: the cache likes that."""
        while known:
            place, oid = known.pop()
            for child in (*children.pop(place, ()), *waiting.pop(oid, ())):
                self._bases[child], self._kinds[child] = place, self._kinds[place]
                if self._sizes[place] > WHOLE_BYTES:
                    raise TooLarge("The pack has a delta of a large file. Keep large files with Git LFS.")
                found = self._oid(child)
                self._places.setdefault(found, child)
                known.append((child, found))

    def _append(self, kind: Kind, data: bytes) -> int:
        """Adds an object from outside behind the pack, as if it had been sent; returns its entry."""
        offset = self._file.seek(0, 2)
        self._file.write(zlib.compress(data, 1))
        self._offsets.append(offset)
        self._sizes.append(len(data))
        self._kinds.append(_NUMBERS[kind])
        self._bases.append(-1)
        return len(self._offsets) - 1

    def _oid(self, place: int) -> bytes:
        data = self._read(place)
        head = _NAMES[self._kinds[place]] + b" %d\0" % len(data)
        return hashlib.sha1(head + data, usedforsecurity=False).digest()

    def _read(self, place: int) -> bytes:
        chain: list[int] = []
        while place not in self._held and self._bases[place] >= 0:
            chain.append(place)
            place = self._bases[place]
        if place in self._held:
            data = self._held[place]
        else:
            data = self._inflate(place)
            if chain:  # it has one child, perhaps more
                self._hold(place, data)
        for delta in reversed(chain):
            try:
                data = b"".join(apply_delta(data, self._inflate(delta)))
            except (ApplyDeltaError, ValueError, AssertionError) as error:
                raise _damaged(f"a delta does not fit ({error})") from None
            self._hold(delta, data)
        return data

    def _inflate(self, place: int) -> bytes:
        whole = bytearray()
        _Reader(self._file, self._offsets[place]).inflate(None, sink=whole)
        return bytes(whole)

    def _hold(self, place: int, data: bytes) -> None:
        self._held[place] = data
        self._held_bytes += len(data)
        while self._held_bytes > HELD_BYTES:
            self._held_bytes -= len(self._held.popitem(last=False)[1])


_NAMES = {number: kind.encode() for number, kind in _KINDS.items()}


class _Reader:
    """A pack read from a place on, in pieces."""

    def __init__(self, file: IO[bytes], position: int) -> None:
        self.position, self._file, self._ahead = position, file, b""
        file.seek(position)

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        while len(self._ahead) < size:
            more = self._file.read(AHEAD)
            if not more:
                raise _damaged("it ends too early")
            self._ahead += more
        taken, self._ahead = self._ahead[:size], self._ahead[size:]
        self.position += size
        return taken

    def inflate(
        self, size: int | None, head: bytes | None = None, sink: bytearray | None = None
    ) -> tuple[bytes, bytes]:
        """Passes over deflated bytes that should be `size` when inflated; None: at most WHOLE_BYTES.

        Returns the SHA-1 of `head` and them, and their first BEGINNING; all of them go into `sink`.
        """
        inflater = zlib.decompressobj()
        digest = hashlib.sha1(head or b"", usedforsecurity=False)
        beginning, length, most = b"", 0, WHOLE_BYTES if size is None else size
        while not inflater.eof:
            if not self._ahead:
                self._ahead = self._file.read(AHEAD)
                if not self._ahead:
                    raise _damaged("it ends too early")
            try:
                data = inflater.decompress(self._ahead, INFLATED)
            except zlib.error as error:
                raise _damaged(f"an object cannot be inflated ({error})") from None
            rest = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
            self.position += len(self._ahead) - len(rest)
            self._ahead = rest
            length += len(data)
            if length > most:
                raise _damaged("an object is longer than it says")
            beginning += data[: BEGINNING - len(beginning)]  # where what was read ends, a byte or two come
            if head is not None:
                digest.update(data)
            if sink is not None:
                sink += data
        if size is not None and length != size:
            raise _damaged("an object is shorter than it says")
        return digest.digest(), beginning

    def finish(self) -> None:
        """Raises Invalid unless nothing follows but the pack's checksum."""
        self.take(20)
        if self._ahead or self._file.read(1):
            raise _damaged("something follows its end")


def spool(stream: Readable, file: IO[bytes]) -> None:
    """Copies a pack into `file`, whose checksum must be right. Raises Invalid, TooLarge.

    What is too large is read to its end all the same: a client that cannot send on hears no answer.
    """
    digest, size, last = hashlib.sha1(usedforsecurity=False), 0, b""
    while chunk := stream.read(CHUNK):
        size += len(chunk)
        if size > PACK_BYTES:
            continue
        file.write(chunk)
        last += chunk
        digest.update(last[:-20])
        last = last[-20:]
    if size > PACK_BYTES:
        raise TooLarge(
            f"The pack has {size} bytes; expected at most {PACK_BYTES}. Keep large files with Git LFS "
            "(`git lfs migrate import`), or push the history in several parts."
        )
    if digest.digest() != last:
        raise _damaged("its checksum is wrong")
    file.flush()


def parts(objects: Iterable[tuple[Kind, int, Iterable[bytes]]], total: int) -> Iterator[bytes]:
    """A pack of `total` objects, given by kind, size and bytes, as it is sent."""
    digest = hashlib.sha1(usedforsecurity=False)

    def said(data: bytes) -> bytes:
        digest.update(data)
        return data

    yield said(b"PACK" + (2).to_bytes(4) + total.to_bytes(4))
    sent = count()
    for kind, size, chunks in objects:
        next(sent)
        yield said(bytes(pack_object_header(_NUMBERS[kind], None, size, SHA1)))
        deflater = zlib.compressobj(1)  # the network is seldom slower than that
        for chunk in chunks:
            yield said(deflater.compress(chunk))
        yield said(deflater.flush())
    assert next(sent) == total
    yield digest.digest()


def _entry_head(reader: _Reader) -> tuple[int, int]:
    """Type and size of an entry."""
    byte = reader.take(1)[0]
    number, size, shift = byte >> 4 & 7, byte & 15, 4
    while byte & 0x80:
        byte = reader.take(1)[0]
        size |= (byte & 0x7F) << shift
        shift += 7
        if shift > 63:
            raise _damaged("an object has an impossible size")
    return number, size


def _delta_offset(reader: _Reader) -> int:
    """How far before its delta a base begins."""
    byte = reader.take(1)[0]
    offset = byte & 0x7F
    while byte & 0x80:
        byte = reader.take(1)[0]
        offset = (offset + 1 << 7) | (byte & 0x7F)
        if offset > PACK_BYTES:
            raise _damaged("a delta builds on nothing")
    return offset


def _target_size(delta: bytes) -> int:
    """The size of what a delta makes, told by its second number."""
    numbers, size, shift = 0, 0, 0
    for byte in delta:
        size |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            numbers += 1
            if numbers == 2:
                return size
            size = shift = 0
    raise _damaged("a delta does not begin as one")


def _damaged(problem: str) -> Invalid:
    return Invalid(f"The pack is damaged: {problem}. Nothing of it was kept.")
