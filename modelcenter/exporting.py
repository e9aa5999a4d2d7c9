"""A checkpoint in another form: transformers', OpenBMB's original one, or our own.

Everything is proved before it is published: config.json, read again, says the same model; every tensor is
read back and compared.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from functools import cache, partial, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelcenter.checkpoint.header import FLOATING
from modelcenter.checkpoint.source import LocalFiles, TensorInfo, open_checkpoint
from modelcenter.checkpoint.write import MAX_SHARD_BYTES, Pending, write_safetensors
from modelcenter.conversion.companions import companions
from modelcenter.conversion.report import Progress
from modelcenter.errors import (
    CannotConvert,
    CheckpointError,
    ConfigurationInvalid,
    ConversionDiffers,
    Invalid,
    listed,
)
from modelcenter.families import forms, native, openbmb
from modelcenter.families.configuration import Configuration
from modelcenter.families.family import Family, in_layout
from modelcenter.families.match import FILES, Match, family, match
from modelcenter.families.table import CLASSES, FAMILIES
from modelcenter.loading import settle_copies
from modelcenter.models.config import LanguageHead
from modelcenter.saving import cast, safetensors_name
from modelcenter.verification import config_name, read_config, verify
from modelcenter.weights.plan import plan
from modelcenter.weights.relations import names
from modelcenter.weights.rules import WeightMap
from modelcenter.weights.steps import steps

if TYPE_CHECKING:
    import torch

FORMS = (forms.HUGGINGFACE, openbmb.DIALECT, native.DIALECT)
PICKLE = "pytorch_model.pt"  # OpenBMB's one file


@dataclass(frozen=True)
class FormReport:
    """A checkpoint written in another form and read back.

    files: the weights. identical: of `tensors`, those that were read back bit for bit as they were meant.
    computed: parameters that the form holds by other values. dtype: of what was written, or several.
    notes: what the form cannot hold, what its own classes have and the checkpoint lacks, what of the
    checkpoint was left out.
    """

    family: str
    source: str
    target: str
    files: tuple[str, ...]
    copied: tuple[str, ...]
    tensors: int
    identical: int
    computed: int
    size_bytes: int
    dtype: str
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The report as JSON knows it."""
        return asdict(self)


@dataclass(frozen=True)
class _Described:
    """What a header will say of a tensor that is yet to be written."""

    dtype: str
    shape: tuple[int, ...]
    file: str = ""
    start: int = 0


@dataclass(frozen=True)
class _Target:
    """A model in the form that it is to have: its map, its config.json, what its parameters are."""

    matched: Match
    weights: WeightMap
    values: dict[str, Any]
    adapted: forms.Adapted


