"""Verdicts on commits: whether what they hold loads, asked once a commit and kept with its report."""

from __future__ import annotations

import logging
from importlib.metadata import version
from typing import Any

from sqlalchemy.orm import Session

from modelcenter.checkpoint.files import Files
from modelcenter.registry import texts
from modelcenter.registry.tables import Verification, now
from modelcenter.verification import Verdict, verify

log = logging.getLogger(__name__)

MAX_ITEMS, MAX_CHARACTERS = 1000, 500  # of a list and of a text in a report that is kept

# What values nobody foresaw make arithmetic and look-ups raise; a lost blob or database is no verdict.
_NONSENSE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError, MemoryError)


def judge(files: Files) -> Verdict:
    """The loader's verdict on a revision. Whatever a repository holds, there is one."""
    try:
        return verify(files)
    except _NONSENSE as error:
        # `verify` never raises for what a checkpoint holds, so this is a mistake of ours to be mended.
        log.exception("No verdict on %r", files)
        reason = f"{type(error).__name__}: {error}"[:MAX_CHARACTERS]
        return Verdict("damaged", f"Its configuration or headers make no sense ({reason}).")


def record(session: Session, repository_id: int, commit: str, verdict: Verdict) -> None:
    """Keeps the verdict on a commit, in place of an earlier one."""
    row = session.get(Verification, (repository_id, commit))
    if row is None:
        row = Verification(repository_id=repository_id, commit_oid=commit)
        session.add(row)
    row.status = verdict.status
    row.family = verdict.family
    row.report = storable(verdict.to_json())
    row.version, row.verified_at = version("modelcenter"), now()


def storable(value: Any) -> Any:
    """`value` as JSON that both databases keep, with hostile lengths cut and characters replaced."""
    if isinstance(value, str):
        text = value if len(value) <= MAX_CHARACTERS else value[: MAX_CHARACTERS - 1] + "…"
        return texts.storable(text)
    if isinstance(value, dict):
        return {storable(str(key)): storable(item) for key, item in list(value.items())[:MAX_ITEMS]}
    if isinstance(value, (list, tuple)):
        return [storable(item) for item in value[:MAX_ITEMS]]
    return value
