"""What a folder says of turning texts into vectors, in sentence-transformers' files. Knows files, no torch.

modules.json                          the modules in order: Transformer, Pooling, Dense, Normalize
1_Pooling/config.json                 from which tokens the vector is taken
2_Dense/config.json, model.safetensors  a product after it, with tensors of its own
sentence_bert_config.json             max_seq_length, do_lower_case
config_sentence_transformers.json     prompts by name

Source: sentence-transformers, modules Transformer, Pooling, Dense, Normalize.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from modelcenter.checkpoint.files import Files
from modelcenter.checkpoint.source import read_header
from modelcenter.errors import CheckpointDamaged, CheckpointNotFound

MODULES = "modules.json"
MOST_BYTES = 1_000_000
MOST_FEATURES = 2**20

# Key of Pooling's config.json -> mode, in the order in which several are joined.
MODES: Mapping[str, str] = {
    "pooling_mode_cls_token": "first",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt",
    "pooling_mode_weightedmean_tokens": "weighted_mean",
    "pooling_mode_lasttoken": "last",
}
# What the key pooling_mode, of later files, says instead of them: one name or a list.
NAMED_MODES: Mapping[str, str] = {
    "cls": "first",
    "max": "max",
    "mean": "mean",
    "mean_sqrt_len_tokens": "mean_sqrt",
    "weightedmean": "weighted_mean",
    "lasttoken": "last",
}


@dataclass(frozen=True)
class Pooling:
    """One vector of a text's tokens, or several joined.

    modes: `first`, `last`, `mean`, `max`; `mean_sqrt`, the sum over the root of the length; `weighted_mean`,
    whose weights are the positions, from 1. include_prompt: whether the prompt's tokens count.
    """

    modes: tuple[str, ...]
    include_prompt: bool = True


@dataclass(frozen=True)
class Dense:
    """A product and an activation, whose tensors lie in `folder`."""

    folder: str
    inputs: int
    outputs: int
    bias: bool
    activation: str  # torch's name of the module: Tanh, Identity

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The tensors that the folder's file holds."""
        shapes: dict[str, tuple[int, ...]] = {"linear.weight": (self.outputs, self.inputs)}
        return {**shapes, "linear.bias": (self.outputs,)} if self.bias else shapes


@dataclass(frozen=True)
class Normalize:
    """The vector brought to length 1."""


@dataclass(frozen=True)
class Unknown:
    """A module, or an order of modules, that we do not have: its type, or what of it is not known."""

    name: str


Module: TypeAlias = "Pooling | Dense | Normalize | Unknown"


@dataclass(frozen=True)
class Sentences:
    """How texts become vectors.

    max_length: tokens, special ones included. prompts: by name, what goes before a text; default_prompt: the
    name of the one that does where none is asked for.
    """

    modules: tuple[Module, ...]
    max_length: int | None = None
    lowercase: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str | None = None

    @property
    def unknown(self) -> tuple[str, ...]:
        """The names of the modules that are not known."""
        return tuple(module.name for module in self.modules if isinstance(module, Unknown))


class Below:
    """The files below one folder of others."""

    def __init__(self, files: Files, folder: str) -> None:
        self.files, self.prefix = files, f"{folder}/"

    def __repr__(self) -> str:
        return f"{self.files!r}/{self.prefix}"

    def names(self) -> Collection[str]:
        """Every file's name, from that folder on."""
        start = len(self.prefix)
        return [name[start:] for name in self.files.names() if name.startswith(self.prefix)]

    def size(self, name: str) -> int:
        """How many bytes the file has."""
        return self.files.size(self.prefix + name)

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        """The file's bytes from `start` to before `stop`."""
        return self.files.read(self.prefix + name, start, stop)


def read_sentences(files: Files) -> Sentences | None:
    """What the files say of vectors of texts, None where there is no modules.json.

    Raises CheckpointDamaged for files that are no JSON or hold what cannot be meant, for a Pooling whose
    config.json is absent or has every mode false, and for a Dense whose tensors are not those that its
    config.json implies. A module that is not known is an `Unknown`: the model has no vectors of texts here.
    """
    if MODULES not in files.names():
        return None
    listed = _json(files, MODULES)
    entries = [entry for entry in listed if _kind(entry) != "Dropout"] if isinstance(listed, list) else []
    if not entries:
        raise CheckpointDamaged(MODULES, "it lists no modules; expected a Transformer, a Pooling and others")
    modules = _modules(files, entries)
    settings = _table(files, "sentence_bert_config.json")
    told = _table(files, "config_sentence_transformers.json")
    prompts = told.get("prompts")
    default = told.get("default_prompt_name")
    length = settings.get("max_seq_length")
    return Sentences(
        modules=modules,
        max_length=length if type(length) is int and length > 0 else None,
        lowercase=settings.get("do_lower_case") is True,
        prompts={
            str(name): text
            for name, text in (prompts.items() if isinstance(prompts, dict) else ())
            if isinstance(text, str)
        },
        default_prompt=default if isinstance(default, str) else None,
    )


def module_files(files: Files) -> tuple[str, ...]:
    """The names of the files in the folders that modules.json names, whatever they hold; hidden ones not.

    Raises CheckpointDamaged where modules.json is no JSON.
    """
    folders = module_folders(files)
    return tuple(
        name
        for name in sorted(files.names())
        if any(name.startswith(f"{folder}/") for folder in folders) and "/." not in f"/{name}"
    )