def export(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    to: str,
    *,
    architecture: str | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    progress: Progress = lambda stage, done, total: None,
) -> FormReport:
    """Write the checkpoint in the folder `source` as `to`: `huggingface`, `modelcenter` or `native`.

    destination: a folder that is absent or empty. The files that go with the weights (`companions`) are
    copied along, and config.json is kept beside the new one, so that the way back says all that it said.
    Values are moved in the dtype of their own tensors (OpenBMB's form has one dtype a file), not changed,
    but for those named in `modelcenter/families/forms`. Raises CannotConvert where the other form cannot
    hold the model, ConversionDiffers where what was written is read otherwise; nothing is left then.
    """
    import torch

    from modelcenter.weights.execute import execute

    source, destination = Path(source), Path(destination)
    if to not in FORMS:
        raise CannotConvert(f"There is no form {to!r}; expected one of {', '.join(FORMS)}.")
    if destination.is_dir() and any(destination.iterdir()):
        raise Invalid(f"{destination} is not empty: name a new folder.")
    with open_checkpoint(source) as checkpoint:
        header = checkpoint.header.tensors
        matched = match(read_config(LocalFiles(source)), header, architecture)
        audit = matched.audit(header)
        audit.require(source)
        matched = settle_copies(checkpoint, audit, matched)
        audit, config = matched.audit(header), matched.config
        kept = read_config(LocalFiles(source)) if matched.dialect == to else kept_config(source, to)
        if kept is None:
            form(matched.family.name, to)
        # What lies together in our own form is cut apart where values are computed, or as it is written.
        is_described = to in forms.FORMS.get(matched.family.name, {})
        together = matched.dialect == native.DIALECT and not is_described
        if matched.dialect == openbmb.DIALECT and kept is not None:
            config = with_kept_head(config, kept)
        config = in_layout(config, "fused" if to == native.DIALECT or together else "separate")
        weights = matched.weights(config, header)
        dtypes = widest(header, weights)
        if to == openbmb.DIALECT:  # one dtype a file
            dtypes = dict.fromkeys(dtypes, reduce(torch.promote_types, dtypes.values()))
        named = {name: str(dtype).removeprefix("torch.") for name, dtype in dtypes.items()}
        parameters = execute(steps(plan(weights, header, {}), header, named), checkpoint)
        found = replace(matched, config=config)
        target = arranged(found, parameters.__getitem__, to, kept)
        computed = {
            name: cache(lambda make=make: make(parameters.__getitem__))
            for name, make in target.adapted.values.items()
        }
        tensors = pending(target, parameters, computed)
        notes = (
            *target.adapted.notes,
            *lacking(target, tensors),
            *left_out(audit.unused, tensors, "nothing reads it"),
            *left_out(audit.derived, tensors, "config.json implies it"),
        )
        draft = destination.parent / f".{destination.name}-{secrets.token_hex(4)}"
        try:
            draft.mkdir(parents=True)
            if to == openbmb.DIALECT:
                files: tuple[str, ...] = write_pickle(draft, target, tensors)
            else:
                files = write_safetensors(draft, tensors, max_shard_bytes=max_shard_bytes)
            write_json(draft / "config.json", target.values)
            if kept is not None and {"half": True, **kept} == {"half": True, **target.values}:
                shutil.copyfile(kept_file(source, matched, to), draft / "config.json")  # every byte of it
            copied = copy_companions(source, draft, matched, to)
            identical = proved(draft, tensors, progress)
            destination.mkdir(parents=True, exist_ok=True)
            for file in sorted(draft.iterdir()):
                file.replace(destination / file.name)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return FormReport(
        family=target.matched.family.name,
        source=matched.dialect,
        target=to,
        files=files,
        copied=copied,
        tensors=len(tensors),
        identical=identical,
        computed=len(computed),
        size_bytes=sum((destination / name).stat().st_size for name in files),
        dtype=", ".join(dict.fromkeys(FLOATING[tensor.dtype] for tensor in tensors.values())),
        notes=notes,
    )


def widest(header: Mapping[str, TensorInfo], weights: WeightMap) -> dict[str, torch.dtype]:
    """Of each parameter the dtype that holds every value of the tensors that it is made of."""
    import torch

    def own(name: str) -> torch.dtype:
        dtype: torch.dtype = getattr(torch, FLOATING.get(header[name].dtype, "float32"))
        return dtype

    return {
        ours: reduce(torch.promote_types, (own(name) for name in names(weights.rules[ours])))
        for ours in weights.parameters
    }


