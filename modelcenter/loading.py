"""load(): the loader's journey from a name to a model in memory, top to bottom."""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelcenter.checkpoint.header import FLOATING
from modelcenter.checkpoint.source import Checkpoint, TensorInfo, open_checkpoint
from modelcenter.errors import ExtraMissing, Invalid
from modelcenter.families import openbmb
from modelcenter.families.derived import contradiction
from modelcenter.families.match import Match
from modelcenter.models.config import ModelConfig
from modelcenter.planning import dtype_name, plan
from modelcenter.weights.plan import Audit

if TYPE_CHECKING:
    import torch
    from torch.distributed.device_mesh import DeviceMesh

    from modelcenter.models.model import Model
    from modelcenter.streaming import StreamedCheckpoint

LONG_WORK = 1.0  # seconds, after which a bar is drawn


@dataclass(frozen=True)
class LoadReport:
    """Every tensor of the checkpoint accounted for, and what loading took.

    audit: the tensors that were read, derived, redundant (compared) or unused, by name.
    dtype: of the parameters; cast: stored dtype -> how many tensors changed it. bytes_read: of the tensors
    that make this rank's parameters. corrections: where the files said other than config.json. seconds: from
    call to model.
    """

    folder: Path
    family: str
    audit: Audit
    dtype: str
    cast: Mapping[str, int]
    bytes_read: int
    seconds: float
    corrections: tuple[str, ...] = ()

    def __str__(self) -> str:
        a = self.audit
        counts = f"{len(a.read)} tensors read"
        for names, word in (
            (a.copies, "compared"),
            (a.derived, "derived"),
            (a.unused, "not used"),
        ):
            counts += f", {len(names)} {word}" if names else ""
        for stored, number in self.cast.items():
            counts += f", {number} cast from {stored}"
        return (
            f"{self.family} in {self.dtype}: {counts}; {self.bytes_read / 1e6:.1f} MB in {self.seconds:.2f} s"
        )


@dataclass(frozen=True)
class Origin:
    """Where a model came from: what `save` needs to write it back, and its generation settings.

    stored: the dtype of every tensor of the files, by safetensors' name. own_dtype: that of the parameters,
    where nobody asked for one. kept: the derived tensors, and those that were rounded to `own_dtype`, as the
    files have them: mapped, so that they take no memory. lost: those that were rounded and streamed.
    """

    folder: Path
    matched: Match
    audit: Audit
    stored: Mapping[str, str]
    own_dtype: torch.dtype | None = None
    kept: Mapping[str, torch.Tensor] = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    generation: Mapping[str, Any] = field(default_factory=dict)


