"""Repositories: created, set, deleted."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Literal, cast

from flask import Blueprint, Response, jsonify

from hub_web import context
from hub_web.api import shapes
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
        repository = repositories.create(context.hub(), context.actor(), repo_id, private=private_of(body))
    except AlreadyExists:
        return taken(repo_id, "You already created this model repo: {} exists.")
    return jsonify(where(repository.repo_id))


def taken(repo_id: str, sentence: str) -> Response:
    """409 with the address of what is there, told only to those who may create there, hence may see it."""
    existing = repositories.get(context.session(), context.actor(), repo_id)
    response = refusal(HTTPStatus.CONFLICT, sentence.format(existing.repo_id))
    response.data = jsonify(error=response.json["error"], **where(existing.repo_id)).data  # type: ignore[index]
    return response


@blueprint.post("/api/repos/move")
def move() -> dict[str, str]:
    """Another id for a repository; the old one leads there."""
    body = json_body()
    with context.hub().database.transaction() as session:
        repository = repositories.move(
            session,
            context.actor(),
            repo_id_of({**body, "name": string(body, "fromRepo")}),
            string(body, "toRepo"),
        )
        return where(repository.repo_id)


@blueprint.post("/api/models/<owner>/<name>/duplicate")
def duplicate(owner: str, name: str) -> Response:
    """A copy of a repository, history included, under another id."""
    body = json_body()
    target = string(body, "repository")
    if "/" not in target:
        target = f"{context.actor().name}/{target}"
    try:
        with context.hub().database.transaction() as session:
            copy = repositories.duplicate(
                session, context.actor(), f"{owner}/{name}", target, private=private_of(body)
            )
            return jsonify(where(copy.repo_id))
    except AlreadyExists as error:
        return taken(error.name, f"{error}")


@blueprint.get("/api/settings/repositories")
@blueprint.get("/api/organizations/<organization>/settings/repositories")
def storage(organization: str | None = None) -> Response:
    """The repositories of oneself or of an organisation one belongs to, with the bytes they take."""
    found = repositories.storage(context.session(), context.actor(), organization)
    total = sum(used for _, used in found) or 1
    return jsonify(
        [
            {
                "id": repository.repo_id,
                "type": "model",
                "updatedAt": shapes.moment(repository.updated_at),
                "visibility": "private" if repository.private else "public",
                "storage": used,
                "storagePercent": round(100 * used / total, 2),
            }
            for repository, used in found
        ]
    )


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
    access.require_files(context.actor(), repository)
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
