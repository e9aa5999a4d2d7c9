"""The token that a client asks for before it uploads by Xet; `cas` takes what it then sends."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from hub_web import context
from hub_web.api.body import flag
from hub_web.api.cas import address
from hub_web.api.errors import api_blueprint
from hub_web.api.permits import XetPermit
from modelcenter.errors import NotFound
from modelcenter.registry import pulls, repositories, uploads

blueprint: Blueprint = api_blueprint("xet")


@blueprint.get("/api/models/<owner>/<name>/xet-write-token/<revision:revision>")
def write_token(owner: str, name: str, revision: str) -> Response:
    """The right to send files to the repository, and where to."""
    session, actor = context.session(), context.actor()
    repository = repositories.get(session, actor, f"{owner}/{name}")
    if flag("create_pr"):
        uploads.require_sending(actor, repository)
    else:
        pulls.require_push(session, actor, repository, repositories.branch_ref(revision))
        if not repository.is_linked:  # such an entry becomes hosted with its first commit
            repositories.resolve(session, repository, revision)
    permit = XetPermit.new(repository.repo_id, actor)
    secret = context.hub().settings.secret_key
    token, place = permit.spelled(secret), address(context.address(), secret, actor)
    response = jsonify(accessToken=token, exp=permit.expires, casUrl=place)
    response.headers["X-Xet-Access-Token"] = token
    response.headers["X-Xet-Token-Expiration"] = str(permit.expires)
    response.headers["X-Xet-Cas-Url"] = place
    return response


@blueprint.get("/api/models/<owner>/<name>/xet-read-token/<revision:revision>")
def read_token(owner: str, name: str, revision: str) -> Response:
    """None: no answer of this hub names a file by its Xet hash."""
    repositories.get(context.session(), context.actor(), f"{owner}/{name}")
    raise NotFound(f"Files are downloaded from /{owner}/{name}/resolve/{revision}/PATH here, not by Xet.")
