"""What a pickle of torch says of tensors: storages, and windows on them. Builds none of them.

Source: torch/_utils.py `_rebuild_*`; torch/_weights_only_unpickler.py for the names that torch.load takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from modelcenter.checkpoint.files import Window
from modelcenter.checkpoint.header import BITS, SAFETENSORS_NAMES
from modelcenter.checkpoint.stack_machine import Call, Global, Other, StackMachine
from modelcenter.errors import CheckpointDamaged, CheckpointUnsupported, listed

MAX_DIMENSIONS = 64
# Two values of four bits share a byte there: no element has an address.
TORCH_DTYPES = {name: dtype for name, dtype in SAFETENSORS_NAMES.items() if BITS[dtype] >= 8}
STORAGES = {
    "FloatStorage": "F32", "HalfStorage": "F16", "BFloat16Storage": "BF16", "DoubleStorage": "F64",
    "LongStorage": "I64", "IntStorage": "I32", "ShortStorage": "I16", "CharStorage": "I8",
    "ByteStorage": "U8", "BoolStorage": "BOOL", "ComplexFloatStorage": "C64",
}  # fmt: skip
OTHER_STORAGES = (
    "ComplexDoubleStorage", "QInt8Storage", "QUInt8Storage", "QInt32Storage", "QUInt4x2Storage",
    "QUInt2x4Storage",
)  # fmt: skip
TENSORS = ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3")
OTHER_TENSORS = (
    "_rebuild_qtensor", "_rebuild_sparse_tensor", "_rebuild_meta_tensor_no_storage", "_rebuild_nested_tensor",
    "_rebuild_wrapper_subclass", "_rebuild_device_tensor_from_numpy",
    "_rebuild_device_tensor_from_cpu_tensor",
)  # fmt: skip
PARAMETERS = ("_rebuild_parameter", "_rebuild_parameter_with_state")
SCHEMES = (
    "per_tensor_affine", "per_tensor_symmetric", "per_channel_affine", "per_channel_symmetric",
    "per_channel_affine_float_qparams",
)  # fmt: skip
OTHER_DTYPES = ("complex128", "complex32", "qint8", "quint8", "qint32", "float4_e2m1fn_x2")

# Every name a checkpoint may contain; torch.load(weights_only=True) takes each of them too. None is imported.
ALLOWED = frozenset(
    {("collections", "OrderedDict"), ("collections", "Counter"), ("_codecs", "encode")}
    | {("builtins", name) for name in ("set", "bytearray", "complex")}
    | {("torch", name) for name in (*STORAGES, *OTHER_STORAGES, "Size", "Tensor", "device")}
    | {("torch.cuda", name) for name in STORAGES}
    | {("torch.storage", "UntypedStorage"), ("torch.storage", "TypedStorage")}
    | {("torch", name) for name in (*TORCH_DTYPES, *OTHER_DTYPES, *SCHEMES)}
    | {("torch._utils", name) for name in (*TENSORS, *OTHER_TENSORS, *PARAMETERS)}
    | {("torch._tensor", "_rebuild_from_type_v2")}
    | {("torch.nn.parameter", "Parameter"), ("torch.serialization", "_get_layout")}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Storage:
    """A run of `whole` elements in the file, of which tensors may use `numel` from `offset` on.

    Only legacy files have storages that are a part (a view) of another.
    """

    key: str
    dtype: str
    whole: int
    offset: int
    numel: int

    @property
    def itemsize(self) -> int:
        """Bytes an element."""
        return BITS[self.dtype] // 8

    @property
    def size_bytes(self) -> int:
        """How many bytes the file must hold for it."""
        return self.whole * self.itemsize


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor as the pickle describes it: a window on a storage. Offset and stride count elements."""

    storage: Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def stop(self) -> int:
        """The element after its last one, in its storage."""
        if 0 in self.shape:
            return self.offset
        steps = zip(self.shape, self.stride, strict=True)
        return self.offset + sum((length - 1) * step for length, step in steps) + 1


