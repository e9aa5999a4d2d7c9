"""Acts told to webhooks: queued in the act's transaction, signed, and sent by jobs until they are taken.

Signed as Standard Webhooks (standardwebhooks.com) has it: `webhook-signature` is `v1,` and the HMAC-SHA256 of
`ID.TIMESTAMP.BODY` in base64, its key the base64 after `whsec_`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from modelcenter import __version__
from modelcenter.errors import Invalid
from modelcenter.registry import events, jobs, posting
from modelcenter.registry.hub import Hub
from modelcenter.registry.tables import Account, Activity, Delivery, Job, Membership, Repository, Webhook, now

KIND = "webhook"  # the job: {"delivery"}
KEPT = timedelta(days=30)  # how long deliveries can be looked at
GONE = 410  # with which a host says that it wants no more


class NotDelivered(jobs.NotYet):
    """A host did not take what it was sent: the job is repeated."""


def queue(session: Session, activity: Activity, repository: Repository) -> None:
    """Queues `activity` for the webhooks that watch the repository with eyes that may see it."""
    watched = (repository.namespace.lower(), repository.repo_id.lower())
    wanted = (
        select(Webhook)
        .join(Account, Account.id == Webhook.account_id)
        .where(Webhook.watched.in_(watched), Webhook.disabled_at.is_(None), Account.disabled_at.is_(None))
    )
    if repository.private:
        members = select(Membership.account_id).where(Membership.organization_id == repository.owner_id)
        wanted = wanted.where(
            or_(Account.is_admin, Account.id == repository.owner_id, Account.id.in_(members))
        )
    event = events.EVENT_OF[activity.verb]
    for webhook in session.scalars(wanted.order_by(Webhook.id)).all():
        if not webhook.events or event in webhook.events:
            enqueue(session, webhook, activity)


def enqueue(session: Session, webhook: Webhook, activity: Activity) -> Delivery:
    """Queues one delivery."""
    session.flush()
    delivery = Delivery(webhook_id=webhook.id, activity_id=activity.id)
    session.add(delivery)
    session.flush()
    session.add(Job(kind=KIND, payload={"delivery": delivery.id}, key=f"{KIND}:{delivery.id}"))
    return delivery


def deliver(hub: Hub, payload: Mapping[str, Any]) -> None:
    """The job; its row tells what became of it.

    Raises NotDelivered while the host does not take it, Hopeless where it is none that may be asked.
    """
    with hub.database.session() as session:
        delivery = session.get(Delivery, payload["delivery"])
        webhook = session.get(Webhook, delivery.webhook_id) if delivery else None
        activity = session.get(Activity, delivery.activity_id) if delivery else None
    if delivery is None or webhook is None or activity is None or webhook.disabled_at is not None:
        return
    refused = None
    try:
        status, problem = _sent(hub, webhook, activity, delivery.id)
    except Invalid as error:
        status, problem, refused = None, str(error), error
    with hub.database.transaction() as session:
        row = session.get(Delivery, delivery.id)
        if row is not None:
            row.attempts, row.status, row.problem = row.attempts + 1, status, problem
            row.delivered_at = None if problem else now()
        kept = session.get(Webhook, webhook.id)
        if kept is not None and status == GONE:
            kept.disabled_at = now()
        session.execute(delete(Delivery).where(Delivery.created_at < now() - KEPT))
    if refused is not None:
        raise jobs.Hopeless(f"{webhook.url}: {problem}") from refused
    if problem and status != GONE:
        raise NotDelivered(f"{webhook.url}: {problem}")


def _sent(hub: Hub, webhook: Webhook, activity: Activity, number: int) -> tuple[int | None, str | None]:
    """The host's status, and why it does not count where it does not. Raises Invalid."""
    said = events.told(activity)
    body = json.dumps(
        {"type": said["event"], "timestamp": said["at"], "data": said}, ensure_ascii=False
    ).encode()
    name, moment = f"msg_{number}", int(time.time())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"ModelCenter/{__version__}",
        "webhook-id": name,  # the same for every attempt
        "webhook-timestamp": str(moment),
        "webhook-signature": signature(webhook.secret, name, moment, body),
    }
    try:
        status = posting.post(webhook.url, body, headers, private=hub.settings.webhooks_private)
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        return None, f"{type(error).__name__}: {error}"[:500]
    return status, None if 200 <= status < 300 else f"The host answered with status {status}."


def signature(secret: str, name: str, moment: int, body: bytes) -> str:
    """The value of `webhook-signature`. secret: `whsec_` and the key in base64; moment: Unix time."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{name}.{moment}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"
