"""Catalogue entries from a folder of cards: models whose weights stay with their publisher."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from modelcenter.errors import Invalid
from modelcenter.registry import facts, names
from modelcenter.registry.cards import Card, read_card
from modelcenter.registry.database import insert_missing
from modelcenter.registry.hub import Hub
from modelcenter.registry.tables import Account, Model, Repository, now

# Raise it when facts.py makes more of a card: seeding then renews the entries.
EDITION = b"2"
SEED_LOCK = 0x73656564  # any number that all hubs on one PostgreSQL database agree on


@dataclass(frozen=True, slots=True)
class SeedResult:
    """How many entries were created, found as they were, left alone as they are hosted here, written anew."""

    created: int = 0
    unchanged: int = 0
    kept: int = 0
    updated: int = 0


def seed(hub: Hub, folder: Path) -> SeedResult:
    """Registers every `folder/OWNER/NAME/README.md` as a linked entry. Seeding again changes nothing.

    A changed card renews its entry; a repository that is hosted here is left alone. One seeding waits for
    another, and for uploads that turn an entry into a repository just now. Raises Invalid, before
    anything is written, for a folder without cards and for a card that has errors or names another upstream.
    """
    cards = list(_cards(folder))
    if not cards:
        raise Invalid(f"{folder} holds no model cards: expected OWNER/NAME/README.md in it.")
    counts = dict.fromkeys(SeedResult.__dataclass_fields__, 0)
    keys = [repo_id.lower() for repo_id, _, _ in cards]
    moment = now()  # of all: none is newer than another
    with hub.database.transaction() as session:
        if not hub.database.is_sqlite:  # where there is one writer at a time anyway
            session.execute(select(func.pg_advisory_xact_lock(SEED_LOCK)))
        before = _known(session, keys)
        new = [repo_id for repo_id, _, _ in cards if repo_id.lower() not in before]
        _insert(session, new, moment)
        _hold(session)
        known = _known(session, keys)
        for repo_id, text, card in cards:
            digest = hashlib.sha256(EDITION + text.encode()).hexdigest()
            repository, model = known.get(repo_id.lower(), (None, None))
            if repository is None or not repository.is_linked:
                counts["kept"] += 1
                continue
            if model is not None and model.seed_digest == digest:
                counts["unchanged"] += 1
                continue
            if repo_id.lower() in before:
                counts["updated"] += 1
                repository.updated_at = moment
            else:
                counts["created"] += 1
            _describe(session, repository, model, card, text, digest, moment)
    return SeedResult(**counts)


def _insert(session: Session, repo_ids: Sequence[str], moment: datetime) -> None:
    """Linked entries of these ids, save where somebody else has taken the id meanwhile."""
    owners = {key: account for key, account in session.execute(select(Account.key, Account.id))}  # noqa: C416  rows are no pairs to mypy
    rows = []
    for repo_id in repo_ids:
        namespace, name = repo_id.split("/")
        rows.append(
            {
                "namespace": namespace,
                "name": name,
                "owner_id": owners.get(namespace.lower()),
                "status": "linked",
                "upstream": repo_id,
                "created_at": moment,
                "updated_at": moment,
            }
        )
    insert_missing(session, Repository, rows)


def _hold(session: Session) -> None:
    """Keeps linked entries from being hosted until the transaction ends; waits for who just does it."""
    # In the order in which others lock several: by id.
    linked = select(Repository.id).where(Repository.status == "linked").order_by(Repository.id)
    session.execute(linked.with_for_update(key_share=True))


def _known(session: Session, keys: Sequence[str]) -> dict[str, tuple[Repository, Model | None]]:
    """What there is of these repositories, by key."""
    found: dict[str, tuple[Repository, Model | None]] = {}
    for start in range(0, len(keys), 1000):
        rows = session.execute(
            select(Repository, Model)
            .outerjoin(Model, Model.repository_id == Repository.id)
            .where(Repository.key.in_(keys[start : start + 1000]))
            .execution_options(populate_existing=True)
        )
        found.update((repository.key, (repository, model)) for repository, model in rows)
    return found


def _cards(folder: Path) -> Iterator[tuple[str, str, Card]]:
    """(id, text, card) of each card, in the order of their ids."""
    seen: dict[str, str] = {}
    for path in sorted(folder.glob("*/*/README.md")):
        repo_id = f"{path.parts[-3]}/{path.parts[-2]}"
        names.split_id(repo_id)
        if seen.setdefault(repo_id.lower(), repo_id) != repo_id:
            raise Invalid(
                f"{path} is another card of {seen[repo_id.lower()]}: case makes no difference in ids."
            )
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError as error:
            raise Invalid(f"{path} is not UTF-8: {error}.") from error
        card = read_card(text)
        if card.errors:
            raise Invalid(f"{path}: {card.errors[0]}")
        if card.facts.upstream not in (None, repo_id):
            raise Invalid(f"{path} names {card.facts.upstream} as its upstream; expected {repo_id}.")
        yield repo_id, text, card


def _describe(
    session: Session,
    repository: Repository,
    model: Model | None,
    card: Card,
    text: str,
    digest: str,
    moment: datetime,
) -> None:
    if model is None:
        model = Model(repository_id=repository.id)
        session.add(model)
    facts.describe(repository, model, facts.Evidence(card=card))
    model.card_text, model.seed_digest, model.updated_at = text, digest, moment
    facts.publish(session, repository, model, card)
