"""The cases, a module for each group with its table `CASES` at the end."""

from __future__ import annotations

import importlib
from typing import cast

from modelcenter.conformance.cases import Case

GROUPS = ("read", "write", "lfs", "xet", "refs", "pull_requests", "gating", "errors", "git")


def cases_of(group: str) -> tuple[Case, ...]:
    """The cases of one of GROUPS, in the order in which they are tried."""
    return cast("tuple[Case, ...]", importlib.import_module(f"{__name__}.{group}").CASES)
