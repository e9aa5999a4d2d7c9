"""What is known of models right now, for those who ask before the job that follows a commit has run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from modelcenter.registry.cards import MAX_TEXT, Card, read_card
from modelcenter.registry.contents import Entry
from modelcenter.registry.facts import Evidence, describe, read_json
from modelcenter.registry.handlers import CARD, CONFIGURATION
from modelcenter.registry.hub import Hub
from modelcenter.registry.revisions import HEADS
from modelcenter.registry.tables import Commit, Model, Ref, Repository
from modelcenter.verification import MOST_CONFIG_BYTES, Verdict


def current_facts(
    hub: Hub,
    repository: Repository,
    facts: Model | None,
    commit: Commit,
    files: Collection[Entry],
    verdict: Verdict | None = None,
) -> Model:
    """The facts of `commit`: the row, where it is of this commit, else what its files and verdict say.

    verdict: of `commit`; what needs the headers of files (parameters) is unknown without it. The result is
    in no session, except for the row.
    """
    if facts is not None and facts.commit_oid == commit.oid:
        return facts
    entries = {entry.path: entry for entry in files}
    card = _content(hub, entries[CARD], MAX_TEXT) if CARD in entries else b""
    config = _content(hub, entries[CONFIGURATION], MOST_CONFIG_BYTES) if CONFIGURATION in entries else b""
    found = Evidence(
        card=read_card(card) if card else Card(),
        config=read_json(config),
        files=[entry.path for entry in files],
        size_bytes=sum(entry.size for entry in files),
        commit=commit.oid,
        verdict=verdict,
    )
    fresh = Model(repository_id=repository.id)
    describe(repository, fresh, found, read_card(facts.card_text) if facts and facts.card_text else None)
    return fresh


def _content(hub: Hub, entry: Entry, limit: int) -> bytes:
    assert entry.sha256 is not None  # a file
    with hub.blobs.open(entry.sha256) as stream:
        return stream.read(limit)


def heads(session: Session, repositories: Sequence[Repository]) -> dict[int, str]:
    """The commits at the heads of the default branches, by repository; linked entries have none."""
    found: dict[int, str] = {}
    wanted = [(repository.id, HEADS + repository.default_branch) for repository in repositories]
    for part in _parts(wanted):
        rows = session.execute(
            select(Ref.repository_id, Ref.target).where(tuple_(Ref.repository_id, Ref.name).in_(part))
        )
        found.update((repository_id, target) for repository_id, target in rows)
    return found


def _parts(wanted: Sequence[tuple[int, str]], length: int = 500) -> Iterable[Sequence[tuple[int, str]]]:
    return (wanted[start : start + length] for start in range(0, len(wanted), length))
