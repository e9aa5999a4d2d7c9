"""Whether the hub can work, and what clients ask of any hub before they begin."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request
from sqlalchemy import text

from hub_web import context
from hub_web.api.errors import api_blueprint
from modelcenter.errors import NotFound, NotSupported
from modelcenter.registry import repositories

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]

blueprint: Blueprint = api_blueprint("health")


@blueprint.get("/health")
def health() -> dict[str, str]:
    """200 once the database answers."""
    context.session().execute(text("SELECT 1"))
    return {"status": "ok"}


@blueprint.route("/api/models/<path:rest>", methods=METHODS)
@blueprint.route("/<name>/resolve/<path:rest>", methods=METHODS)
def no_such_repository(rest: str, name: str = "") -> dict[str, Any]:
    """An id without its namespace (`gpt2`), or something of a repository that this hub does not offer."""
    owner, _, rest = (name or rest).partition("/")
    repo_id = f"{owner}/{rest.partition('/')[0]}" if rest else owner
    repositories.get(context.session(), context.actor(), repo_id)
    raise NotFound(f"This hub has nothing at {request.path} for repositories, or not with {request.method}.")


@blueprint.post("/uploads")
@blueprint.post("/uploads/<path:rest>")
def no_attachments(rest: str = "") -> dict[str, Any]:
    """Discussions are of text alone."""
    raise NotSupported(
        "This hub takes no attachments to discussions. Add the file to the model, and link to it."
    )


@blueprint.route("/api/<path:rest>", methods=METHODS)
def no_such_endpoint(rest: str) -> dict[str, Any]:
    """What this hub does not speak is said in JSON, not as a page."""
    raise NotFound(f"This hub has nothing at /api/{rest}, or not with this method.")