def arranged(matched: Match, get: forms.Get, to: str, kept: Mapping[str, Any] | None) -> _Target:
    """The model as the form `to` has it. Raises CannotConvert, naming what the form cannot say."""
    if kept is not None and (again := as_kept(matched, to, kept)) is not None:
        return again
    name, written = matched.family.name, form(matched.family.name, to)
    if written is None:
        found, adapted = native.family(name), forms.Adapted(matched.config)
        values = native.described(name, matched.config)
    else:
        found, adapted = family(name.replace("-", "_")), written.adapt(matched.config, get)
        rows: Any = getattr(matched.config, "vocab_size", None)
        if kept is not None and kept.get("vocab_size") == rows != getattr(adapted.config, "vocab_size", rows):
            adapted = with_kept_rows(adapted, rows)
        values = written.describe(adapted.config)
    weights = found.dialects[to](adapted.config)
    if unplaced := [ours for ours in weights.parameters if ours not in weights.rules]:
        raise CannotConvert(f"{to} has no place for {listed(unplaced)}: the model has no such form.")
    header, reader = implied(weights, adapted), found.reader(to)
    try:
        read = reader(Configuration(values), header)
    except ConfigurationInvalid as error:
        raise CannotConvert(f"The model has no form {to}: its {error}") from error
    told = forms.differences(forms.canonical(adapted.config), forms.canonical(read))
    if told:
        raise CannotConvert(f"{to} has no way to say {listed(told)}: the model has no such form.")
    if kept is not None and written is not None:
        values = restored(values, kept, reader, header, adapted.config, name, to)
    return _Target(
        Match(found, to, Configuration(values), adapted.config),
        spelled(found, weights, values, header),
        values,
        adapted,
    )


def as_kept(matched: Match, to: str, kept: Mapping[str, Any]) -> _Target | None:
    """The model as the config.json that was kept says it, where that is the same model; else None.

    So every family has the way back, those that no form is written for too. OpenBMB's forms are described
    anew: their files hold rows and copies that no config.json tells.
    """
    name = matched.family.name
    module = kept_module(kept) or name.replace("-", "_")
    is_described = openbmb.DIALECT in forms.FORMS.get(name, {})
    if to == native.DIALECT or (to == openbmb.DIALECT and is_described) or module not in FILES:
        return None
    found, adapted = family(module), forms.Adapted(matched.config)
    if to not in found.dialects:
        return None
    weights, values = found.dialects[to](matched.config), dict(kept)
    if any(ours not in weights.rules for ours in weights.parameters):
        return None
    header = implied(weights, adapted)
    try:
        known = found.reader(to)(Configuration(values), header)
    except CheckpointError:
        return None
    told = forms.differences(forms.canonical(matched.config), forms.canonical(known))
    allowed = () if to in forms.FORMS.get(name, {}) else forms.RESTORED.get(name, ())
    if not are_restored(told, allowed):
        return None
    return _Target(
        Match(found, to, Configuration(values), matched.config),
        spelled(found, weights, values, header),
        values,
        adapted,
    )


def spelled(
    found: Family, weights: WeightMap, values: Mapping[str, Any], header: Mapping[str, Any]
) -> WeightMap:
    """The names as transformers writes them: a model without a head lacks the prefix of those with one."""
    named = str((values.get("architectures") or [""])[0])
    if named in found.spellings:
        ours, theirs = found.spellings[named]
        made = {
            theirs + name.removeprefix(ours) if name.startswith(ours) else name: told
            for name, told in header.items()
        }
        return found.spelled(weights, named).bind(made)
    if not is_headless(named):
        return weights
    return weights.bind({name.removeprefix(weights.optional_prefix): told for name, told in header.items()})


def is_headless(named: str) -> bool:
    """Whether a class of transformers is one without a head."""
    return named.endswith("Model") and not named.endswith(
        ("HeadModel", "HeadsModel", "ChatGLMModel", "MarianMTModel")
    )


def with_kept_head(config: Any, kept: Mapping[str, Any]) -> Any:
    """The model without the head that OpenBMB's form has lent it: see `forms.NO_HEAD`."""
    head = getattr(config, "head", None)
    is_lent = isinstance(head, LanguageHead) and head.tied and is_headless(Configuration(kept).architecture)
    return replace(config, head=None) if is_lent else config


def with_kept_rows(adapted: forms.Adapted, rows: int) -> forms.Adapted:
    """The table of tokens as it is, where the form would pad it and the one that was kept had no padding."""
    config: Any = adapted.config
    values = {name: value for name, value in adapted.values.items() if name != "embedding.weight"}
    return replace(adapted, config=replace(config, vocab_size=rows), values=values)