def module_folders(files: Files) -> tuple[str, ...]:
    """The folders within this one that modules.json names. Raises CheckpointDamaged where it is no JSON."""
    listed = _json(files, MODULES)
    named = map(_folder, listed) if isinstance(listed, list) else ()
    return tuple(dict.fromkeys(folder for folder in named if folder is not None))


def _folder(entry: object) -> str | None:
    """The folder of a module, None where it has none of its own, or one elsewhere."""
    path = entry.get("path") if isinstance(entry, dict) else None
    folder = posixpath.normpath(path) if isinstance(path, str) else "."
    return None if folder == "." or folder.startswith(("/", "..")) else folder


def _kind(entry: object) -> str:
    """The class of a module, without the module of Python that it is in."""
    kind = entry.get("type") if isinstance(entry, dict) else None
    own = isinstance(kind, str) and kind.startswith("sentence_transformers.")
    return str(kind).rpartition(".")[2] if own else str(kind)


def _modules(files: Files, entries: Sequence[Any]) -> tuple[Module, ...]:
    """What makes a vector of the model's states: a Pooling, and what follows it."""
    first, *others = map(_kind, entries)
    if first != "Transformer":
        return (Unknown(first),)
    place = entries[0].get("path") or "."
    if posixpath.normpath(str(place)) != ".":
        return (Unknown(f"a Transformer in {place}"),)  # other weights than those beside modules.json
    made = tuple(_module(files, entry) for entry in entries[1:])
    is_known = not any(isinstance(module, Unknown) for module in made)
    if is_known and [kind == "Pooling" for kind in others] != [True, *[False] * (len(others) - 1)]:
        return (Unknown(f"a Transformer followed by {', '.join(others) or 'nothing'}"),)
    return made


def _module(files: Files, entry: Mapping[str, Any]) -> Module:
    kind, folder = _kind(entry), _folder(entry)
    if kind == "Normalize":
        return Normalize()
    if kind not in ("Pooling", "Dense") or folder is None:
        return Unknown(kind)
    place = f"{folder}/config.json"
    values = _table(files, place)
    if kind == "Pooling":
        return _pooling(place, values)
    ends = [values.get(name) or "sentence_embedding" for name in ("module_input_name", "module_output_name")]
    if ends != ["sentence_embedding"] * 2:
        return Unknown(f"a Dense from {ends[0]} to {ends[1]}")
    sizes = [values.get(name) for name in ("in_features", "out_features")]
    if not all(type(size) is int and 0 < size <= MOST_FEATURES for size in sizes):
        raise CheckpointDamaged(
            place, f"in_features and out_features are {sizes}; expected two numbers above 0"
        )
    activation = str(values.get("activation_function", "torch.nn.modules.activation.Tanh"))
    inputs, outputs = int(sizes[0] or 0), int(sizes[1] or 0)
    dense = Dense(folder, inputs, outputs, values.get("bias") is not False, activation.rpartition(".")[2])
    _check(files, dense)
    return dense


def _pooling(place: str, values: Mapping[str, Any]) -> Pooling:
    """Which tokens make the vector. Raises CheckpointDamaged where nothing is said, or what is not known."""
    # sentence-transformers fails on both, too: to take the mean would give other vectors, silently.
    if not values:
        raise CheckpointDamaged(place, f"it is absent or holds no table; {MODULES} has a Pooling there")
    named = values.get("pooling_mode")
    if named is None:
        modes = [mode for key, mode in MODES.items() if values.get(key, mode == "mean") is True]
        if not modes:
            raise CheckpointDamaged(place, f"every mode is false; expected one of {', '.join(MODES)} true")
    else:
        names = named if isinstance(named, list) else [named]
        if not names or not all(isinstance(name, str) and name in NAMED_MODES for name in names):
            raise CheckpointDamaged(place, f"pooling_mode is {named}; expected {', '.join(NAMED_MODES)}")
        modes = [NAMED_MODES[name] for name in names]
    return Pooling(tuple(modes), include_prompt=values.get("include_prompt") is not False)


def _check(files: Files, dense: Dense) -> None:
    """Raise CheckpointDamaged where the tensors of a Dense are not those that its configuration implies."""
    try:
        header = read_header(Below(files, dense.folder))
    except CheckpointNotFound as error:
        raise CheckpointDamaged(f"{dense.folder}/model.safetensors", "there is no such file") from error
    found = {name: tuple(info.shape) for name, info in header.tensors.items()}
    if found != dense.shapes():
        raise CheckpointDamaged(
            f"{dense.folder}/{header.files[0]}", f"it holds {found}; its config.json needs {dense.shapes()}"
        )


def _json(files: Files, name: str) -> Any:
    if name not in files.names():
        return None
    if files.size(name) > MOST_BYTES:
        raise CheckpointDamaged(name, f"it has more than {MOST_BYTES} bytes; expected a few kilobytes")
    try:
        return json.loads(files.read(name))
    except (ValueError, RecursionError) as error:
        raise CheckpointDamaged(name, f"it is no JSON: {error}") from error


def _table(files: Files, name: str) -> dict[str, Any]:
    found = _json(files, name)
    return found if isinstance(found, dict) else {}