def interpret(stream: Window, storages: dict[str, Storage] | None = None) -> Any:
    """The value of the pickle at `stream`, with `Tensor`s in it; its storages are kept in `storages`."""
    storages = {} if storages is None else storages

    def persistent(identifier: Any) -> Storage:
        storage = _storage(stream.name, identifier)
        known = storages.setdefault(storage.key, storage)
        if known.size_bytes != storage.size_bytes:
            raise ValueError(
                f"storage {storage.key[:40]} has {known.size_bytes} and {storage.size_bytes} bytes"
            )
        return storage

    machine = StackMachine(stream, ALLOWED, partial(_reduced, stream.name), persistent)
    value = machine.load()
    if machine.foreign:
        raise CheckpointUnsupported(
            stream.name, f"is pickled with {listed(machine.foreign)}, which torch.load refuses",
            "save it with torch.save's default protocol, or as safetensors"
        )  # fmt: skip
    return value


def _storage(file: str, identifier: Any) -> Storage:
    """Made from ("storage", type, key, device, numel[, view]); view: None or (key, offset, numel)."""
    match identifier:
        case ("storage", Global(name=kind), str(key), str(), int(numel), *view) if (
            numel >= 0 and len(view) <= 1
        ):
            dtype = "U8" if kind == "UntypedStorage" else STORAGES.get(kind)
            if dtype is None:
                raise CheckpointUnsupported(file, f"has tensors of {kind}", "save them as a plain dtype")
            match view:
                case [] | [None]:
                    return Storage(key, dtype, numel, 0, numel)
                case [(str(), int(offset), int(length))] if offset >= 0 and 0 <= length <= numel - offset:
                    return Storage(key, dtype, numel, offset, length)
    raise CheckpointDamaged(file, "its pickle refers to data by something that is not a storage")


def _reduced(file: str, call: Call) -> Any:
    """What a call would give, as far as it is a tensor or a table; `ValueError`s are the pickle's damage."""
    name, arguments = call.function.name, call.arguments
    if name in TENSORS:
        return _tensor(file, name, arguments)
    if name in (*PARAMETERS, "Parameter") and arguments and isinstance(arguments[0], Tensor):
        return arguments[0]
    if name == "_rebuild_from_type_v2":  # a tensor with attributes: (function, type, arguments, state)
        match arguments:
            case (Global() as function, _, tuple() as inner, _) if function.name != name:
                return _reduced(file, Call(function, inner))
    if name == "OrderedDict":
        return _table(arguments)
    if name == "Size" and len(arguments) == 1 and isinstance(arguments[0], (tuple, list)):
        return tuple(arguments[0][: MAX_DIMENSIONS + 1])
    return Other(name.removeprefix("_rebuild_").replace("qtensor", "quantised tensor").replace("_", " "))


def _table(arguments: tuple[Any, ...]) -> dict[str, Any]:
    """An OrderedDict, as protocol 2 makes it (empty, then filled) or as older Pythons did (of pairs)."""
    match arguments:
        case ():
            return {}
        case (list() as pairs,) if all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in pairs):
            table = {key: value for key, value in pairs if isinstance(key, str)}
            pairs.clear()  # so that no pickle has one list walked many times
            return table
    raise ValueError("an OrderedDict is made of something other than its items")


def _tensor(file: str, name: str, arguments: tuple[Any, ...]) -> Tensor:
    match arguments:
        case (Storage() as storage, int(offset), tuple() | list() as size, tuple() | list() as stride, *more):
            pass
        case _:
            raise ValueError("a tensor is not made of a storage, an offset, a size and a stride")
    if len(size) > MAX_DIMENSIONS or len(size) != len(stride):
        raise ValueError(f"a tensor has {len(size)} lengths and {len(stride)} strides")
    if not all(type(n) is int and 0 <= n < 1 << 63 for n in (offset, *size, *stride)):
        raise ValueError("an offset, length or stride of a tensor is not a whole number")
    dtype = storage.dtype
    if name == "_rebuild_tensor_v3":
        match more:
            case [_, _, Global(module="torch", name=torch_name), *_] if torch_name in TORCH_DTYPES:
                dtype = TORCH_DTYPES[torch_name]
            case [_, _, Global() as other, *_]:
                raise CheckpointUnsupported(file, f"has tensors of {other}", "save them as a plain dtype")
            case _:
                raise ValueError("a tensor lacks its dtype")
    return Tensor(storage, dtype, offset, tuple(size), tuple(stride))
