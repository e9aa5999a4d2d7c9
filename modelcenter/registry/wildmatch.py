"""Git's path patterns, matched in a time that grows with a path's length and with nothing else of it.

What a pattern means is told by Git's gitignore(5) and, to the byte, by its wildmatch.c. A translation to
regular expressions would backtrack: a few stars in one line then keep a core busy for minutes. Here all the
patterns of a file are one automaton whose states are the bits of an integer (the shift-and algorithm of
Baeza-Yates and Gonnet, 1992), and each byte of a path is a handful of operations on it. Patterns without
wildcards, of which there may be many, are looked up.
"""

from __future__ import annotations

import codecs
import re
import string
from bisect import bisect
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from modelcenter.errors import Invalid

MAX_BYTES = 4 << 20  # of a file of patterns
MAX_STATES = 1 << 15  # bytes of patterns with wildcards, about
_SLASH = ord("/")
_WILD = re.compile(rb"[*?[\\]")
_ANY = frozenset(range(1, 256))
_SEGMENT = _ANY - {_SLASH}
_CLASSES = {
    name: frozenset(characters.encode())
    for name, characters in {
        b"alnum": string.ascii_letters + string.digits,
        b"alpha": string.ascii_letters,
        b"blank": " \t",
        b"cntrl": "".join(map(chr, range(32))) + "\x7f",
        b"digit": string.digits,
        b"graph": string.ascii_letters + string.digits + string.punctuation,
        b"lower": string.ascii_lowercase,
        b"print": string.ascii_letters + string.digits + string.punctuation + " ",
        b"punct": string.punctuation,
        b"space": string.whitespace,
        b"upper": string.ascii_uppercase,
        b"xdigit": string.hexdigits,
    }.items()
}


class _State(NamedTuple):
    """A place in a pattern: the bytes that lead to the next and those that lead back here.

    skips: who comes here is at the next place too. The last place is where the pattern has matched.
    """

    next: frozenset[int]
    again: frozenset[int] = frozenset()
    skips: bool = False


class Patterns:
    """The patterns of a `.gitattributes` or `.gitignore`, in their order."""

    def __init__(self, patterns: Sequence[bytes], name: str) -> None:
        """name: of the file they are from. Raises Invalid for more than a request may be kept busy with."""
        self._literal: dict[bytes, int] = {}  # "/path" or "name" -> the last such pattern
        self._literal_folders: dict[bytes, int] = {}  # those that end in a slash
        self._ends: list[int] = []  # the last state of each pattern with wildcards
        self._owners: list[int] = []  # and which it is
        states: list[_State] = []
        starts: list[int] = []
        folders: list[int] = []
        for number, pattern in enumerate(patterns):
            body = pattern.removesuffix(b"/")
            whole = body.removeprefix(b"/") if b"/" in body else b"**/" + body
            parsed = _parse(whole)
            if not body or parsed is None:
                continue
            # One without a slash is of a name in any folder, and begins with the state of its "**/".
            own = parsed if b"/" in body else parsed[1:]
            if all(len(state.next) == 1 and not state.again for state in own[:-1]) and not own[-1].again:
                key = bytes(byte for state in own[:-1] for byte in state.next)
                known = self._literal_folders if body != pattern else self._literal
                known[b"/" + key if b"/" in body else key] = number
                continue
            starts.append(len(states))
            states += parsed
            self._ends.append(len(states) - 1)
            self._owners.append(number)
            if body != pattern:
                folders.append(len(states) - 1)
            if len(states) > MAX_STATES:
                raise Invalid(
                    f"The patterns with wildcards of {name} have more than {MAX_STATES} bytes in all. "
                    "Put fewer and wider ones in their place."
                )
        size = len(states)
        places: dict[frozenset[int], list[int]] = {}
        for at, state in enumerate(states):
            places.setdefault(state.next, []).append(at)
        self._next = [0] * 256
        for found, there in places.items():
            bits = _bits(size, there)
            for byte in found:
                self._next[byte] |= bits
        self._again = _bits(size, [at for at, state in enumerate(states) if state.again])
        self._again_slash = _bits(size, [at for at, state in enumerate(states) if state.again == _ANY])
        self._skips = _bits(size, [at for at, state in enumerate(states) if state.skips])
        self._folders = _bits(size, self._ends)
        self._files = self._folders & ~_bits(size, folders)
        self._start = self._skipped(_bits(size, starts))

    def last(self, path: bytes) -> Iterator[int]:
        """For each folder that `path` is in, outermost first, then the file `path`: which pattern matches.

        The number of the last one that does, -1 where none does.
        """
        state, start = self._start, 0
        while (slash := path.find(b"/", start)) >= 0:
            state = self._after(state, path[start:slash])
            yield max(self._found(state & self._folders), self._named(path[:slash], folder=True))
            state = self._after(state, b"/")
            start = slash + 1
        state = self._after(state, path[start:])
        yield max(self._found(state & self._files), self._named(path, folder=False))

    def _after(self, state: int, text: bytes) -> int:
        for byte in text:
            if not state:
                break
            again = self._again_slash if byte == _SLASH else self._again
            state = self._skipped((state & self._next[byte]) << 1) | (state & again)
        return state

    def _skipped(self, state: int) -> int:
        return state | (state & self._skips) << 1

    def _found(self, ends: int) -> int:
        return self._owners[bisect(self._ends, ends.bit_length() - 1) - 1] if ends else -1

    def _named(self, path: bytes, *, folder: bool) -> int:
        keys = (b"/" + path, path.rpartition(b"/")[2])
        tables = (self._literal, self._literal_folders) if folder else (self._literal,)
        return max(table.get(key, -1) for table in tables for key in keys)