@contextmanager
def uncollected() -> Iterator[None]:
    """Leaves Python's cycle collector out: of the many objects that loading makes nearly all live on, and it
    would go through all of the program's each time (measured: up to 0.1 s)."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@uncollected()
def load(
    name: str | os.PathLike[str],
    *,
    revision: str | None = None,
    dtype: torch.dtype | str | None = None,
    device: torch.device | str = "cpu",
    head: str | None = None,
    fuse: bool = True,
    mmap: bool = True,
    clamp: bool = False,
    mesh: DeviceMesh | None = None,
    stream: bool = False,
    endpoint: str | None = None,
    token: str | None = None,
    local_files_only: bool = False,
    architecture: str | None = None,
) -> Model:
    """The model called `name`, in evaluation mode, with its `.tokenizer`, `.config` and `.report`.

    Its parameters ask for no gradients: `model.requires_grad_().train()` is ready to be tuned.

    name: OWNER/NAME on the hub, or a folder (`./x`, `/x`, or any with a config.json).
    revision: a branch, tag or commit; the main branch by default.
    dtype: of the parameters, by object or name (`fp16`, `float16`); None: the checkpoint's own.
    head: None for those that the checkpoint carries, "none" for the model alone, or one by name: `causal-lm`,
        `seq2seq-lm`, `masked-lm`, `replaced-token`, `pooling`, `next-sentence`, `sentence-order`,
        `sequence-classification`, `token-classification`, `question-answering`, `multiple-choice`,
        `image-classification`.
    fuse: q, k and v in one matrix, gate and up in another: fastest, at the price of one copy. False: as
        stored, mapped from the file without a copy.
    mmap: whether what needs no copy stays mapped from the file, in memory that processes share. False: all
        in memory of the process's own.
    clamp: values that fp16 cannot hold become its largest instead of an error.
    mesh: a DeviceMesh with a dimension named `tp`: each rank copies only its share, parameters are DTensors.
    stream: read the weights from the hub into memory, none of them on disk; a rank reads only its share. A
        ModelCenter hub sends digests with them; of others lengths and ETags are all that is checked.
    endpoint, token: of the hub; else MODELCENTER_ENDPOINT, the saved login, HF_ENDPOINT.
    local_files_only: take what the cache holds, ask no hub.
    architecture: of a checkpoint in OpenBMB's original form, where its tensors leave two (`bert` and
        `roberta`, `t5` and `cpm2`): `bert`, `cpm1`, `cpm2`, `cpm3`, `cpmant`, `cpmbee`, `glm`, `gpt2`,
        `gptj`, `llama`, `longformer`, `opt`, `roberta`, `t5`, `vit`.

    Raises RepositoryNotFound, RevisionNotFound; CheckpointError and its kinds where the checkpoint is
    damaged, of no known architecture, or does not hold exactly the tensors that its config.json implies:
    named before any weight is read; Invalid where a folder is to be streamed; CannotShard where the mesh does
    not divide the model; BeyondRange for a weight that fp16 cannot hold.
    """
    started = time.perf_counter()
    try:
        import torch
    except ModuleNotFoundError as error:
        raise ExtraMissing("torch", "load") from error

    from modelcenter import client
    from modelcenter.models.build import build
    from modelcenter.models.originals import accept_original_arguments
    from modelcenter.streaming import StreamedCheckpoint, open_stream, query
    from modelcenter.tokenizers import load_tokenizer
    from modelcenter.weights.ahead import read_ahead
    from modelcenter.weights.execute import execute

    dtype_name(dtype)  # what is no dtype is told before anything is fetched
    at: dict[str, Any] = {
        "revision": revision,
        "endpoint": endpoint,
        "token": token,
        "local_files_only": local_files_only,
    }
    checkpoint = open_stream(name, **at) if stream else open_checkpoint(client.locate(name, **at))
    streamed = isinstance(checkpoint, StreamedCheckpoint)
    folder = checkpoint.folder
    header = checkpoint.header.tensors
    rank, world = place_in(mesh)
    planned = plan(
        checkpoint.files,
        dtype=dtype,
        head=head,
        fuse=fuse,
        mapped=mmap or streamed,
        rank=rank,
        world=world,
        is_sharded=mesh is not None,
        architecture=architecture,
        header=checkpoint.header,
        differs=None if streamed else differing(checkpoint),
    )
    matched, config, kept = planned.matched, planned.config, getattr(torch, planned.dtype)
    derived = {name: checkpoint.tensor(name) for name in planned.audit.derived}
    corrections = (*planned.corrections, *contradictions(derived, matched.config))

    with shown_progress() as progress:
        if isinstance(checkpoint, StreamedCheckpoint):
            asked = query(dtype=dtype_name(dtype), head=head, fuse=fuse, tp=world, rank=rank)
            parameters = checkpoint.parameters(planned, asked, device=device, clamp=clamp, progress=progress)
        else:
            parameters = execute(planned.steps, checkpoint, device=device, clamp=clamp, progress=progress)
    model = build(config)
    assign(model, parameters, config, mesh)
    if mesh is None and not streamed:
        read_ahead(model.get_parameter(s.assignment.parameter) for s in planned.steps if s.way == "mapped")
    model.eval()
    if matched.dialect == openbmb.DIALECT:
        accept_original_arguments(model)

    num_types = getattr(matched.config, "type_vocab_size", 0)
    model.tokenizer = load_tokenizer(folder, matched.family.name, num_types)
    cast = [step.assignment for step in planned.steps if step.dtype == planned.dtype]
    read = {piece.source: header[piece.source] for a in cast for piece in a.pieces}
    is_own = dtype is None
    rounded = [name for name, info in read.items() if loses_bits(info.dtype, kept)] if is_own else []
    model.source = Origin(
        folder,
        matched,
        planned.audit,
        stored={name: info.dtype for name, info in header.items()},
        own_dtype=kept if is_own else None,
        kept=derived | {name: checkpoint.tensor(name) for name in rounded if not streamed},
        lost=tuple(rounded) if streamed else (),
        generation=generation_values(folder),
    )
    own = config.own_parameters()  # what others repeat is read once, and again from memory
    model.report = LoadReport(
        folder=folder,
        family=matched.family.name,
        audit=planned.accounts,
        dtype=planned.dtype,
        cast=cast_counts(read, planned.dtype),
        bytes_read=sum(
            elements * header[source].size_bytes // max(header[source].numel, 1)
            for a in planned.assignments
            if a.parameter in own
            for source, elements in a.elements_by_source()
        ),
        seconds=time.perf_counter() - started,
        corrections=corrections,
    )
    return model


@contextmanager
def shown_progress() -> Iterator[Callable[[int, int], None]]:
    """What is called with the bytes done and those to do, and draws a bar where the work is long."""
    started, bar = time.perf_counter(), None

    def told(done: int, total: int) -> None:
        nonlocal bar
        if bar is None:
            if time.perf_counter() - started < LONG_WORK or not sys.stderr.isatty():
                return
            from huggingface_hub.utils.tqdm import tqdm

            bar = tqdm(total=total, desc="Loading", unit="B", unit_scale=True)  # type: ignore[no-untyped-call]
        bar.update(done - bar.n)

    try:
        yield told
    finally:
        if bar is not None:
            bar.close()


def precise_parameters(config: ModelConfig, dtype: torch.dtype) -> dict[str, torch.dtype]:
    """The parameters that have another dtype in a model of `dtype`, with that dtype: see `Parameter`."""
    import torch

    own = str(dtype).removeprefix("torch.")
    tree = config.tree()
    return {name: torch.float32 for name, parameter in tree.items() if parameter.dtype_in(own) != own}


def loses_bits(stored: str, dtype: torch.dtype) -> bool:
    """Whether values of safetensors' `stored` are rounded to become `dtype`."""
    import torch

    own = getattr(torch, FLOATING.get(stored, str(dtype).removeprefix("torch.")))
    return torch.promote_types(own, dtype) != dtype


