"""Webhooks: set up by people for what they may read, looked at, tried and taken away by them alone."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from modelcenter.errors import AccessDenied, Invalid, NotAuthenticated, NotFound
from modelcenter.registry import accounts, activity, deliveries, events, lifecycle, posting
from modelcenter.registry.access import Actor
from modelcenter.registry.tables import Activity, Delivery, Webhook

MOST = 50  # of one person
KEY_BYTES = 32


def create(
    session: Session,
    actor: Actor,
    watched: str,
    url: str,
    wanted: Sequence[str] = (),
    *,
    private: bool = False,
) -> Webhook:
    """A new webhook of `actor`'s with a secret of its own.

    watched: `OWNER`, all repositories of an account, or `OWNER/NAME`; wanted: names of EVENTS, none: all;
    private: whether `url` may be an address of the hub's own network.
    Raises Invalid, AccountNotFound, RepositoryNotFound, NotAuthenticated, AccessDenied.
    """
    _require(actor, "set up webhooks")
    assert actor.account_id is not None
    posting.checked(url, private=private)
    unknown = [name for name in wanted if name not in events.EVENTS]
    if unknown:
        raise Invalid(f"{unknown[0]!r:.100} is no event; expected some of {', '.join(events.EVENTS)}.")
    found = (
        lifecycle.get(session, actor, watched).repo_id
        if "/" in watched
        else accounts.find(session, watched).name
    )
    if not actor.is_good_for(*found.split("/", 1)):
        raise AccessDenied(f"This token is not good for {found}.")
    count = select(func.count()).select_from(Webhook).where(Webhook.account_id == actor.account_id)
    if (session.scalar(count) or 0) >= MOST:
        raise Invalid(f"You have {MOST} webhooks, which is the most. Delete one first.")
    secret = f"whsec_{base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}"
    webhook = Webhook(
        account_id=actor.account_id,
        watched=found.lower(),
        url=url,
        secret=secret,
        events=sorted(set(wanted)),
    )
    session.add(webhook)
    session.flush()
    activity.record(session, actor, "webhook.create", actor.name, watched=found)
    return webhook


def listed(session: Session, actor: Actor) -> Sequence[Webhook]:
    """The actor's own webhooks, as far as their token goes, oldest first."""
    _require(actor, "see webhooks")
    own = session.scalars(select(Webhook).where(Webhook.account_id == actor.account_id).order_by(Webhook.id))
    return [webhook for webhook in own if actor.is_good_for(*webhook.watched.split("/", 1))]


def get(session: Session, actor: Actor, number: int) -> Webhook:
    """One of the actor's own. Raises NotFound, also for another's."""
    _require(actor, "see webhooks")
    webhook = session.get(Webhook, number) if number < 2**63 else None
    is_own = webhook is not None and webhook.account_id == actor.account_id
    if webhook is None or not is_own or not actor.is_good_for(*webhook.watched.split("/", 1)):
        raise NotFound(f"You have no webhook {number}.")
    return webhook


def delete(session: Session, actor: Actor, number: int) -> None:
    """Takes one away with what is known of its deliveries. Raises NotFound."""
    webhook = get(session, actor, number)
    activity.record(session, actor, "webhook.delete", actor.name, watched=webhook.watched)
    session.delete(webhook)


def test(session: Session, actor: Actor, number: int) -> Delivery:
    """Sends a webhook a test, and asks one that ended itself to go on. Raises NotFound."""
    webhook = get(session, actor, number)
    webhook.disabled_at = None
    act = Activity(
        account_id=actor.account_id, actor=actor.name, verb=events.TEST, subject=webhook.watched, data={}
    )
    session.add(act)
    return deliveries.enqueue(session, webhook, act)


def delivered(
    session: Session, actor: Actor, number: int, *, before: int | None, limit: int
) -> Sequence[tuple[Delivery, Activity]]:
    """The newest deliveries of one webhook with smaller numbers than `before`. Raises NotFound."""
    webhook = get(session, actor, number)
    wanted = (
        select(Delivery, Activity)
        .join(Activity, Activity.id == Delivery.activity_id)
        .where(Delivery.webhook_id == webhook.id)
        .order_by(Delivery.id.desc())
        .limit(limit)
    )
    if before is not None:
        wanted = wanted.where(Delivery.id < before)
    return [(row[0], row[1]) for row in session.execute(wanted)]


def _require(actor: Actor, act: str) -> None:
    if actor.is_anonymous:
        raise NotAuthenticated(f"Log in to {act}.")
    if not actor.may_write:
        raise AccessDenied(f"This token may only read. Take one that may write to {act}.")
