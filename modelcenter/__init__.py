"""One place for pretrained language models, and one call to use them.

Names are imported when they are first used: `import modelcenter` costs neither torch nor huggingface_hub.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelcenter.client import Hub as Hub
    from modelcenter.loading import load as load
    from modelcenter.saving import save as save
    from modelcenter.verification import verify as verify

__version__ = "0.1.0"
__all__ = ["Hub", "__version__", "load", "save", "verify"]

_HOMES = {
    "Hub": "modelcenter.client",
    "load": "modelcenter.loading",
    "save": "modelcenter.saving",
    "verify": "modelcenter.verification",
}


def __getattr__(name: str) -> object:
    """The public name, imported from its home the first time it is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'modelcenter' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
