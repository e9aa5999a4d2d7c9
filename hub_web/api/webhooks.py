"""Who is told of what happens: webhooks, their deliveries, and the feed of events."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, jsonify

from hub_web import context
from hub_web.api import paging, shapes
from hub_web.api.body import json_body, number, string
from hub_web.api.errors import api_blueprint
from modelcenter.errors import Invalid
from modelcenter.registry import events, webhooks
from modelcenter.registry.tables import Activity, Delivery, Webhook

PAGE, MOST = 100, 1000
LARGEST = 2**63 - 1

blueprint: Blueprint = api_blueprint("webhooks")


@blueprint.get("/api/modelcenter/events")
def feed() -> dict[str, Any]:
    """What happened after an event that the caller knows, oldest first; `last` is where to go on."""
    after = number("after", 0, LARGEST, least=0)
    limit = number("limit", PAGE, MOST)
    found = events.feed(context.session(), context.actor(), after=after, limit=limit)
    return {"events": [events.told(act) for act in found], "last": found[-1].id if found else after}


@blueprint.get("/api/modelcenter/webhooks")
def listed() -> dict[str, Any]:
    """The caller's webhooks; their secrets are told once, when they are created."""
    return {"webhooks": [described(each) for each in webhooks.listed(context.session(), context.actor())]}


@blueprint.post("/api/modelcenter/webhooks")
def create() -> Response:
    """Have an address told of what happens to an account's repositories, or to one of them."""
    body = json_body()
    wanted = body.get("events") or []
    if not isinstance(wanted, list) or not all(isinstance(name, str) for name in wanted):
        raise Invalid(f"events is {wanted!r:.100}; expected a list of names.")
    with context.hub().database.transaction() as session:
        webhook = webhooks.create(
            session,
            context.actor(),
            string(body, "watched"),
            string(body, "url"),
            wanted,
            private=context.hub().settings.webhooks_private,
        )
        answer = jsonify({**described(webhook), "secret": webhook.secret})
    answer.status_code = HTTPStatus.CREATED
    return answer


@blueprint.delete("/api/modelcenter/webhooks/<int:webhook_id>")
def delete(webhook_id: int) -> dict[str, Any]:
    """Tell an address nothing more."""
    with context.hub().database.transaction() as session:
        webhooks.delete(session, context.actor(), webhook_id)
    return {}


@blueprint.post("/api/modelcenter/webhooks/<int:webhook_id>/test")
def test(webhook_id: int) -> Response:
    """Send a test, and go on with a webhook that was disabled."""
    with context.hub().database.transaction() as session:
        delivery = webhooks.test(session, context.actor(), webhook_id)
        answer = jsonify(delivery=delivery.id)
    answer.status_code = HTTPStatus.ACCEPTED
    return answer


@blueprint.get("/api/modelcenter/webhooks/<int:webhook_id>/deliveries")
def delivered(webhook_id: int) -> Response:
    """What came of telling an address, newest first."""
    before = paging.cursor()
    if isinstance(before, str):
        raise Invalid("The cursor is none of this hub's. Start from the first page.")
    found = webhooks.delivered(context.session(), context.actor(), webhook_id, before=before, limit=PAGE + 1)
    items = [sent(delivery, act) for delivery, act in found[:PAGE]]
    return paging.page(items, items[-1]["id"] if len(found) > PAGE else None)


def described(webhook: Webhook) -> dict[str, Any]:
    """A webhook without its secret."""
    return {
        "id": webhook.id,
        "watched": webhook.watched,
        "url": webhook.url,
        "events": webhook.events or list(events.EVENTS),
        "disabled": webhook.disabled_at is not None,
        "createdAt": shapes.moment(webhook.created_at),
    }


def sent(delivery: Delivery, act: Activity) -> dict[str, Any]:
    """A delivery: `status` of the last answer, null where none came; `problem` until it was taken."""
    return {
        "id": delivery.id,
        "event": events.told(act),
        "attempts": delivery.attempts,
        "status": delivery.status,
        "problem": delivery.problem,
        "createdAt": shapes.moment(delivery.created_at),
        "deliveredAt": shapes.moment(delivery.delivered_at) if delivery.delivered_at else None,
    }
