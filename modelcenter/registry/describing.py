"""What is known of models right now, for those who ask before the job that follows a commit has run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from modelcenter.registry.cards import MAX_TEXT, Card, read_card
from modelcenter.registry.contents import Entry, tree
from modelcenter.registry.facts import Evidence, describe, describe_card, publish, read_json, written
from modelcenter.registry.hub import Hub
from modelcenter.registry.revisions import HEADS, standing
from modelcenter.registry.tables import Commit, Model, Ref, Repository, Withdrawal
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
    # The head's row loses its verdict when the head moves on; the commit keeps it.
    if facts is not None and facts.commit_oid == commit.oid and (facts.verdict or verdict is None):
        return facts
    entries = {entry.path: entry for entry in files}

    def read(name: str, limit: int) -> bytes:
        sha256 = entries[name].sha256
        if sha256 is None:  # it has not come from the upstream
            return b""
        with hub.blobs.open(sha256) as stream:
            return stream.read(limit)

    found = evidence({path: entry.size for path, entry in entries.items()}, read, commit.oid, verdict)
    fresh = Model(repository_id=repository.id)
    describe(repository, fresh, found, read_card(facts.card_text) if facts and facts.card_text else None)
    return fresh


def evidence(
    sizes: Mapping[str, int], read: Callable[[str, int], bytes], commit: str, verdict: Verdict | None = None
) -> Evidence:
    """What the files of a commit say. sizes: by path; read: the file's bytes, up to so many."""

    def content(name: str, limit: int) -> bytes:
        return read(name, limit) if name in sizes else b""

    return Evidence(
        card=read_card(content("README.md", MAX_TEXT)),
        config=read_json(content("config.json", MOST_CONFIG_BYTES)),
        files=sizes.keys(),
        size_bytes=sum(sizes.values()),
        commit=commit,
        verdict=verdict,
    )


def take_card(session: Session, repository: Repository, head: Commit, card: Card) -> None:
    """Has lists say what the card of a new head says; what its files hold follows with the job."""
    model = session.get(Model, repository.id, populate_existing=True)
    if model is None:
        return
    entries = tree(session, repository, head, recursive=True)
    names = [entry.path for entry in entries if entry.kind == "file"]
    seeded = read_card(model.card_text) if model.card_text else None
    describe_card(repository, model, Evidence(card=card, config=model.config, files=names), seeded)
    publish(session, repository, model, written(card, seeded))


def heads(session: Session, repositories: Sequence[Repository]) -> dict[int, str]:
    """The commits that the default branches mean, by repository; linked entries have none."""
    found: dict[int, str] = {}
    withdrawn: dict[int, str] = {}
    wanted = [(repository.id, HEADS + repository.default_branch) for repository in repositories]
    for part in _parts(wanted):
        rows = session.execute(
            select(Ref.repository_id, Ref.target, Withdrawal.commit_oid)
            .outerjoin(
                Withdrawal,
                (Withdrawal.repository_id == Ref.repository_id) & (Withdrawal.commit_oid == Ref.target),
            )
            .where(tuple_(Ref.repository_id, Ref.name).in_(part))
        )
        for repository_id, target, is_withdrawn in rows:
            (withdrawn if is_withdrawn else found)[repository_id] = target
    return found | standing(session, withdrawn) if withdrawn else found


def _parts(wanted: Sequence[tuple[int, str]], length: int = 500) -> Iterable[Sequence[tuple[int, str]]]:
    return (wanted[start : start + length] for start in range(0, len(wanted), length))
