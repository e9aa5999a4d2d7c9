"""plan(): what loading would read, map and copy, told from headers before a weight is read. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

from modelcenter.checkpoint.header import BITS, FLOATING, SAFETENSORS_NAMES
from modelcenter.checkpoint.sentence import read_sentences
from modelcenter.checkpoint.source import CheckpointHeader, Files, read_header
from modelcenter.errors import Invalid
from modelcenter.families.match import Match, match
from modelcenter.models.config import ModelConfig, share
from modelcenter.verification import differing, read_config
from modelcenter.weights.gathered import spans
from modelcenter.weights.indices import Want, at, whole
from modelcenter.weights.plan import Assignment, Audit, Tensor, audit
from modelcenter.weights.plan import plan as assigned
from modelcenter.weights.steps import Read, Step, merged, steps, touched

DTYPE_NAMES = {
    "fp32": "float32",
    "float": "float32",
    "fp16": "float16",
    "half": "float16",
    "bf16": "bfloat16",
    "fp64": "float64",
}


@dataclass(frozen=True)
class LoadingPlan:
    """What `load` does, step by step, for one rank.

    audit: of the whole checkpoint; accounts: of the heads that are asked for. config: of the model in the
    layout that it will have. dtype: of its parameters, by torch's name. corrections: where the files say
    other than config.json and are followed.
    """

    matched: Match
    header: CheckpointHeader
    audit: Audit
    accounts: Audit
    config: ModelConfig
    dtype: str
    steps: tuple[Step, ...]
    rank: int = 0
    world: int = 1
    corrections: tuple[str, ...] = ()

    @property
    def assignments(self) -> list[Assignment]:
        """How each parameter comes about."""
        return [step.assignment for step in self.steps]

    @property
    def reads(self) -> list[Read]:
        """All bytes that are needed, each once, in the order of the files."""
        return merged(read for step in self.steps for read in step.reads)

    @property
    def bytes_read(self) -> int:
        """The bytes of the files that are needed."""
        return sum(read.size_bytes for read in self.reads)

    @property
    def bytes_touched(self) -> int:
        """Those of the pages that they lie on."""
        return touched(self.reads)

    @property
    def ranges(self) -> int:
        """How many ranges a server of plain ranges is asked for; neighbours come as one."""
        return len(spans(self.reads))

    @property
    def bytes_over_read(self) -> int:
        """What it sends that lies between them and nobody wants."""
        reads = self.reads
        return sum(span.size for span in spans(reads)) - sum(read.size_bytes for read in reads)

    @property
    def bytes_mapped(self) -> int:
        """What parameters take that are views of the files."""
        return sum(size_bytes(step) for step in self.steps if step.way == "mapped")

    @property
    def bytes_copied(self) -> int:
        """What parameters take in memory of their own: the peak of private memory, but for a buffer."""
        return sum(size_bytes(step) for step in self.steps if step.way == "copied")

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON knows it: the sums, then each parameter with what it is made of."""
        return {
            "family": self.matched.family.name,
            "dtype": self.dtype,
            "rank": self.rank,
            "world": self.world,
            "bytesRead": self.bytes_read,
            "bytesTouched": self.bytes_touched,
            "ranges": self.ranges,
            "bytesOverRead": self.bytes_over_read,
            "bytesMapped": self.bytes_mapped,
            "bytesCopied": self.bytes_copied,
            "bytesStored": self.header.size_bytes,
            "corrections": list(self.corrections),
            "parameters": [
                {
                    "name": step.assignment.parameter,
                    "shape": list(step.assignment.shape),
                    "dtype": step.dtype,
                    "way": step.way,
                    "from": list(dict.fromkeys(piece.source for piece in step.assignment.pieces)),
                    "reads": [asdict(read) for read in step.reads],
                }
                for step in self.steps
            ],
        }


