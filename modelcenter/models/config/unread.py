"""Options that would say nothing: a part that does not read one refuses it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from modelcenter.errors import ConfigurationInvalid


def refuse_unread(config: Any, names: Iterable[str], reader: str) -> None:
    """Raise ConfigurationInvalid for an option of `names` that is not as `config`'s type has it by default.

    reader: what the config is for, and does not read them.
    """
    unread = frozenset(names)
    for field in fields(config):
        found = getattr(config, field.name)
        if field.name in unread and found != field.default:
            raise ConfigurationInvalid(
                f"implies {field.name}={found!r} for {reader}, which does not read it; "
                f"expected {field.default!r}"
            )
