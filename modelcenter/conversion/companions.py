"""Which files go along with a checkpoint's weights: configuration, tokeniser, card, what makes vectors."""

from __future__ import annotations

from pathlib import Path

from modelcenter.checkpoint.files import LocalFiles
from modelcenter.checkpoint.sentence import module_files, module_folders
from modelcenter.checkpoint.source import CANDIDATES

# Weights in whatever format, and the indices of their shards: what is converted, or does not belong to it.
WEIGHTS = (
    ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".safetensors", ".h5", ".msgpack", ".onnx", ".onnx_data", ".gguf",
    ".ggml", ".npz", ".opt", ".ot", ".tflite", ".pdparams", ".index.json",
)  # fmt: skip


def companions(source: Path) -> tuple[str, ...]:
    """The names, from its folder on, of the files that go with the weights in `source`, or the file `source`.

    Those beside the weights, and those in the folders of sentence-transformers' modules, with tensors of
    their own. Other folders and hidden files stay where they are. Raises CheckpointDamaged where modules.json
    is no JSON.
    """
    folder = source.parent if source.is_file() else source
    beside = sorted(
        path.name
        for path in folder.iterdir()
        if path.is_file() and not path.name.startswith(".") and not path.name.endswith(WEIGHTS)
    )
    return (*beside, *(name for name in module_files(LocalFiles(folder)) if (folder / name).is_file()))


def pickled_modules(source: Path) -> tuple[str, ...]:
    """The folders of sentence-transformers' modules whose tensors are in a pickle, and in nothing better.

    Raises CheckpointDamaged where modules.json is no JSON.
    """
    folder = source.parent if source.is_file() else source
    kinds = {
        module: next((kind for name, kind in CANDIDATES if (folder / module / name).is_file()), None)
        for module in module_folders(LocalFiles(folder))
    }
    return tuple(module for module, kind in kinds.items() if kind == "pickle")
