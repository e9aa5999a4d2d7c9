"""Catalogue entries from a folder of cards: models whose weights stay with their publisher."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelcenter.errors import Invalid
from modelcenter.registry import facts, names
from modelcenter.registry.cards import Card, read_card
from modelcenter.registry.hub import Hub
from modelcenter.registry.tables import Account, Model, Repository, now

# Raise it when facts.py makes more of a card: seeding then renews the entries.
EDITION = b"1"


@dataclass(frozen=True, slots=True)
class SeedResult:
    """How many entries were created, found as they were, left alone as they are hosted here, written anew."""

    created: int = 0
    unchanged: int = 0
    kept: int = 0
    updated: int = 0


def seed(hub: Hub, folder: Path) -> SeedResult:
    """Registers every `folder/OWNER/NAME/README.md` as a linked entry. Seeding again changes nothing.

    A changed card renews its entry; a repository that is hosted here is left alone. Raises Invalid, before
    anything is written, for a folder without cards and for a card that has errors or names another upstream.
    """
    cards = list(_cards(folder))
    if not cards:
        raise Invalid(f"{folder} holds no model cards: expected OWNER/NAME/README.md in it.")
    counts = dict.fromkeys(SeedResult.__dataclass_fields__, 0)
    keys = [repo_id.lower() for repo_id, _, _ in cards]
    with hub.database.transaction() as session:
        known = _known(session, keys)
        owners = {key: account for key, account in session.execute(select(Account.key, Account.id))}  # noqa: C416  rows are no pairs to mypy
        for repo_id, text, card in cards:
            digest = hashlib.sha256(EDITION + text.encode()).hexdigest()
            repository, model = known.get(repo_id.lower(), (None, None))
            if repository is None:
                counts["created"] += 1
                repository = _entry(session, repo_id, owners)
            elif not repository.is_linked:
                counts["kept"] += 1
                continue
            elif model is not None and model.seed_digest == digest:
                counts["unchanged"] += 1
                continue
            else:
                counts["updated"] += 1
            _describe(session, repository, model, card, text, digest)
    return SeedResult(**counts)


def _known(session: Session, keys: Sequence[str]) -> dict[str, tuple[Repository, Model | None]]:
    """What there is of these repositories, by key."""
    found: dict[str, tuple[Repository, Model | None]] = {}
    for start in range(0, len(keys), 1000):
        rows = session.execute(
            select(Repository, Model)
            .outerjoin(Model, Model.repository_id == Repository.id)
            .where(Repository.key.in_(keys[start : start + 1000]))
        )
        found.update((repository.key, (repository, model)) for repository, model in rows)
    return found


def _cards(folder: Path) -> Iterator[tuple[str, str, Card]]:
    """(id, text, card) of each card, in the order of their ids."""
    for path in sorted(folder.glob("*/*/README.md")):
        repo_id = f"{path.parts[-3]}/{path.parts[-2]}"
        names.split_id(repo_id)
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


def _entry(session: Session, repo_id: str, owners: dict[str, int]) -> Repository:
    namespace, name = repo_id.split("/")
    repository = Repository(
        namespace=namespace,
        name=name,
        owner_id=owners.get(namespace.lower()),
        status="linked",
        upstream=repo_id,
    )
    session.add(repository)
    session.flush()
    return repository


def _describe(
    session: Session, repository: Repository, model: Model | None, card: Card, text: str, digest: str
) -> None:
    moment = now()
    if model is None:
        model = Model(repository_id=repository.id)
        session.add(model)
    else:
        repository.updated_at = moment
    facts.describe(repository, model, facts.Evidence(card=card))
    model.card_text, model.seed_digest, model.updated_at = text, digest, moment
    facts.publish(session, repository, model, card)