def _parse(pattern: bytes) -> list[_State] | None:
    """The states of a pattern anchored at the root, the last one being the match; None if none can."""
    states: list[_State] = []
    again: frozenset[int] = frozenset()
    at = 0
    while at < len(pattern):
        byte = pattern[at : at + 1]
        if byte == b"*":
            stars = at
            while pattern[at : at + 1] == b"*":
                at += 1
            # Git compares what is before the first wildcard apart: the rest begins there, as after a slash.
            bounded = pattern[stars - 1 : stars] in (b"", b"/") or not _WILD.search(pattern, 0, stars)
            if at - stars > 1 and bounded and pattern[at : at + 1] == b"/":
                at += 1  # any number of folders, none too; several in a row say no more than one
                if not (states and states[-1].skips):
                    states.append(_State(frozenset({_SLASH}), _ANY, skips=True))
            elif at - stars > 1 and bounded and pattern[at : at + 2] in (b"", rb"\/"):
                again = _ANY
            else:
                again = _SEGMENT
            continue
        if byte == b"?":
            found, at = _SEGMENT, at + 1
        elif byte == b"[":
            read = _bracket(pattern, at)
            if read is None:
                return None
            found, at = read
        else:
            at += byte == b"\\"
            if at == len(pattern):
                return None
            found, at = frozenset({pattern[at]}), at + 1
        states.append(_State(found, again))
        again = frozenset()
    return [*states, _State(frozenset(), again)]


def _bracket(pattern: bytes, at: int) -> tuple[frozenset[int], int] | None:
    """The bytes that the bracket at `at` stands for, and where it ends; None if it never does."""
    at += 1
    negated = pattern[at : at + 1] in (b"!", b"^")
    at += negated
    found: set[int] = set()
    previous: int | None = None
    first = True
    while first or pattern[at : at + 1] != b"]":
        first = False
        if at >= len(pattern):
            return None
        byte, following = pattern[at], pattern[at + 1 : at + 2]
        if byte == ord("-") and previous is not None and following not in (b"", b"]"):
            at += 1 + (following == b"\\")
            if at >= len(pattern):
                return None
            found.update(range(previous, pattern[at] + 1))
            previous = None
        elif byte == ord("[") and following == b":" and (end := pattern.find(b"]", at + 2)) < 0:
            return None
        elif byte == ord("[") and following == b":" and pattern[end - 1] == ord(":") and end > at + 2:
            named = _CLASSES.get(pattern[at + 2 : end - 1])
            if named is None:
                return None
            found |= named
            previous, at = None, end
        else:
            at += byte == ord("\\")
            if at >= len(pattern):
                return None
            previous = pattern[at]
            found.add(previous)
        at += 1
    return (_ANY - found if negated else frozenset(found)) - {_SLASH}, at + 1


def lines(text: bytes, name: str) -> list[bytes]:
    """The lines of a file of patterns, without their ends. Raises Invalid for far too long a one."""
    if len(text) > MAX_BYTES:
        raise Invalid(f"{name} has {len(text)} bytes: at most {MAX_BYTES} are read as patterns. Shorten it.")
    return [line.removesuffix(b"\r") for line in text.removeprefix(codecs.BOM_UTF8).split(b"\n")]


def _bits(size: int, places: Sequence[int]) -> int:
    """The integer with these bits; linear, which setting them one by one is not."""
    bits = bytearray(size // 8 + 1)
    for place in places:
        bits[place >> 3] |= 1 << (place & 7)
    return int.from_bytes(bits, "little")
