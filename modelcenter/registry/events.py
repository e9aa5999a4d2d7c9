"""What outsiders are told of what happens to repositories: by webhooks, and in a feed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import false, func, or_, select, true
from sqlalchemy.orm import Session

from modelcenter.registry.access import Actor, owned, visible
from modelcenter.registry.tables import Activity, Repository, now

# The events' names, which follow huggingface.co's scopes, and the acts that they tell of.
EVENTS: Mapping[str, Sequence[str]] = {
    "repo.create": ("repository.create", "repository.host", "repository.duplicate"),
    "repo.delete": ("repository.delete",),
    "repo.move": ("repository.move",),
    "repo.config": ("repository.settings",),
    "repo.content": ("commit", "ref.create", "ref.delete", "ref.squash", "large-files.delete"),
    "discussion": (
        *("discussion.create", "discussion.title", "discussion.status", "discussion.merge"),
        *("discussion.comment", "discussion.edit", "discussion.hide"),
    ),
}
EVENT_OF: Mapping[str, str] = {verb: event for event, verbs in EVENTS.items() for verb in verbs}
# Acts get their numbers before their transactions end, so a later number may be seen before an earlier one.
# Nothing is told in the feed until no transaction with an earlier number can still be open.
SETTLED = timedelta(seconds=5)
TEST = "webhook.test"


def told(activity: Activity) -> dict[str, Any]:
    """An act as a JSON object: what feed and webhooks say of it."""
    return {
        "id": activity.id,
        "event": EVENT_OF.get(activity.verb, activity.verb),
        "act": activity.verb,
        "at": activity.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "actor": activity.actor,
        "repository": activity.subject,
        "details": activity.data,
    }


def feed(
    session: Session, actor: Actor, *, after: int = 0, limit: int = 100, settled: timedelta = SETTLED
) -> Sequence[Activity]:
    """The acts with greater numbers than `after` that `actor` may know of, oldest first.

    They may who may read the repository, and could when it happened. What happened to one that is gone is
    told to all where it was public then, else to those who belong to its namespace.
    """
    namespaces = [name.lower() for name in (actor.name, *actor.organizations) if actor.is_good_for(name)]
    theirs = [
        func.lower(Activity.subject).startswith(f"{name}/", autoescape=True) for name in namespaces if name
    ]
    here = visible(actor) & or_(Activity.private.is_not(True), owned(actor))
    gone = or_(Activity.private.is_(False), true() if actor.is_admin else false(), *theirs)
    wanted = (
        select(Activity)
        .outerjoin(Repository, Repository.id == Activity.repository_id)
        .where(
            Activity.id > after,
            Activity.verb.in_(list(EVENT_OF)),
            Activity.at <= now() - settled,
            or_(Repository.id.is_not(None) & here, Activity.repository_id.is_(None) & gone),
        )
        .order_by(Activity.id)
        .limit(limit)
    )
    return session.scalars(wanted).all()
