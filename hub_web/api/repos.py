"""Repositories: created, set, deleted."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Literal, cast

from flask import Blueprint, Response, jsonify

from hub_web import context
from hub_web.api.body import json_body, one_of, string
from hub_web.api.errors import api_blueprint, refusal
from modelcenter.errors import AlreadyExists, Invalid, NotAuthenticated, NotSupported
from modelcenter.registry import access, repositories

VISIBILITIES = ("public", "private")
GATES = ("auto", "manual")

blueprint: Blueprint = api_blueprint("repos")


@blueprint.post("/api/repos/create")
def create() -> Response:
    """A new repository; where it exists already its address comes with the 409, as `exist_ok` needs it."""
    body = json_body()
    repo_id = repo_id_of(body)
    try:
        repository = repositories.create(
            context.hub(), context.actor(), repo_id, private=private_of(body) or False
        )
    except AlreadyExists:
        # Told only to those who may create here, hence may see what is there.
        existing = repositories.get(context.session(), context.actor(), repo_id)
        response = refusal(
            HTTPStatus.CONFLICT, f"You already created this model repo: {existing.repo_id} exists."
        )
        response.data = jsonify(error=response.json["error"], **where(existing.repo_id)).data  # type: ignore[index]
        return response
    return jsonify(where(repository.repo_id))


@blueprint.delete("/api/repos/delete")
def delete() -> dict[str, Any]:
    """Remove a repository with its history."""
    repo_id = repo_id_of(json_body())
    with context.hub().database.transaction() as session:
        repositories.delete(session, context.actor(), repo_id)
    return {}


@blueprint.put("/api/models/<owner>/<name>/settings")
def settings(owner: str, name: str) -> dict[str, Any]:
    """Change who may see the repository, and whether its files are gated."""
    body = json_body()
    gated = body.get("gated")
    if gated not in (None, False):
        one_of("gated", str(gated), GATES)
    with context.hub().database.transaction() as session:
        repository = repositories.update(
            session,
            context.actor(),
            f"{owner}/{name}",
            private=private_of(body),
            gated=cast("Literal['auto', 'manual', False] | None", gated),
        )
        return {
            "private": repository.private,
            "visibility": "private" if repository.private else "public",
            "gated": repository.gated or False,
        }


@blueprint.get("/api/models/<owner>/<name>/auth-check")
@blueprint.get("/api/models/<owner>/<name>/auth-check/<verb>")
def auth_check(owner: str, name: str, verb: str = "read") -> dict[str, Any]:
    """200 where the caller may read (or write), else the error that says why not."""
    repository = repositories.get(context.session(), context.actor(), f"{owner}/{name}")
    access.require(
        context.actor(), cast("access.Verb", one_of("the check", verb, ("read", "write"))), repository
    )
    return {}


def repo_id_of(body: dict[str, Any]) -> str:
    """The id that a body names: `organization` is the namespace where it is given, else one's own account."""
    if string(body, "type", default="model") != "model":
        raise NotSupported(f"This hub has models only; the request is for a {body['type']}.")
    name, organization = string(body, "name"), string(body, "organization", default="")
    if organization:
        return f"{organization}/{name}"
    if "/" in name:
        return name
    if context.actor().is_anonymous:
        raise NotAuthenticated("Log in first: whose repository is meant follows from your token.")
    return f"{context.actor().name}/{name}"


def private_of(body: dict[str, Any]) -> bool | None:
    """Whether it is to be private: by `visibility`, or `private` as older clients say. None: not said."""
    visibility = body.get("visibility")
    if visibility is not None:
        return one_of("visibility", str(visibility), VISIBILITIES) == "private"
    private = body.get("private")
    if private is not None and not isinstance(private, bool):
        raise Invalid(f"private is {private!r:.100}; expected true or false.")
    return private


def where(repo_id: str) -> dict[str, str]:
    """A repository's address and id."""
    return {"url": f"{context.address()}/{repo_id}", "name": repo_id}