def plan(
    files: Files,
    *,
    dtype: object = None,
    head: str | None = None,
    fuse: bool = True,
    mapped: bool = True,
    rank: int = 0,
    world: int = 1,
    is_sharded: bool | None = None,
    architecture: str | None = None,
    header: CheckpointHeader | None = None,
    differs: Callable[[str, str], bool] | None = None,
) -> LoadingPlan:
    """The plan of `load` with these arguments, for one rank of `world`.

    files: a folder's or a revision's on a hub; of the weight files only headers are read, and the first
    bytes of redundant tensors. mapped: `load`'s mmap. is_sharded: whether the model is laid out for a mesh,
    also one of a single rank; by default where there are several. differs: whether one tensor differs from
    another that it should repeat; by default told from their first bytes.

    Raises as `load` does for what the checkpoint holds; Invalid for a rank that is none of `world`.
    """
    if not 0 <= rank < world:
        raise Invalid(f"Rank {rank} is none of {world}; expected 0 to {world - 1}.")
    wanted = dtype_name(dtype)
    header = header or read_header(files)
    tensors = header.tensors
    matched = match(read_config(files), tensors, architecture)
    stored, whole_audit = matched.audited(tensors)
    if (unknown := matched.unknown_class(whole_audit)) is not None:
        raise unknown
    whole_audit.require(files)
    read_sentences(files)  # what makes vectors of texts is told with the rest

    is_split = world > 1 if is_sharded is None else is_sharded
    layout = "fused" if fuse else "separate" if is_split else "stored"
    matched.arranged(head, layout)  # an unknown head is told before any weight is compared
    settled = matched.settle(whole_audit, tensors, differs or differing(files, header, True))
    if settled is not matched:
        matched = settled
        stored, whole_audit = matched.audited(tensors)
    config, carried = matched.arranged(head, layout), matched.arranged(None, layout)
    weights, accounts = stored, whole_audit
    if config != matched.config:  # else the audit of what is stored says it all
        weights = matched.weights(config, tensors)
        spare = weights if config == carried else matched.weights(carried, tensors)
        accounts = audit(weights, tensors, spare=spare)
        accounts.require(files)
    kept = wanted or own_dtype(tensors, matched.configuration.values)
    wants = shares(config, rank, world) if is_split else {}
    dtypes = {name: parameter.dtype_in(kept) for name, parameter in config.tree().items()}
    return LoadingPlan(
        matched=matched,
        header=header,
        audit=whole_audit,
        accounts=accounts,
        config=config,
        dtype=kept,
        steps=tuple(steps(assigned(weights, tensors, wants), tensors, dtypes, mapped=mapped)),
        rank=rank,
        world=world,
        corrections=matched.corrections,
    )


def size_bytes(step: Step) -> int:
    """What a parameter takes."""
    return prod(step.assignment.shape) * BITS[SAFETENSORS_NAMES[step.dtype]] // 8


def shares(config: ModelConfig, rank: int, world: int) -> dict[str, Want]:
    """The part of each parameter that a rank holds. Raises CannotShard."""
    return {
        name: at(whole(p.shape), p.shard_dim, share(name, p, rank, world))
        for name, p in config.tree().items()
        if p.shard_dim is not None
    }


def dtype_name(dtype: object) -> str | None:
    """torch's name of a floating dtype, given by object or by name. Raises Invalid for anything else."""
    if dtype is None:
        return None
    name = str(dtype).removeprefix("torch.")
    name = DTYPE_NAMES.get(name, name)
    if name not in FLOATING.values():
        raise Invalid(f"dtype {dtype!r} is no floating dtype; expected float32, float16 or bfloat16.")
    return name


def own_dtype(header: Mapping[str, Tensor], values: Mapping[str, Any]) -> str:
    """The checkpoint's own dtype, by torch's name: config.json's if any tensor has it, else the commonest."""
    counts: dict[str, int] = {}
    for info in header.values():
        if info.dtype in FLOATING:
            counts[info.dtype] = counts.get(info.dtype, 0) + prod(info.shape)
    stated = values.get("dtype", values.get("torch_dtype"))
    if isinstance(stated, str) and stated in {FLOATING[name] for name in counts}:
        return str(stated)
    return FLOATING[max(counts, key=lambda name: counts[name])] if counts else "float32"