def form(name: str, to: str) -> forms.Form | None:
    """How a family is written as `to`; None: as it is, in our own form. Raises CannotConvert."""
    found = forms.FORMS.get(name, {}).get(to)
    if found is None and to != native.DIALECT:
        known = sorted(family for family, own in forms.FORMS.items() if to in own)
        raise CannotConvert(f"The family {name} has no form {to}; those that have are {', '.join(known)}.")
    return found


def implied(weights: WeightMap, adapted: forms.Adapted) -> dict[str, Any]:
    """What the header will say."""
    from modelcenter.weights.relations import sources

    made: dict[str, Any] = {}
    for ours, shape in weights.parameters.items():
        for source, stored in sources(weights.rules[ours], shape):
            made[source.names[0]] = _Described("F32", stored)
    for copy, original in adapted.duplicates.items():
        made[copy] = made[original]
    return made


def restored(
    values: dict[str, Any],
    kept: Mapping[str, Any],
    reader: Any,
    header: Mapping[str, Any],
    config: Any,
    name: str,
    to: str,
) -> dict[str, Any]:
    """The config.json that was kept when the model came from this form, if it still says this model."""
    try:
        known = reader(Configuration(kept), header)
    except CheckpointError:
        return values
    told = forms.differences(forms.canonical(config), forms.canonical(known))
    if not are_restored(told, forms.RESTORED.get(name, ())):
        return values
    if to != openbmb.DIALECT:
        return dict(kept)
    # What a table's rows say, and whether there is a matrix beside them, the file knows better.
    said = {**openbmb.DEFAULTS.get(name, {}), **kept}
    # One that tells classes has no such matrix, tied or not.
    by_file = set(openbmb.OF_THE_FILE) - ({"tied"} if said.get("cls_head") and said.get("tied") else set())
    keys = [key for key in sorted(by_file) if key in values and values[key] != said.get(key)]
    return {**values, **kept, **{key: values[key] for key in keys}} if keys else dict(kept)


def kept_module(kept: Mapping[str, Any]) -> str | None:
    """The file in families/ of whom transformers' config.json names: OpenBMB's tells no mT5 from a T5."""
    named = kept.get("model_type")
    return CLASSES.get(
        Configuration(kept).architecture, FAMILIES.get(named) if isinstance(named, str) else None
    )


def lacking(target: _Target, tensors: Mapping[str, Pending]) -> tuple[str, ...]:
    """What the form's own classes have and the file does not, as a sentence; nothing where it has all."""
    found, to = target.matched.family, target.matched.dialect
    written = forms.FORMS.get(found.name, {}).get(to)
    if written is None:
        return ()
    whole = written.whole(target.adapted.config)
    absent = [
        name for name in implied(found.dialects[to](whole), forms.Adapted(whole)) if name not in tensors
    ]
    if not absent:
        return ()
    names = listed(absent, len(absent))
    return (f"The checkpoint lacks {names}: OpenBMB's classes leave them as they begin them.",)


def left_out(names: Iterable[str], tensors: Mapping[str, Pending], reason: str) -> tuple[str, ...]:
    """Tensors of the source that make no parameter and that the form does not repeat, as a sentence."""
    gone = [name for name in names if name not in tensors]
    return (f"Left out, since {reason}: {listed(gone, len(gone))}.",) if gone else ()


def are_restored(told: Iterable[str], allowed: Iterable[str]) -> bool:
    """Whether all differences are at places that may differ: see `forms.RESTORED`."""
    return all(any(fnmatchcase(line.partition(":")[0], place) for place in allowed) for line in told)


