"""The original model-center 1.0.2 (Apache-2.0) on a CPU: its own modules, BMTrain replaced by plain torch.

`make setup` puts the source distribution beside the environment; it is imported from there, never installed:
it requires bmtrain, which needs a GPU to build.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections import OrderedDict
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

VERSION = "1.0.2"
SOURCE = Path(sys.prefix) / "share" / f"model-center-{VERSION}"

# Architecture -> the original's model class and configuration class.
CLASSES = {
    "bert": ("Bert", "BertConfig"),
    "roberta": ("Roberta", "RobertaConfig"),
    "longformer": ("Longformer", "LongformerConfig"),
    "gpt2": ("GPT2", "GPT2Config"),
    "gptj": ("GPTj", "GPTjConfig"),
    "opt": ("OPT", "OPTConfig"),
    "llama": ("Llama", "LlamaConfig"),
    "t5": ("T5", "T5Config"),
    "cpm1": ("CPM1", "CPM1Config"),
    "cpm2": ("CPM2", "CPM2Config"),
    "cpm3": ("CPM3", "CPM3Config"),
    "glm": ("GLM", "GLMConfig"),
    "vit": ("ViT", "VitConfig"),
}


class Blocks(nn.ModuleList):
    """bmtrain.TransformerBlockList: each layer gets what the one before made, and the same others."""

    def forward(self, hidden: Tensor, *others: Any) -> Tensor:
        for layer in self:
            hidden = layer(hidden, *others)
        return hidden


def bmtrain() -> ModuleType:
    """What model-center uses of bmtrain, in plain torch on one process."""
    module = ModuleType("bmtrain")
    made: dict[str, Any] = {
        "DistributedModule": nn.Module,
        "DistributedParameter": lambda data, requires_grad=True, init_method=None, **_: nn.Parameter(data),
        "ParameterInitializer": lambda *arguments, **settings: None,
        "CheckpointBlock": lambda block, *_, **__: block,
        "TransformerBlockList": Blocks,
        "rank": lambda: 0,
        "world_size": lambda: 1,
        "synchronize": lambda: None,
        "print_rank": lambda *_, **__: None,
        "init_parameters": lambda model: None,
        "store": ModuleType("bmtrain.store"),
    }
    made["Block"] = made["CheckpointBlock"]
    made["store"]._save_to_rank0 = lambda model, destination=None, prefix="": nn.Module.state_dict(
        model, destination=destination, prefix=prefix
    )
    vars(module).update(made)
    return module


class CpuTorch(ModuleType):
    """torch, where the literal device "cuda" of the original's position modules means the CPU."""

    def __getattr__(self, name: str) -> Any:
        made = getattr(torch, name)
        if name not in ("arange", "zeros"):
            return made

        def on_cpu(*arguments: Any, **settings: Any) -> Tensor:
            if settings.get("device") == "cuda":
                settings["device"] = "cpu"
            tensor: Tensor = made(*arguments, **settings)
            return tensor

        return on_cpu


@cache
def library() -> ModuleType:
    """`model_center.model`. Skips the test where `make setup` has not fetched it; fails in CI."""
    if not SOURCE.is_dir():
        if os.environ.get("CI"):
            raise AssertionError(f"{SOURCE} is absent: run make setup.")
        pytest.skip(f"{SOURCE} is absent: run make setup.")
    stubs = {"bmtrain": bmtrain(), "requests": ModuleType("requests")}
    kept = {name: sys.modules.get(name) for name in stubs}
    sys.modules.update(stubs)
    sys.path.insert(0, str(SOURCE))
    try:
        with warnings.catch_warnings():
            # Its docstrings hold TeX, its norms use a compiler that torch retires.
            warnings.simplefilter("ignore")
            found = import_module("model_center.model")
        import_module("model_center.layer.position_embedding").torch = CpuTorch("torch")  # type: ignore[attr-defined]
        return found
    finally:
        sys.path.remove(str(SOURCE))
        for name, module in kept.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def build(architecture: str, settings: dict[str, Any]) -> Any:
    """The original model of `settings` in float32, evaluating, its parameters uninitialised."""
    names = CLASSES[architecture]
    model_class, config_class = (getattr(library(), name) for name in names)
    told = {**settings, "half": False}
    model = model_class(config_class(**told)).float().eval()
    if architecture == "llama":
        # The original rounds its frequencies to its dtype, and leaves them to what is loaded.
        half = torch.arange(0, settings["dim_head"], 2, dtype=torch.float32) / settings["dim_head"]
        model.position_bias.inv_freq = 1.0 / 10000**half
    return model


def made(architecture: str, settings: dict[str, Any], *, seed: int = 20) -> Any:
    """The same with no parameter trivial."""
    model = build(architecture, settings)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            is_norm = parameter.ndim == 1 and name.endswith("weight")
            values = torch.randn(parameter.shape, generator=generator)
            # Length-scaled products divide by the root of their inputs: their weights are of order 1.
            size = 1.0 if settings.get("length_scale") and parameter.ndim > 1 else 0.2
            parameter.copy_(values * (0.2 if is_norm else size) + (1.0 if is_norm else 0.0))
    return model


def save(
    model: Any, settings: dict[str, Any], folder: Path, dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    """Write what `bmt.save` writes, rounded to `dtype`, and take the rounded values over; returns them."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = OrderedDict((name, value.detach().to(dtype)) for name, value in model.state_dict().items())
    torch.save(tensors, folder / "pytorch_model.pt")
    half = {"half": dtype is torch.float16}
    (folder / "config.json").write_text(json.dumps({**settings, **half}, default=str))
    rounded = {name: value.float() for name, value in tensors.items() if not name.endswith("inv_freq")}
    model.load_state_dict(rounded, strict=False)
    return dict(tensors)


def load(architecture: str, folder: Path, absent: Iterable[str] = ()) -> Any:
    """The original model of a folder that ModelCenter wrote: every tensor but `absent` is there and fits."""
    settings = json.loads((folder / "config.json").read_text())
    model = build(architecture, settings)
    tensors = torch.load(folder / "pytorch_model.pt", map_location="cpu", weights_only=True)
    result = model.load_state_dict({name: value.float() for name, value in tensors.items()}, strict=False)
    assert not result.unexpected_keys, result.unexpected_keys
    assert set(result.missing_keys) - {"position_bias.inv_freq"} == set(absent), result.missing_keys
    return model
