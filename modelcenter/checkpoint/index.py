"""Sharded checkpoints: what an index says, held against what the shards hold. Knows no tensor format."""

from __future__ import annotations

import json
from collections.abc import Callable

from modelcenter.checkpoint.files import Files
from modelcenter.checkpoint.header import CheckpointHeader, FileHeader, Format
from modelcenter.errors import CheckpointDamaged, IndexContradiction, listed

MAX_INDEX_BYTES = 256 << 20


def read_sharded(
    files: Files, index: str, kind: Format, read_shard: Callable[[Files, str], FileHeader]
) -> CheckpointHeader:
    """The header of the checkpoint whose shards `index` names.

    A shard that is absent, a tensor that its shard lacks and a tensor that two shards hold raise. A tensor
    that a shard holds though the index does not list it is kept and named in `.unlisted`: it is there, and
    whether the model knows it is the audit's question.
    """
    weight_map, metadata = read_index(files, index)
    shards = sorted(set(weight_map.values()))
    absent = sorted(set(shards) - set(files.names()))
    if absent:
        raise IndexContradiction(
            index,
            f"it names {listed(absent)}, which {'is' if len(absent) == 1 else 'are'} not there",
            missing=tuple(sorted(tensor for tensor, shard in weight_map.items() if shard in set(absent))),
        )
    parts = tuple(read_shard(files, shard) for shard in shards)
    holders: dict[str, list[str]] = {}
    for part in parts:
        for tensor in part.tensors:
            holders.setdefault(tensor, []).append(part.name)
    misplaced = {
        tensor: shard for tensor, shard in weight_map.items() if shard not in holders.get(tensor, ())
    }
    unlisted = tuple(sorted(holders.keys() - weight_map.keys()))
    twice = {tensor: places for tensor, places in holders.items() if len(places) > 1}
    problems = []
    if misplaced:
        lacking = [
            f"{tensor} in {shard}" + (f" (it is in {holders[tensor][0]})" if tensor in holders else "")
            for tensor, shard in sorted(misplaced.items())
        ]
        problems.append(f"it places what is not there: {listed(lacking)}")
        if unlisted:
            problems.append(f"the shards hold what it does not list: {listed(unlisted)}")
    if twice:
        doubled = [f"{tensor} in {' and '.join(places)}" for tensor, places in sorted(twice.items())]
        problems.append(f"two shards hold the same tensor: {listed(doubled)}")
    if problems:
        missing = tuple(sorted(tensor for tensor in misplaced if tensor not in holders))
        raise IndexContradiction(index, "; ".join(problems), missing=missing, unexpected=unlisted)
    for part in parts:
        metadata = {**part.metadata, **metadata}
    return CheckpointHeader(format=kind, parts=parts, metadata=metadata, index=index, unlisted=unlisted)


def read_index(files: Files, index: str) -> tuple[dict[str, str], dict[str, str]]:
    """The index's weight_map (tensor name -> shard) and its metadata as texts. Raises CheckpointDamaged."""
    if files.size(index) > MAX_INDEX_BYTES:
        raise CheckpointDamaged(index, f"it has {files.size(index)} bytes, the limit is {MAX_INDEX_BYTES}")
    try:
        content = json.loads(files.read(index).decode())
    except (ValueError, RecursionError) as error:
        raise CheckpointDamaged(index, f"it is not JSON ({error})") from error
    weight_map = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointDamaged(index, "it has no weight_map of tensor names to shards")
    for tensor, shard in weight_map.items():
        if not isinstance(shard, str) or not is_plain_name(shard):
            raise CheckpointDamaged(
                index, f"it places {tensor} in {str(shard)[:80]!r}, expected the name of a file beside it"
            )
    metadata = content.get("metadata")
    texts = {name: str(value) for name, value in metadata.items()} if isinstance(metadata, dict) else {}
    return weight_map, texts


def is_plain_name(name: str) -> bool:
    """Whether `name` is that of a file beside the index: no folder, no way out, nothing hidden in it."""
    return name not in ("", ".", "..") and name.isprintable() and not any(c in name for c in "/\\:\0")