def kept_config(folder: Path, form: str) -> dict[str, Any] | None:
    """The config.json of that form that an earlier conversion has kept beside the present one."""
    try:
        values = json.loads((folder / f"{form}_config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def kept_file(source: Path, matched: Match, to: str) -> Path:
    """The config.json of the form `to` in a folder: its own, or the one that was kept."""
    own = matched.dialect == to
    return source / (config_name(LocalFiles(source)) if own else f"{to}_config.json")


def pending(
    target: _Target,
    parameters: Mapping[str, torch.Tensor],
    computed: Mapping[str, Callable[[], torch.Tensor]],
) -> dict[str, Pending]:
    """The tensors of the file, by name, made when their turn comes."""
    from modelcenter.weights.execute import exported

    one = stored_dtype(target, parameters, computed)
    wanted = {
        name: computed[name]() if name in computed else parameters[name] for name in target.weights.parameters
    }

    made = {
        name: Pending(safetensors_name(str(one or own)), shape, partial(cast, values, one or own))
        for name, shape, own, values in exported(target.weights, wanted)
    }
    return {**made, **{copy: made[original] for copy, original in target.adapted.duplicates.items()}}


def stored_dtype(
    target: _Target,
    parameters: Mapping[str, torch.Tensor],
    computed: Mapping[str, Callable[[], torch.Tensor]],
) -> torch.dtype | None:
    """The narrowest dtype of the form that holds every value: OpenBMB's has two, fp16 and fp32.

    None: that of each tensor's own parameters.
    """
    import torch

    if target.matched.dialect != openbmb.DIALECT:
        return torch.float32 if target.adapted.widened else None
    own = next(iter(parameters.values())).dtype
    if own is torch.float16 and not target.adapted.widened:
        return own
    fits = target.adapted.widened and all(
        is_half(value)
        for name in target.weights.parameters
        for value in [computed[name]() if name in computed else parameters[name]]
    )
    return torch.float16 if fits else torch.float32


def is_half(value: torch.Tensor) -> bool:
    """Whether every element was in half precision before it was multiplied and divided in single."""
    wide = value.double()
    return bool(((wide.half().double() - wide).abs() <= 1e-6 * wide.abs()).all())


def write_pickle(folder: Path, target: _Target, tensors: Mapping[str, Pending]) -> tuple[str, ...]:
    """OpenBMB's file: an ordered table of names, contiguous tensors on the CPU."""
    import torch

    table = OrderedDict((name, tensor.data()) for name, tensor in tensors.items())
    half = all(tensor.dtype == "F16" for tensor in tensors.values())
    target.values["half"] = half
    torch.save(OrderedDict((n, v.contiguous().clone()) for n, v in table.items()), folder / PICKLE)  # type: ignore[union-attr]
    return (PICKLE,)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """A config.json."""
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", "utf-8")


def copy_companions(source: Path, draft: Path, matched: Match, to: str) -> tuple[str, ...]:
    """The files that go with the weights, and the old config.json under the name of its form."""
    copied = []
    for name in companions(source):
        if name in ("config.json", f"{to}_config.json"):
            continue
        (draft / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, draft / name)
        copied.append(name)
    if matched.dialect not in (to, native.DIALECT):
        kept = f"{matched.dialect}_config.json"
        shutil.copyfile(source / config_name(LocalFiles(source)), draft / kept)
        values, rows = read_config(LocalFiles(source)), getattr(matched.config, "vocab_size", None)
        if matched.dialect == openbmb.DIALECT and values.get("vocab_size", rows) != rows:
            # Released ones get it wrong; on the way back it tells how many rows the table had.
            write_json(draft / kept, values | {"vocab_size": rows})
        copied.append(kept)
    return tuple(copied)


def proved(folder: Path, tensors: Mapping[str, Pending], progress: Progress) -> int:
    """How many tensors are read back as they were meant: all. Raises ConversionDiffers."""
    from modelcenter.weights.execute import equal_bits

    verdict = verify(LocalFiles(folder))
    if not verdict.is_complete:
        raise CannotConvert(f"What was written does not verify: {verdict.problem}")
    different: list[str] = []
    with open_checkpoint(folder) as written:
        header, done = written.header.tensors, 0
        total = sum(info.size_bytes for info in header.values())
        for name, tensor in tensors.items():
            if not equal_bits(written.tensor(name), tensor.data()):  # type: ignore[arg-type]
                different.append(name)
            done += header[name].size_bytes
            progress("comparing", done, total)
    if different:
        raise ConversionDiffers(folder, len(tensors) - len(different), different)
    return len(tensors)
