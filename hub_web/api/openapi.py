"""Our own API in OpenAPI 3.1. Addresses and summaries are the views' own; the table has the rest."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flask import Blueprint, Response, current_app, jsonify

from hub_web import context
from hub_web.api.errors import api_blueprint
from modelcenter import __version__
from modelcenter.registry import events, organizations, search
from modelcenter.registry.accounts import SCOPES

OWN = "/api/modelcenter/"
ARGUMENT = re.compile(r"<(?:(\w+):)?(\w+)>")
Schema = Mapping[str, Any]

blueprint: Blueprint = api_blueprint("openapi")


def some(*kinds: str, says: str = "", **more: object) -> Schema:
    """A value of these types."""
    told: dict[str, Any] = {"type": kinds[0] if len(kinds) == 1 else list(kinds), **more}
    return {**told, "description": says} if says else told


def thing(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    """An object; answers may have more properties than are told."""
    return some("object", properties={**required, **(optional or {})}, required=list(required))


def many(of: Schema) -> Schema:
    """A list."""
    return some("array", items=of)


TEXT, NUMBER, TRUTH = some("string"), some("integer"), some("boolean")
MOMENT = some("string", format="date-time")
MAYBE_MOMENT = some("string", "null", format="date-time")
NOTHING = thing({})
COMMIT = some("string", pattern="^[0-9a-f]{40}$")
SIZED = thing({"oid": TEXT, "size": NUMBER})
EVENT = thing(
    {
        "id": NUMBER,
        "event": some("string", says=f"One of {', '.join(events.EVENTS)}, {events.TEST}."),
        "act": TEXT,
        "at": MOMENT,
        "actor": some("string", says="An account; empty: the hub itself."),
        "repository": TEXT,
        "details": some("object"),
    }
)
WANTED = some("array", items=some("string", enum=list(events.EVENTS)))
WEBHOOK = thing(
    {"id": NUMBER, "watched": TEXT, "url": TEXT, "events": WANTED, "disabled": TRUTH, "createdAt": MOMENT}
)
DELIVERY = thing(
    {
        "id": NUMBER,
        "event": EVENT,
        "attempts": NUMBER,
        "status": some("integer", "null", says="Of the last answer; null: none came."),
        "problem": some("string", "null"),
        "createdAt": MOMENT,
        "deliveredAt": MAYBE_MOMENT,
    }
)
TOKEN = thing({"id": NUMBER, "name": TEXT, "hint": TEXT, "scope": some("string", enum=list(SCOPES))})
REVISION = {"repository": TEXT, "commit": COMMIT}

STRETCHES = many(many(many(NUMBER)))
PLAN = thing(
    {
        "version": NUMBER,
        **REVISION,
        "family": TEXT,
        "dtype": TEXT,
        "files": many(thing({"name": TEXT, "size": NUMBER, "content": TEXT})),
        "tensors": some("object", says="The stored ones, by name: file, dtype, shape, start, stop."),
        "parameters": many(
            thing(
                {
                    "name": TEXT,
                    "shape": many(NUMBER),
                    "dtype": TEXT,
                    "reads": many(thing(dict.fromkeys(("start", "size", "count", "stride"), NUMBER))),
                    "gathers": {
                        **many(
                            thing({"tensor": TEXT, "from": STRETCHES, "to": STRETCHES, "dims": some("array")})
                        ),
                        "description": "parameter[to] = tensor[from].permute(dims); [start, stop, step]s.",
                    },
                }
            )
        ),
        "stream": thing({"address": TEXT, "bytes": NUMBER, "payload": NUMBER, "frame": NUMBER}),
    }
)
PLACE: Mapping[str, Schema] = {
    "dtype": TEXT,
    "tp": some("integer", minimum=1),
    "rank": some("integer", minimum=0),
    "fuse": TRUTH,
    "head": TEXT,
}


@dataclass(frozen=True)
class Told:
    """What the table says of a view: its answer with the status, its query, and its body."""

    answer: Schema
    status: int = 200
    query: Mapping[str, Schema] = field(default_factory=dict)
    body: Schema | None = None
    paged: bool = False  # the next page's address is in `Link`
    media: str = "application/json"  # of the answer
    needs_token: bool = True


def anybody(answer: Schema, query: Mapping[str, Schema] | None = None) -> Told:
    """A view that answers without a token, too."""
    return Told(answer, query=query or {}, needs_token=False)


CHOSEN = {name: many(TEXT) for name in (*search.FACETS, "tags")}
VIEWS: Mapping[str, Told] = {
    "api_own.verdict": anybody(thing({**REVISION, "status": TEXT})),
    "api_own.conversion": anybody(
        thing({**REVISION, "status": some("string", enum=["none", "queued", "done", "failed"])})
    ),
    "api_own.convert": Told(thing({**REVISION, "status": TEXT}), 202),
    "api_own.find": anybody(
        thing(
            {
                "total": NUMBER,
                "page": NUMBER,
                "sort": TEXT,
                "rows": many(thing({"id": TEXT})),
                "facets": some("object", additionalProperties=many(thing({"value": TEXT, "count": NUMBER}))),
            },
            {"suggestion": some("string", "null")},
        ),
        {
            **dict.fromkeys(("q", "sort"), TEXT),
            **CHOSEN,
            "page": NUMBER,
            "per_page": some("integer", maximum=search.MAX_PAGE_SIZE),
        },
    ),
    "api_holding.withdraw": Told(
        thing({"commit": COMMIT, "reason": TEXT, "withdrawnAt": MOMENT}), body=thing({"reason": TEXT})
    ),
    "api_holding.withdrawn": anybody(
        thing({"commit": COMMIT, "reason": some("string", "null"), "withdrawnAt": MAYBE_MOMENT})
    ),
    "api_holding.restore": Told(NOTHING),
    "api_holding.freeze": Told(thing({"ref": TEXT, "commit": COMMIT, "frozen": TRUTH})),
    "api_mirrors.ask": Told(
        thing({"repository": TEXT, "state": TEXT}),
        202,
        body=thing({"upstream_id": TEXT}, {"revision": TEXT, "as": TEXT, "upstream": TEXT}),
    ),
    "api_mirrors.state": anybody(
        thing(
            {
                "repository": TEXT,
                "state": TEXT,
                **dict.fromkeys(("problem", "upstream", "upstream_id"), some("string", "null")),
                "checked_at": MAYBE_MOMENT,
            }
        )
    ),
    "api_organizations.create": Told(
        thing({"name": TEXT}), 201, body=thing({"name": TEXT}, {"fullname": TEXT})
    ),
    "api_organizations.set_role": Told(
        thing({"user": TEXT, "role": TEXT}),
        body=thing({"role": some("string", enum=list(organizations.ROLES))}),
    ),
    "api_organizations.remove": Told(NOTHING),
    "api_organizations.settings": Told(
        thing({"privateByDefault": TRUTH}), body=thing({"privateByDefault": TRUTH})
    ),
    "api_plans.plan": anybody(PLAN, PLACE),
    "api_plans.stream": Told(
        some("string", format="binary"), query=PLACE, needs_token=False, media="application/octet-stream"
    ),
    "api_tokens.listed": Told(many(TOKEN)),
    "api_tokens.create": Told(
        thing({"token": some("string", says="Told this once.")}),
        201,
        body=thing({"name": TEXT}, {"scope": TEXT, "expiresAt": MOMENT, "resources": many(TEXT)}),
    ),
    "api_tokens.revoke": Told(NOTHING),
    "api_uploads.upload": anybody(SIZED),
    "api_uploads.upload_part": anybody(thing({"size": NUMBER})),
    "api_uploads.finish": anybody(SIZED),
    "api_webhooks.feed": anybody(
        thing({"events": many(EVENT), "last": NUMBER}),
        {"after": some("integer", minimum=0), "limit": some("integer", minimum=1, maximum=1000)},
    ),
    "api_webhooks.listed": Told(thing({"webhooks": many(WEBHOOK)})),
    "api_webhooks.create": Told(
        {"allOf": [WEBHOOK, thing({"secret": some("string", says="Told this once.")})]},
        201,
        body=thing({"watched": TEXT, "url": TEXT}, {"events": WANTED}),
    ),
    "api_webhooks.delete": Told(NOTHING),
    "api_webhooks.test": Told(thing({"delivery": NUMBER}), 202),
    "api_webhooks.delivered": Told(many(DELIVERY), paged=True),
    "api_openapi.description": anybody(thing({"openapi": TEXT})),
}


@blueprint.get(f"{OWN}openapi.json")
def description() -> Response:
    """This description."""
    return jsonify(document(context.address()))


def document(address: str) -> dict[str, Any]:
    """The OpenAPI document of a hub at `address`, of every address below OWN."""
    paths: dict[str, dict[str, Any]] = {}
    for rule in sorted(current_app.url_map.iter_rules(), key=lambda rule: rule.rule):
        if rule.rule.startswith(OWN):
            path = ARGUMENT.sub(r"{\2}", rule.rule)
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                paths.setdefault(path, {})[method.lower()] = operation(rule.rule, method, rule.endpoint)
    refusal = thing({"error": some("string", says="A sentence: what is wrong and what to do.")})
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ModelCenter",
            "version": __version__,
            "description": "What the Hub protocol has no word for. The protocol itself is in docs/api.md.",
        },
        "servers": [{"url": address}],
        "paths": paths,
        "components": {
            "schemas": {"Refusal": refusal},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def operation(rule: str, method: str, endpoint: str) -> dict[str, Any]:
    """One method of one address."""
    told = VIEWS[endpoint]
    headers = {"Link": {"description": 'The next page: <…>; rel="next".', "schema": TEXT}}
    answer = {
        "description": "Done." if told.status == 200 else "Taken, and done by a job or made.",
        "content": {told.media: {"schema": told.answer}},
        **({"headers": headers} if told.paged else {}),
    }
    refused = {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}
    view = current_app.view_functions[endpoint]
    name = re.sub("[^a-z0-9]+", "_", rule.removeprefix(OWN)).strip("_")
    found: dict[str, Any] = {
        "operationId": f"{method.lower()}_{name}",
        "summary": (view.__doc__ or "").partition("\n")[0],
        "parameters": parameters(rule, told.query),
        "responses": {str(told.status): answer, "4XX": {"description": "Refused.", "content": refused}},
        "security": [{"token": []}] if told.needs_token else [{}, {"token": []}],
    }
    if told.body:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": told.body}}}
    return found


def parameters(rule: str, query: Mapping[str, Schema]) -> Sequence[dict[str, Any]]:
    """The arguments in an address and its query; slashes within an argument travel as %2F."""
    within = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": NUMBER if converter == "int" else TEXT,
        }
        for converter, name in ARGUMENT.findall(rule)
    ]
    asked = [{"name": name, "in": "query", "schema": schema} for name, schema in query.items()]
    return [*within, *asked]
