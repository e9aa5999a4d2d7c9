"""A pinned revision that its owners took back: who names it still gets it, and is warned."""

from __future__ import annotations

import re
import warnings
from urllib.parse import quote

from modelcenter.client.telling import get, told
from modelcenter.errors import ModelCenterError, RevisionWithdrawn

COMMIT_ID = re.compile(r"[0-9a-f]{7,40}", re.IGNORECASE)


def warn_if_withdrawn(endpoint: str, token: str | None, name: str, revision: str | None) -> None:
    """Warns with RevisionWithdrawn where `revision` is a commit's id and the hub says it was withdrawn.

    It is asked even where all files are in the cache: they may have come before. Branches and tags pass over
    what was withdrawn, and need no question.
    """
    if revision is None or not COMMIT_ID.fullmatch(revision):
        return
    try:
        with told(endpoint, name, revision):
            place = f"{endpoint}/api/modelcenter/{quote(name)}/withdraw/{quote(revision, safe='')}"
            said = get(place, token).json()
    except (
        ModelCenterError,
        ValueError,
    ):  # a hub of another kind, or none in reach: files tell what is wrong
        return
    if isinstance(said, dict) and said.get("reason"):
        warning = RevisionWithdrawn(name, str(said.get("commit", revision)), str(said["reason"]))
        warnings.warn(warning, stacklevel=3)
