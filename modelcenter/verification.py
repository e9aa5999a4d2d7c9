"""Whether a checkpoint loads, told from its configuration and the headers of its files. No torch."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, fields
from itertools import islice
from math import prod
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from modelcenter.checkpoint.files import LocalFiles
from modelcenter.checkpoint.sentence import read_sentences
from modelcenter.checkpoint.source import CONFIGS, CheckpointHeader, Files, read_header
from modelcenter.errors import (
    CheckpointError,
    CheckpointNotFound,
    ConfigurationInvalid,
    CopyDiffers,
    IndexContradiction,
    UnknownArchitecture,
)
from modelcenter.families.derived import contradiction
from modelcenter.families.match import match
from modelcenter.models.config import ModelConfig
from modelcenter.weights.plan import Audit, Misshapen, Missing, Unexpected

Status = Literal[
    "complete", "incomplete", "invalid_configuration", "unknown_architecture", "no_checkpoint", "damaged"
]
MOST_CONFIG_BYTES = 4_000_000
MOST_VALUE_BYTES = 4 << 20  # of one derived tensor whose values are read
NAMED = 200  # tensors of a kind that a report names; the rest is counted
BITS = {"fp32": 32, "fp16": 16, "int8": 8, "int4": 4}  # of a parameter, in the types that people load in


def memory(parameters: int, precise: int = 0) -> dict[str, int]:
    """The bytes that the weights take in each of `BITS`; what a quantised form needs besides is left out.

    precise: how many of the parameters stay in single precision in a model of fp16.
    """
    sizes = {name: -(-parameters * bits // 8) for name, bits in BITS.items()}
    return sizes | {"fp16": sizes["fp16"] + 2 * precise}


@dataclass(frozen=True)
class ModelFacts:
    """What the configuration implies; None where the architecture has no such thing.

    max_position_embeddings: tokens. parameters: those of the model, a tied head and layers that are shared
    counted once; precise_parameters: those of them that stay in single precision in a model of fp16.
    """

    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int | None
    max_position_embeddings: int | None
    parameters: int
    precise_parameters: int = 0

    @classmethod
    def of(cls, config: ModelConfig) -> ModelFacts:
        """The facts of a model."""
        own, tree = config.own_parameters(), config.tree()
        precise = [name for name in own if tree[name].dtype_in("float16") != "float16"]
        return cls(
            hidden_size=config.hidden_size,
            num_layers=config.num_layers,
            num_heads=config.num_heads,
            num_kv_heads=config.num_kv_heads,
            head_dim=config.head_dim,
            vocab_size=config.vocab_size,
            max_position_embeddings=config.max_position_embeddings,
            parameters=sum(map(prod, own.values())),
            precise_parameters=sum(prod(own[name]) for name in precise),
        )


@dataclass(frozen=True)
class Verdict:
    """What the headers of a checkpoint prove.

    status: `complete`, every tensor accounted for; `incomplete`, with the names in missing, unexpected,
    misshapen; `invalid_configuration`, a config.json with values that cannot be meant or are not
    supported; `unknown_architecture`; `no_checkpoint`; `damaged`, a file that contradicts itself or asks to
    run code.
    problem: the sentence, empty when complete. tensors: how many the files hold; counts: how many of each
    kind where a list here was cut. parameters: elements in the files, bytes: what they take. redundant:
    tensors that repeat another (copy -> original), as far as dtypes tell and, where values were read, the
    first MOST_VALUE_BYTES; `load` compares all.
    derived: tensors that follow from the configuration; contradicted: those of them that hold something else
    than it implies, with what, where values were read. unused: learned tensors that no layer reads, such as
    heads that pretraining left behind. others: entries of pickles that are no tensors, with their kind.
    corrections: where the files say other than config.json and are followed: a vocabulary of more rows, a
    head that is not tied. unknown_modules: what modules.json has between texts and vectors that is not known:
    `load` loads the model, `encode` refuses.
    """

    status: Status
    problem: str = ""
    family: str | None = None
    architecture: str | None = None
    heads: tuple[str, ...] = ()
    format: str | None = None
    files: tuple[str, ...] = ()
    tensors: int = 0
    parameters: int = 0
    parameters_by_dtype: Mapping[str, int] = field(default_factory=dict)
    bytes: int = 0
    missing: tuple[Missing, ...] = ()
    unexpected: tuple[Unexpected, ...] = ()
    misshapen: tuple[Misshapen, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    derived: tuple[str, ...] = ()
    contradicted: Mapping[str, str] = field(default_factory=dict)
    redundant: Mapping[str, str] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    others: Mapping[str, str] = field(default_factory=dict)
    corrections: tuple[str, ...] = ()
    unknown_modules: tuple[str, ...] = ()
    facts: ModelFacts | None = None

    @property
    def is_complete(self) -> bool:
        """Whether `load` loads it."""
        return self.status == "complete"

    @property
    def model_parameters(self) -> int:
        """The parameters of the model, a tied head counted once; those in the files where it is unknown."""
        return self.facts.parameters if self.facts else self.parameters

    @property
    def memory(self) -> dict[str, int]:
        """The bytes that the weights take in memory, by dtype: see `memory`."""
        return memory(self.model_parameters, self.facts.precise_parameters if self.facts else 0)

    @property
    def has_shapes(self) -> bool:
        """Whether missing, unexpected and misshapen tell all that `problem` says: names, shapes and files."""
        shapes = [item.shape for item in self.missing] + [item.shape for item in self.unexpected]
        return bool(shapes or self.misshapen) and all(shapes)

    @property
    def ignored(self) -> dict[str, str]:
        """Every entry of the files that makes no parameter, with the reason."""
        derived = dict.fromkeys(self.derived, "derived from the configuration")
        others = {name: f"holds {what}: not read" for name, what in self.contradicted.items()}
        copies = {
            copy: f"repeats {original}, which load compares" for copy, original in self.redundant.items()
        }
        unused = dict.fromkeys(self.unused, "learned, but read by no layer")
        state = {name: f"{kind}, no tensor: training state" for name, kind in self.others.items()}
        return derived | others | copies | unused | state

    def to_json(self) -> dict[str, Any]:
        """The report as JSON knows it, with the memory that its parameters take and the tensors that make
        none; `from_json` reads it."""
        return {**asdict(self), "memory": self.memory, "ignored": self.ignored}

    @classmethod
    def from_json(cls, report: Mapping[str, Any]) -> Verdict:
        """The verdict that `to_json` told. Raises ValueError for a report that is none."""
        known = {f.name for f in fields(cls)}
        values = {name: value for name, value in report.items() if name in known}
        if values.get("status") not in get_args(Status):
            raise ValueError(
                f"The report has status {values.get('status')!r}; expected one of {get_args(Status)}."
            )
        for name, kind in (("missing", Missing), ("unexpected", Unexpected), ("misshapen", Misshapen)):
            values[name] = tuple(kind(**_shapes(item)) for item in values.get(name, ()))
        for name in ("heads", "files", "derived", "unused", "corrections", "unknown_modules"):
            values[name] = tuple(values.get(name, ()))
        if values.get("facts"):
            values["facts"] = ModelFacts(**values["facts"])
        return cls(**values)


def _shapes(item: Mapping[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in item.items()}


def verify(
    files: Files | str | os.PathLike[str], *, architecture: str | None = None, values: bool = True
) -> Verdict:
    """What config.json and the weight files' headers prove. Never raises for what a checkpoint holds.

    files: a folder, or whatever serves files by name, such as a revision on a hub. A folder that is not there
    holds no checkpoint. architecture: as `load` takes it. values: whether those of derived tensors and the
    first ones of copies are read and compared; else headers alone.
    """
    if isinstance(files, str | os.PathLike):
        files = LocalFiles(Path(files))
    try:
        header = read_header(files)
    except CheckpointNotFound as error:
        return Verdict("no_checkpoint", str(error))
    except IndexContradiction as error:
        return _contradicted(files, error)
    except CheckpointError as error:
        return Verdict("damaged", str(error))
    seen = _seen(header)
    try:
        matched = match(read_config(files), header.tensors, architecture)
        audit = matched.audit(header.tensors)
        sentences = read_sentences(files)
    except (UnknownArchitecture, ConfigurationInvalid) as error:
        is_unknown = isinstance(error, UnknownArchitecture)
        status: Status = "unknown_architecture" if is_unknown else "invalid_configuration"
        return Verdict(status, str(error), architecture=_architecture(files), **seen)
    except CheckpointError as error:  # of the modules that make vectors of texts
        return Verdict("damaged", str(error), architecture=_architecture(files), **seen)
    if (unknown := matched.unknown_class(audit)) is not None:
        return Verdict("unknown_architecture", str(unknown), architecture=_architecture(files), **seen)
    if audit.ok:
        try:
            matched = matched.settle(audit, header.tensors, differing(files, header, values))
        except CopyDiffers as error:
            return Verdict("damaged", str(error), matched.family.name, _architecture(files), **seen)
        audit = matched.audit(header.tensors)
    return Verdict(
        status="complete" if audit.ok else "incomplete",
        problem="" if audit.ok else _capitalised(audit.problems()),
        family=matched.family.name,
        architecture=matched.configuration.architecture or None,
        heads=matched.config.heads,
        facts=ModelFacts.of(matched.config),
        contradicted=contradicted(files, header, audit.derived, matched.config) if values else {},
        corrections=matched.corrections,
        unknown_modules=sentences.unknown if sentences else (),
        **seen,
        **_accounts(audit),
    )


def contradicted(
    files: Files, header: CheckpointHeader, derived: Collection[str], config: ModelConfig
) -> dict[str, str]:
    """The derived tensors that hold something else than `config` implies, with what.

    Those beyond MOST_VALUE_BYTES, those that a pickle does not keep as plain rows and those of dtypes that
    numpy does not know are not read.
    """
    found = {}
    for name in derived:
        info = header.tensors[name]
        if info.size_bytes > MOST_VALUE_BYTES or info.stride is not None or info.start < 0:
            continue
        if (values := array(files.read(info.file, info.start, info.stop), info.dtype)) is None:
            continue
        if (told := contradiction(name, values.reshape(info.shape), config)) is not None:
            found[name] = told
    return found


def differing(files: Files, header: CheckpointHeader, values: bool) -> Callable[[str, str], bool]:
    """Whether a tensor differs from another of its shape: in its dtype, or within MOST_VALUE_BYTES.

    values: whether bytes are read at all; those that a pickle does not keep as plain rows never are.
    """

    def differs(copy: str, original: str) -> bool:
        pair = header.tensors[copy], header.tensors[original]
        if pair[0].dtype != pair[1].dtype:
            return True
        if not values or any(info.stride is not None or info.start < 0 for info in pair):
            return False
        count = min(pair[0].size_bytes, MOST_VALUE_BYTES)
        one, other = ((info.file, info.start, info.start + count) for info in pair)
        return one != other and files.read(*one) != files.read(*other)

    return differs


NUMPY_NAMES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "I16": "<i2", "I32": "<i4", "I64": "<i8",
    "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip


def array(data: bytes, dtype: str) -> NDArray[Any] | None:
    """The values, flat; None for a dtype that numpy does not know. bfloat16 is given as fp32."""
    if dtype == "BF16":
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
    return np.frombuffer(data, NUMPY_NAMES[dtype]) if dtype in NUMPY_NAMES else None


def _contradicted(files: Files, error: IndexContradiction) -> Verdict:
    """An index that names other tensors than its shards hold: names are known, shapes are not."""
    missing = tuple(Missing(name, "", ()) for name in error.missing)
    unexpected = tuple(Unexpected(name, (), error.file) for name in error.unexpected)
    return Verdict(
        "incomplete" if missing or unexpected else "damaged",
        str(error),
        family=_family(files),
        architecture=_architecture(files),
        missing=missing[:NAMED],
        unexpected=unexpected[:NAMED],
        counts={"missing": len(missing), "unexpected": len(unexpected), "misshapen": 0},
    )


def _seen(header: CheckpointHeader) -> dict[str, Any]:
    by_dtype: dict[str, int] = {}
    for info in header.tensors.values():
        by_dtype[info.dtype] = by_dtype.get(info.dtype, 0) + info.numel
    return {
        "format": header.format,
        "files": header.files,
        "tensors": len(header.tensors),
        "parameters": sum(by_dtype.values()),
        "parameters_by_dtype": by_dtype,
        "bytes": sum(info.size_bytes for info in header.tensors.values()),
        "others": {name: kind for part in header.parts for name, kind in islice(part.others.items(), NAMED)},
    }


def _accounts(audit: Audit) -> dict[str, Any]:
    kinds = {"missing": audit.missing, "unexpected": audit.unexpected, "misshapen": audit.misshapen}
    return {
        **{name: items[:NAMED] for name, items in kinds.items()},
        "counts": {name: len(items) for name, items in kinds.items()} | {"unused": len(audit.unused)},
        "derived": audit.derived,
        "redundant": dict(audit.copies),
        "unused": audit.unused[:NAMED],
    }


def _capitalised(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:] + "."


def config_name(files: Files) -> str:
    """The file that is or stands for config.json. Raises UnknownArchitecture where there is none."""
    names = files.names()
    found = next((name for name in CONFIGS if name in names), None)
    if found is None:
        raise UnknownArchitecture("There is no config.json, so the architecture is not known.")
    return found


def read_config(files: Files) -> dict[str, Any]:
    """The values of config.json. Raises UnknownArchitecture without one, ConfigurationInvalid if no table."""
    name = config_name(files)
    if files.size(name) > MOST_CONFIG_BYTES:
        raise ConfigurationInvalid(f"has more than {MOST_CONFIG_BYTES} bytes; expected a few kilobytes")
    try:
        values = json.loads(files.read(name))
    except (ValueError, RecursionError) as error:
        raise ConfigurationInvalid(f"is no JSON: {error}") from error
    if not isinstance(values, dict):
        raise ConfigurationInvalid(f"holds a {type(values).__name__}; expected a table of names and values")
    return values


def _family(files: Files) -> str | None:
    """The family that config.json names, where it can be read without the tensors."""
    try:
        return match(read_config(files), {}).family.name
    except CheckpointError:
        return None


def _architecture(files: Files) -> str | None:
    try:
        values = read_config(files)
    except CheckpointError:
        return None
    names = values.get("architectures")
    first = names[0] if isinstance(names, list) and names else values.get("model_type")
    return first if isinstance(first, str) else None