def settle_copies(checkpoint: Checkpoint, audit: Audit, matched: Match) -> Match:
    """Compare every redundant tensor with the one it repeats, bit for bit: see `Match.settle`."""
    return matched.settle(audit, checkpoint.header.tensors, differing(checkpoint))


def differing(checkpoint: Checkpoint | StreamedCheckpoint) -> Callable[[str, str], bool]:
    """Whether one tensor differs from another in any bit."""
    from modelcenter.weights.execute import equal_bits

    return lambda copy, original: not equal_bits(checkpoint.tensor(copy), checkpoint.tensor(original))


def contradictions(derived: Mapping[str, torch.Tensor], config: ModelConfig) -> Iterator[str]:
    """What derived tensors hold that is not what the configuration implies; it is followed all the same."""
    import torch

    for name, value in derived.items():
        wide = value.float() if value.dtype is torch.bfloat16 else value
        if (told := contradiction(name, wide.numpy(), config)) is not None:
            yield f"{name} holds {told}: config.json is followed."


def place_in(mesh: DeviceMesh | None) -> tuple[int, int]:
    """(rank, world) of this process in the mesh. Raises Invalid without a `tp`."""
    if mesh is None:
        return 0, 1
    if mesh.mesh_dim_names != ("tp",):
        raise Invalid(f"The mesh has dimensions {mesh.mesh_dim_names}; expected one dimension named 'tp'.")
    return mesh.get_local_rank(), mesh.size()


def assign(
    model: Model, parameters: Mapping[str, torch.Tensor], config: ModelConfig, mesh: DeviceMesh | None
) -> None:
    """Give a model on the meta device its parameters; with a mesh, as DTensors made of these pieces."""
    from torch import nn

    placed = parameters if mesh is None else distributed(parameters, config, mesh)
    holders = dict(model.named_modules())
    for name, parameter in placed.items():
        holder, _, own = name.rpartition(".")
        holders[holder].register_parameter(own, nn.Parameter(parameter, requires_grad=False))


def distributed(
    parameters: Mapping[str, torch.Tensor], config: ModelConfig, mesh: DeviceMesh
) -> dict[str, torch.Tensor]:
    """The local pieces as DTensors, without communication."""
    import torch
    from torch.distributed.tensor import DTensor, Replicate, Shard

    from modelcenter.checkpoint.header import row_major

    tree = config.tree()
    return {
        name: DTensor.from_local(
            piece,
            mesh,
            [Replicate() if (dim := tree[name].shard_dim) is None else Shard(dim)],
            run_check=False,
            # Without them uneven shards are taken for even ones.
            shape=torch.Size(tree[name].shape),
            stride=row_major(tree[name].shape),
        )
        for name, piece in parameters.items()
    }


def generation_values(folder: Path) -> dict[str, Any]:
    """What generation_config.json says, nothing where there is none or it is no table."""
    try:
        values = json.loads((folder / "generation_config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def cast_counts(read: Mapping[str, TensorInfo], dtype: str) -> dict[str, int]:
    """Stored dtype -> how many of the tensors read have it, for those that are not `dtype`."""
    counts: dict[str, int] = {}
    for info in read.values():
        if FLOATING.get(info.dtype) != dtype:
            counts[info.dtype] = counts.get(info.dtype, 0) + 1
    return counts
