"""Reads a pickle as data: interprets its opcodes, but calls nothing, imports nothing and builds nothing.

What a pickle would call becomes a `Call` to be looked at; which globals it may name is the caller's list.
Work is bounded by the length of the pickle: nothing is walked, hashed or copied beyond what an opcode takes.
"""

from __future__ import annotations

import pickletools
import struct
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import Any

from modelcenter.checkpoint.files import Window
from modelcenter.errors import CheckpointDamaged, CheckpointUnsafe

MAX_OPCODES = 1_500_000  # a file of 50,000 tensors; a second or two of work
SHOWN = 120

# What torch.load(weights_only=True) interprets of the opcodes below; a file with others will not load there.
TORCH_OPCODES = frozenset({
    "GLOBAL", "NEWOBJ", "REDUCE", "BUILD", "APPEND", "APPENDS", "SETITEM", "SETITEMS", "MARK", "TUPLE",
    "TUPLE1", "TUPLE2", "TUPLE3", "NONE", "NEWFALSE", "NEWTRUE", "EMPTY_TUPLE", "EMPTY_LIST", "EMPTY_DICT",
    "EMPTY_SET", "BININT", "BININT1", "BININT2", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING", "BINPERSID",
    "BINGET", "LONG_BINGET", "BINPUT", "LONG_BINPUT", "LONG1", "PROTO", "STOP",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Global:
    """The name of something a pickle refers to; never the thing."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"[:SHOWN]


@dataclass(slots=True)
class Call:
    """What a pickle would make by calling `function`."""

    function: Global
    arguments: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Other:
    """A value that says nothing to us, by its kind."""

    kind: str


class _Mark:
    pass


MARK = _Mark()
CONSTANTS: Mapping[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
ATOMS = frozenset({
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING",
    "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES",
    "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
})  # fmt: skip
OPCODES = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}


class StackMachine:
    """Interprets the pickle at `stream`.

    allowed: the globals that may be named; another one raises CheckpointUnsafe with its name.
    reduce: makes a value of a Call (or returns it as it is). persistent: makes a value of a persistent id.
    After `load`, `foreign` names the opcodes that torch would not read.
    """

    def __init__(
        self,
        stream: Window,
        allowed: Container[tuple[str, str]],
        reduce: Callable[[Call], Any],
        persistent: Callable[[Any], Any],
    ) -> None:
        self.stream, self.allowed, self.reduce, self.persistent = stream, allowed, reduce, persistent
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.foreign: dict[str, None] = {}

    def load(self) -> Any:
        """The pickle's value: dicts, lists, tuples, plain values, and what `reduce` and `persistent` made."""
        file = self.stream.name
        try:
            for _ in range(MAX_OPCODES):
                position = self.stream.tell()
                code = self.stream.read(1)
                opcode = OPCODES.get(code)
                if opcode is None:
                    raise CheckpointDamaged(
                        file,
                        f"its pickle has no opcode {code!r} at byte {position}" if code
                        else f"its pickle breaks off at byte {position}"
                    )  # fmt: skip
                if opcode.name == "STOP":
                    return self._pop()
                self._step(opcode.name, self._argument(opcode))
        except (ValueError, TypeError, IndexError, KeyError, OverflowError, struct.error) as error:
            position = self.stream.tell()
            problem = str(error)[:SHOWN] or type(error).__name__
            raise CheckpointDamaged(
                file, f"its pickle cannot be followed at byte {position}: {problem}"
            ) from error
        raise CheckpointDamaged(file, f"its pickle has more than {MAX_OPCODES} instructions")

    def _argument(self, opcode: pickletools.OpcodeInfo) -> Any:
        # pickletools reads escapes in lines where unpicklers do not: a name would not be the one that is run.
        if opcode.name in ("GLOBAL", "INST"):
            return self._line(), self._line()
        if opcode.name in ("STRING", "PERSID"):
            return self._line()
        return opcode.arg.reader(self.stream) if opcode.arg is not None else None  # type: ignore[arg-type]

    def _step(self, name: str, argument: Any) -> None:
        if name not in TORCH_OPCODES:
            self.foreign[name] = None
        if name in ATOMS:
            self.stack.append(argument)
        elif name in CONSTANTS:
            self.stack.append(CONSTANTS[name])
        else:
            method = getattr(self, f"_op_{name.lower()}", None)  # the name is one of pickletools' own
            if method is None:
                raise CheckpointUnsafe(self.stream.name, f"the pickle instruction {name}")
            method(argument)

    def _line(self) -> str:
        line = self.stream.readline()
        if not line.endswith(b"\n"):
            raise ValueError("a line breaks off")
        return line[:-1].decode()

    # --- the stack

    def _pop(self) -> Any:
        value = self.stack.pop()
        if value is MARK:
            raise ValueError("a value was expected, the stack has a mark")
        return value

    def _pop_to_mark(self) -> list[Any]:
        at = len(self.stack) - 1
        while self.stack[at] is not MARK:
            at -= 1
            if at < 0:
                raise ValueError("a mark was expected, the stack has none")
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def _op_mark(self, _: None) -> None:
        self.stack.append(MARK)

    def _op_pop(self, _: None) -> None:
        self.stack.pop()

    def _op_pop_mark(self, _: None) -> None:
        self._pop_to_mark()

    def _op_dup(self, _: None) -> None:
        self.stack.append(self.stack[-1])

    def _op_proto(self, version: int) -> None:
        if version > 5:
            raise ValueError(f"protocol {version} is unknown")

    def _op_frame(self, _: int) -> None:
        pass  # a hint on lengths

    # --- the memo; an index is a small number, so that it cannot be chosen to collide

    def _op_put(self, index: int) -> None:
        if not 0 <= index < MAX_OPCODES:
            raise ValueError(f"the memo has no place {str(index)[:SHOWN]}")
        self.memo[index] = self.stack[-1]

    _op_binput = _op_long_binput = _op_put

    def _op_memoize(self, _: None) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _op_get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    _op_binget = _op_long_binget = _op_get

    # --- containers

    def _op_tuple(self, _: None) -> None:
        self.stack.append(tuple(self._pop_to_mark()))

    def _op_tuple1(self, _: None) -> None:
        self._tuple(1)

    def _op_tuple2(self, _: None) -> None:
        self._tuple(2)

    def _op_tuple3(self, _: None) -> None:
        self._tuple(3)

    def _tuple(self, count: int) -> None:
        self.stack.append(tuple(reversed([self._pop() for _ in range(count)])))

    def _op_list(self, _: None) -> None:
        self.stack.append(self._pop_to_mark())

    def _op_empty_list(self, _: None) -> None:
        self.stack.append([])

    def _op_append(self, _: None) -> None:
        value = self._pop()
        self._extend([value])

    def _op_appends(self, _: None) -> None:
        self._extend(self._pop_to_mark())

    def _extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise ValueError("a list was expected to append to")
        target.extend(items)

    def _op_dict(self, _: None) -> None:
        items = self._pop_to_mark()
        self.stack.append({})
        self._update(items)

    def _op_empty_dict(self, _: None) -> None:
        self.stack.append({})

    def _op_setitem(self, _: None) -> None:
        value, key = self._pop(), self._pop()
        self._update([key, value])

    def _op_setitems(self, _: None) -> None:
        self._update(self._pop_to_mark())

    def _update(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise ValueError("a table and pairs were expected")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Only texts name tensors; other keys could be chosen to hash slowly.
            if isinstance(key, str):
                target[key] = value
            else:
                target[f"<{type(key).__name__}>"] = Other("entry without a name")

    def _op_empty_set(self, _: None) -> None:
        self.stack.append(Other("set"))

    def _op_additems(self, _: None) -> None:
        self._pop_to_mark()

    def _op_frozenset(self, _: None) -> None:
        self._pop_to_mark()
        self.stack.append(Other("frozenset"))

    def _op_next_buffer(self, _: None) -> None:
        self.stack.append(Other("buffer"))

    def _op_readonly_buffer(self, _: None) -> None:
        pass

    # --- names and calls: looked at, never followed

    def _op_global(self, argument: tuple[str, str]) -> None:
        self._name(*_today(*argument))

    def _op_stack_global(self, _: None) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise CheckpointUnsafe(self.stream.name, "something whose name is computed")
        self._name(module, name)

    def _name(self, module: str, name: str) -> None:
        found = Global(module, name)
        if (found.module, found.name) not in self.allowed:
            raise CheckpointUnsafe(self.stream.name, str(found))
        self.stack.append(found)

    def _op_inst(self, argument: tuple[str, str]) -> None:
        raise CheckpointUnsafe(self.stream.name, str(Global(*_today(*argument))))

    def _op_obj(self, _: None) -> None:
        items = self._pop_to_mark()
        raise CheckpointUnsafe(self.stream.name, _described(items[0] if items else None))

    def _op_ext(self, code: int) -> None:
        raise CheckpointUnsafe(self.stream.name, f"the registered extension {code}")

    _op_ext1 = _op_ext2 = _op_ext4 = _op_ext

    def _op_reduce(self, _: None) -> None:
        arguments, function = self._pop(), self._pop()
        if not isinstance(function, Global):
            raise CheckpointUnsafe(self.stream.name, _described(function))
        if not isinstance(arguments, tuple):
            raise ValueError(f"{function} is called without a list of arguments")
        self.stack.append(self.reduce(Call(function, arguments)))

    _op_newobj = _op_reduce

    def _op_newobj_ex(self, _: None) -> None:
        self._pop(), self._pop()
        raise CheckpointUnsafe(self.stream.name, _described(self._pop()))

    def _op_build(self, _: None) -> None:
        """State set on an object: attributes of what is not built here are nothing."""
        self._pop()
        target = self.stack[-1]
        if target is MARK or isinstance(target, Global):
            raise CheckpointUnsafe(self.stream.name, f"a change of {_described(target)}")

    def _op_binpersid(self, _: None) -> None:
        self.stack.append(self.persistent(self._pop()))

    def _op_persid(self, identifier: str) -> None:
        self.stack.append(self.persistent(identifier))


def _today(module: str, name: str) -> tuple[str, str]:
    """Python 3's name of what protocol 2, torch.save's, spells as Python 2 did; unpicklers do so too."""
    if (module, name) in NAME_MAPPING:
        return NAME_MAPPING[module, name]
    return IMPORT_MAPPING.get(module, module), name


def _described(value: object) -> str:
    return str(value) if isinstance(value, Global) else f"a value of type {type(value).__name__}"
