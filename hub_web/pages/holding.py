"""What owners have said of a revision: withdrawn, passed over, frozen."""

from __future__ import annotations

from dataclasses import dataclass

from hub_web import context
from hub_web.i18n import gettext
from modelcenter.registry import repositories, withdrawals
from modelcenter.registry.tables import Commit, Repository


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence above the content; reason: the owners' words."""

    sentence: str
    reason: str = ""


def notices(repository: Repository, revision: str, commit: Commit) -> tuple[Notice, ...]:
    """What is to be known of `revision`, which was found to mean `commit`."""
    session = context.session()
    found = []
    withdrawal = withdrawals.of(session, commit)
    if withdrawal is not None:
        found.append(Notice(gettext("This revision was withdrawn by its owners."), withdrawal.reason))
    ref = None if commit.oid.startswith(revision) else repositories.find_ref(session, repository, revision)
    if ref is not None and ref.target != commit.oid:
        sentence = gettext("The newest commit was withdrawn by its owners: this is the one before it.")
        found.append(Notice(sentence))
    if ref is not None and ref.frozen_at is not None:
        sentence = gettext("%(ref)s is frozen: nobody may move or delete it.", ref=ref.short_name)
        found.append(Notice(sentence))
    return tuple(found)
