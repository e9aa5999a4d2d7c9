"""Which file knows which `model_type`. Strings: a family is imported only when a checkpoint asks for it."""

from __future__ import annotations

from collections.abc import Mapping

FAMILIES: Mapping[str, str] = {
    "bert": "bert",
    "gpt2": "gpt2",
    "gpt_neox": "gpt_neox",
    "llama": "llama",
    "mixtral": "mixtral",
    "t5": "t5",
}
