"""The safetensors format: eight bytes of length, a JSON header, the tensors' bytes. Trusts nothing it reads.

Source: github.com/huggingface/safetensors, README "Format"; safetensors/src/tensor.rs `Metadata::validate`.
As strict as the reference: no holes, no overlap, nothing after the last tensor; stricter on duplicate names.
"""

from __future__ import annotations

import json
from collections import Counter
from math import prod
from typing import Any

from modelcenter.checkpoint.files import Files
from modelcenter.checkpoint.header import BITS, FileHeader, TensorInfo
from modelcenter.errors import CheckpointDamaged, listed

LENGTH_BYTES = 8
MAX_HEADER_BYTES = 100_000_000
FIRST_READ = 256 << 10  # most headers fit: one request to a remote file instead of two


def read_file_header(files: Files, name: str) -> FileHeader:
    """The header of the safetensors file `name`. Raises CheckpointDamaged."""
    size = files.size(name)
    if size < LENGTH_BYTES:
        raise CheckpointDamaged(name, f"it has {size} bytes, a safetensors file begins with {LENGTH_BYTES}")
    head = files.read(name, 0, min(size, FIRST_READ))
    length = int.from_bytes(head[:LENGTH_BYTES], "little")
    data = LENGTH_BYTES + length
    if length > MAX_HEADER_BYTES:
        raise CheckpointDamaged(name, f"its header would be {length} bytes, the limit is {MAX_HEADER_BYTES}")
    if data > size:
        raise CheckpointDamaged(name, f"its header needs {data} bytes, the file has {size}")
    if data > len(head):
        head += files.read(name, len(head), data)
    if len(head) < data:
        raise CheckpointDamaged(name, f"its header needs {data} bytes, {len(head)} could be read")
    entries = _parse(name, head[LENGTH_BYTES:data])
    metadata = _metadata(name, entries.pop("__metadata__", None))
    tensors = {tensor: _tensor(name, tensor, entry, data) for tensor, entry in entries.items()}
    _check_ranges(name, tensors, data, size)
    return FileHeader(name=name, size=size, tensors=tensors, metadata=metadata)


def _parse(file: str, text: bytes) -> dict[str, Any]:
    """The header's JSON object; its text is a stranger's."""
    # The reference wants the brace first, so that a file cannot be two formats at once.
    if not text.startswith(b"{"):
        raise CheckpointDamaged(file, f"its header begins with {text[:1]!r}, expected '{{'")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
            raise CheckpointDamaged(file, f"its header names {listed(twice)} twice")
        for name in found:
            name.encode()  # lone surrogates are no names
        return found

    def no_number(spelling: str) -> None:
        raise ValueError(f"{spelling} is not JSON")

    try:
        parsed = json.loads(text.decode(), object_pairs_hook=unique, parse_constant=no_number)
    except (ValueError, RecursionError) as error:
        raise CheckpointDamaged(file, f"its header is not JSON ({error})") from error
    assert isinstance(parsed, dict)  # it begins with a brace
    return parsed


def _metadata(file: str, entry: object) -> dict[str, str]:
    if entry is None:
        return {}
    if not isinstance(entry, dict) or not all(isinstance(value, str) for value in entry.values()):
        raise CheckpointDamaged(file, "its __metadata__ is not a table of texts")
    return dict(entry)


def _tensor(file: str, name: str, entry: object, data: int) -> TensorInfo:
    """One entry of the header, checked for itself. `data`: where the tensors' bytes begin."""
    if not isinstance(entry, dict) or not entry.keys() >= {"dtype", "shape", "data_offsets"}:
        raise CheckpointDamaged(file, f"the entry of {name} is not a dtype, a shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BITS:
        raise CheckpointDamaged(
            file, f"{name} has the unknown dtype {str(dtype)[:40]!r}, expected one of {', '.join(BITS)}"
        )
    if not _are_counts(shape):
        raise CheckpointDamaged(file, f"the shape of {name} is {str(shape)[:80]}, expected whole numbers")
    if not _are_counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise CheckpointDamaged(
            file, f"the data_offsets of {name} are {str(offsets)[:80]}, expected a start and a stop"
        )
    start, stop = offsets
    bits = prod(shape) * BITS[dtype]
    if bits % 8 or bits // 8 != stop - start:
        raise CheckpointDamaged(
            file,
            f"{name} is {dtype} {_spelled(shape)}, which takes {_bytes(bits)}; its range has {stop - start}",
        )
    return TensorInfo(dtype=dtype, shape=tuple(shape), file=file, start=data + start, stop=data + stop)


def _are_counts(values: object) -> bool:
    return isinstance(values, list) and all(type(n) is int and 0 <= n < 1 << 64 for n in values)


def _bytes(bits: int) -> str:
    return f"{bits / 8:,.15g} bytes" if bits < 1 << 64 else "more bytes than any file has"


def _spelled(shape: list[int]) -> str:
    return f"({listed(shape)})"


def _check_ranges(file: str, tensors: dict[str, TensorInfo], data: int, size: int) -> None:
    """The ranges tile the file from the header to its end. Offsets in sentences count within the file."""
    end = data
    previous = "the header"
    for name, info in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].stop)):
        if info.start < end:
            raise CheckpointDamaged(
                file, f"{name} begins at byte {info.start}, inside {previous}, which ends at {end}"
            )
        if info.start > end:
            raise CheckpointDamaged(
                file, f"{name} begins at byte {info.start}, but {previous} ends at {end}: a hole of "
                f"{info.start - end} bytes"
            )  # fmt: skip
        if info.stop > size:
            raise CheckpointDamaged(
                file, f"it has {size} bytes, but {name} ({info.dtype} {_spelled(list(info.shape))}) needs "
                f"{info.stop}: the file was cut short. Fetch it again"
            )  # fmt: skip
        end, previous = info.stop, name
    if end < size:
        raise CheckpointDamaged(file, f"it has {size} bytes, but its last tensor ends at {end}")
