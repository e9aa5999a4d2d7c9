"""What checkpoints are written in: the config.json of each form, and the values that differ between forms.

Values move unchanged but where two forms hold the same model by other numbers: those are named here, one
function a family. That a config.json says the model that it is written for is proved by reading it again.
"""

from __future__ import annotations

from collections.abc import Mapping

from modelcenter.families.forms import decoders, encoders, prefix, t5, vit
from modelcenter.families.forms.form import HUGGINGFACE, NO_HEAD, Adapted, Form, Get
from modelcenter.families.forms.same import canonical, differences

FORMS: Mapping[str, Mapping[str, Form]] = {
    **encoders.FORMS,
    **decoders.FORMS,
    **t5.FORMS,
    **prefix.FORMS,
    **vit.FORMS,
}
"""Family -> the forms of others that it is written in."""

# What a form cannot hold, and config.json of the other, kept beside it, restores on the way back.
RESTORED: Mapping[str, tuple[str, ...]] = {
    "t5": ("head.scale",),
    "glm-10b": ("start_token_id", "mask_token_id"),
    "vit": ("norm.eps", "blocks.*.norm.eps"),
}

__all__ = [
    "FORMS",
    "HUGGINGFACE",
    "NO_HEAD",
    "RESTORED",
    "Adapted",
    "Form",
    "Get",
    "canonical",
    "differences",
]
