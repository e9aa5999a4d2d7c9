"""save(): a loaded model back to the names, shapes and files that it was loaded from."""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from modelcenter.checkpoint.files import LocalFiles
from modelcenter.checkpoint.write import MAX_SHARD_BYTES, Pending, write_safetensors
from modelcenter.conversion.companions import companions
from modelcenter.errors import Invalid, listed
from modelcenter.families import openbmb
from modelcenter.verification import config_name
from modelcenter.weights.relations import names
from modelcenter.weights.rules import WeightMap

if TYPE_CHECKING:
    import torch

    from modelcenter.loading import Origin
    from modelcenter.models.model import Model

logger = logging.getLogger(__name__)


def save(
    model: Model, folder: str | os.PathLike[str], *, max_shard_bytes: int = MAX_SHARD_BYTES
) -> tuple[str, ...]:
    """Write `model` as safetensors under the names its checkpoint had; returns the weight files' names.

    Every element that a rule reads comes back bit for bit, whatever the fusion: in the dtype that `load` was
    asked for, else in that of its own tensor, those that loading rounded with the bits they had wherever they
    were not changed since. Parameters that are precise whatever the model's dtype keep that of their tensor.
    Redundant copies and derived tensors are written again where the checkpoint had them; those of layers that
    are not run are not, which a warning says. The files that go with the weights (`companions`) are copied.
    A folder is replaced only once all is written. Raises Invalid for a model that `load` did not make, or one
    that holds less than the checkpoint (`head=`) or only a rank's share.
    """
    from modelcenter.weights.execute import exported

    origin: Origin | None = model.source
    if origin is None:
        raise Invalid("The model was not made by load, so its checkpoint's names are not known.")
    parameters = model.state_dict()
    if any(hasattr(p, "device_mesh") for p in parameters.values()):
        raise Invalid("The model is split over ranks; load it without a mesh to save it whole.")
    weights = origin.matched.weights(model.config, dict.fromkeys(origin.stored))  # type: ignore[arg-type]
    as_stored = dtypes_of_their_own(origin, weights, model)
    if lost := sorted(set(origin.lost) & set(as_stored)):
        raise Invalid(
            f"The model was streamed, and {listed(lost)} rounded to {model.dtype} on the way: the bits that "
            "they had are not here. Load it without stream to save it as it was, or with dtype= as it is."
        )
    tensors = {}
    for name, shape, dtype, values in exported(weights, parameters):
        dtype = as_stored.get(name, dtype)
        before = origin.kept.get(name) if name in as_stored else None
        tensors[name] = Pending(safetensors_name(str(dtype)), shape, partial(cast, values, dtype, before))
    dropped = set(origin.audit.read) - set(tensors) - set(origin.audit.copies)
    if dropped:
        raise Invalid(
            f"The model was loaded without the heads of {sorted(dropped)[0]}: load it whole to save it."
        )
    for copy, original in origin.audit.copies.items():
        tensors.setdefault(copy, tensors[original])
    for name in origin.audit.derived:
        value = origin.kept[name]
        tensors[name] = Pending(origin.stored[name], tuple(value.shape), value.detach)
    if unread := sorted(origin.audit.unused):
        logger.warning(
            "%d tensors that nothing reads are not written: %s (model.report.audit.unused names them all).",
            len(unread),
            listed(unread),
        )
    folder = Path(folder)
    written = write_safetensors(folder, tensors, max_shard_bytes=max_shard_bytes)
    if folder.resolve() != origin.folder.resolve():
        for name in companions(origin.folder):
            replaced(origin.folder / name, folder / name)
    describe(folder / config_name(LocalFiles(folder)), model)
    return written


def dtypes_of_their_own(origin: Origin, weights: WeightMap, model: Model) -> dict[str, torch.dtype]:
    """The tensors that keep the dtype they were stored with: all, or those of precise parameters alone where
    the model has been asked for in another, or brought to it."""
    import torch

    from modelcenter.checkpoint.header import TORCH_NAMES
    from modelcenter.loading import precise_parameters

    precise = precise_parameters(model.config, model.dtype)
    kept = weights.parameters if model.dtype == origin.own_dtype else precise
    tensors = {theirs for ours in kept for theirs in names(weights.rules[ours]) if theirs in origin.stored}
    return {name: getattr(torch, TORCH_NAMES[origin.stored[name]]) for name in tensors}


def cast(
    values: Callable[[], torch.Tensor], dtype: torch.dtype, before: torch.Tensor | None = None
) -> torch.Tensor:
    """The values as `dtype`.

    before: what they were rounded from in loading; it is written wherever they still are that.
    """
    import torch

    made = values()
    if before is None:
        return made.to(dtype)
    rounded = before.to(made.dtype)
    unchanged = (made == rounded) | (made.isnan() & rounded.isnan())
    return torch.where(unchanged, before, made.to(dtype))


def safetensors_name(dtype: str) -> str:
    """What safetensors calls torch's dtype."""
    from modelcenter.checkpoint.header import SAFETENSORS_NAMES

    return SAFETENSORS_NAMES[dtype.removeprefix("torch.")]


def replaced(source: Path, target: Path) -> None:
    """Copy a file such that a reader sees the old one or the new one, whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}-{secrets.token_hex(4)}")
    shutil.copyfile(source.resolve(), draft)
    draft.replace(target)


def describe(config: Path, model: Model) -> None:
    """Let config.json say the dtype that the weights now have."""
    values = json.loads(config.read_text("utf-8"))
    dtype = str(model.dtype).removeprefix("torch.")
    if model.source.matched.dialect == openbmb.DIALECT:  # whose constructors know one switch and nothing else
        values["half"] = dtype == "float16"
    else:
        values["dtype" if "dtype" in values else "torch_dtype"] = dtype
    draft = config.with_name(f".{config.name}-{secrets.token_hex(4)}")
    draft.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", "utf-8")
    draft.replace(config)
