"""People and organisations as others see them, and what they like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Blueprint, Response

from hub_web import context
from hub_web.api import paging, shapes
from hub_web.api.body import number
from hub_web.api.errors import api_blueprint
from modelcenter.errors import Invalid
from modelcenter.registry import likes, organizations, profiles, repositories
from modelcenter.registry.tables import Account

PAGE, MOST = 500, 1000  # people or likes

blueprint: Blueprint = api_blueprint("people")


@blueprint.post("/api/models/<owner>/<name>/like")
@blueprint.delete("/api/models/<owner>/<name>/like", defaults={"wanted": False})
def like(owner: str, name: str, wanted: bool = True) -> dict[str, Any]:
    """Like a model, or no longer."""
    with context.hub().database.transaction() as session:
        repository = likes.like(session, context.actor(), f"{owner}/{name}", likes=wanted)
        return {"likes": repository.likes}


@blueprint.get("/api/models/<owner>/<name>/likers")
def likers(owner: str, name: str) -> Response:
    """Who likes a model."""
    session = context.session()
    repository = repositories.get(session, context.actor(), f"{owner}/{name}")
    offset, limit = place()
    found = likes.likers(session, repository, offset=offset, limit=limit + 1)
    return people(found, offset, limit)


@blueprint.get("/api/users/<name>/likes")
def liked(name: str) -> Response:
    """What a person likes, as far as the caller may see it."""
    session, actor = context.session(), context.actor()
    account = profiles.find(session, name, "user")
    offset, limit = place()
    found = likes.liked(session, actor, account, offset=offset, limit=limit + 1)
    items = [
        {"createdAt": shapes.moment(row.created_at), "repo": {"name": repository.repo_id, "type": "model"}}
        for row, repository in found[:limit]
    ]
    return paging.page(items, offset + limit if len(found) > limit else None)


@blueprint.get("/api/users/<name>/overview")
def user(name: str) -> dict[str, Any]:
    """A person and their numbers: no datasets, spaces and papers here, and nobody follows anybody."""
    found = profiles.profile(context.session(), context.actor(), name, "user")
    return {
        **shapes.person(found.account),
        "isPro": False,
        "numModels": found.models,
        "numDatasets": 0,
        "numSpaces": 0,
        "numPapers": 0,
        "numUpvotes": 0,
        "numDiscussions": found.discussions,
        "numLikes": found.likes,
        "numFollowers": 0,
        "numFollowing": 0,
        "isFollowing": False,
        "createdAt": shapes.moment(found.account.created_at),
        "orgs": [shapes.organization(account) for account in found.organizations],
    }


@blueprint.get("/api/organizations/<name>/overview")
def organization(name: str) -> dict[str, Any]:
    """An organisation and its numbers."""
    found = profiles.profile(context.session(), context.actor(), name, "organization")
    return {
        **shapes.organization(found.account),
        "type": "org",
        "isVerified": False,
        "isFollowing": False,
        "numUsers": found.members,
        "numModels": found.models,
        "numDatasets": 0,
        "numSpaces": 0,
        "numPapers": 0,
        "numFollowers": 0,
        "createdAt": shapes.moment(found.account.created_at),
    }


@blueprint.get("/api/organizations/<name>/members")
def members(name: str) -> Response:
    """Who belongs to an organisation; their roles are told to those who do."""
    session = context.session()
    account = organizations.get(session, name)
    offset, limit = place()
    found = organizations.members(session, account, offset=offset, limit=limit + 1)
    belongs = context.actor().role_in(account.name) is not None
    items = [
        shapes.person(member.account) | ({"role": member.role} if belongs else {}) for member in found[:limit]
    ]
    return paging.page(items, offset + limit if len(found) > limit else None)


@blueprint.get("/api/organizations/<name>/followers")
def organization_followers(name: str) -> Response:
    """Nobody: there is no following here."""
    profiles.find(context.session(), name, "organization")
    return paging.page([], None)


@blueprint.get("/api/users/<name>/followers")
@blueprint.get("/api/users/<name>/following")
def user_followers(name: str) -> Response:
    """Nobody: there is no following here."""
    profiles.find(context.session(), name, "user")
    return paging.page([], None)


def place() -> tuple[int, int]:
    """Where the page asked for begins, and how long it is."""
    offset = paging.cursor() or 0
    if not isinstance(offset, int) or offset < 0:
        raise Invalid("The cursor is none of this hub's. Start from the first page.")
    return offset, number("limit", PAGE, MOST)


def people(found: Sequence[Account], offset: int, limit: int) -> Response:
    """A page of people; one more than it takes says that there is another."""
    following = offset + limit if len(found) > limit else None
    return paging.page([shapes.person(account) for account in found[:limit]], following)
