"""Large files, by the Git LFS batch protocol: which are here already, where to send the others, and the sending."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, jsonify, request

from hub_web import context
from hub_web.api.body import json_body
from hub_web.api.errors import api_blueprint
from modelcenter.errors import BlobMismatch, Invalid, NotSupported
from modelcenter.registry import access, repositories, uploads
from modelcenter.registry.tables import Repository

MEDIA_TYPE = "application/vnd.git-lfs+json"
OBJECTS = 1000  # in one batch; git-lfs sends 100, huggingface_hub 256

blueprint: Blueprint = api_blueprint("lfs")


@blueprint.post("/<owner>/<name>.git/info/lfs/objects/batch")
def batch(owner: str, name: str) -> Response:
    """For each object: nothing to do, or the address to send it to."""
    body = json_body()
    if body.get("operation") != "upload":
        raise NotSupported("Large files are downloaded from /OWNER/NAME/resolve/REVISION/PATH.")
    if body.get("hash_algo", "sha256") != "sha256":
        raise Invalid(f"hash_algo is {body['hash_algo']!r}; expected sha256.")
    wanted = read_objects(body.get("objects"))
    repository = writable(owner, name)
    present = uploads.arrived(context.session(), repository, wanted)
    account_id = context.actor().account_id
    assert account_id is not None  # who may write has an account
    objects: list[dict[str, Any]] = []
    for sha256, size in wanted.items():
        item: dict[str, Any] = {"oid": sha256, "size": size}
        if sha256 not in present:
            permit = uploads.permit(repository, account_id, sha256, size)
            item |= {"authenticated": True, "actions": actions(permit, repository)}
        elif present[sha256] != size:
            item["error"] = {"code": 422, "message": f"{sha256} has {present[sha256]} bytes, not {size}."}
        objects.append(item)
    response = jsonify(transfer="basic", objects=objects, hash_algo="sha256")
    response.mimetype = MEDIA_TYPE
    return response


def read_objects(objects: object) -> dict[str, int]:
    """The sizes announced, by address."""
    if not isinstance(objects, list) or len(objects) > OBJECTS:
        raise Invalid(f"objects is no list of at most {OBJECTS} objects.")
    wanted: dict[str, int] = {}
    for item in objects:
        size = item.get("size") if isinstance(item, dict) else None
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise Invalid(f"{item!r:.200} is no object; expected an oid and its size in bytes.")
        wanted[uploads.checked_address(item.get("oid"))] = size
    return wanted


def actions(permit: uploads.Permit, repository: Repository) -> dict[str, Any]:
    """Where to send the bytes, and where to ask afterwards whether they have arrived."""
    # Clients send the bytes without a token, so the address itself carries the right.
    query = urlencode(
        {
            "repository": permit.repository_id,
            "account": permit.account_id,
            "size": permit.size,
            "expires": permit.expires,
            "signature": permit.signature(context.hub().settings.secret_key),
        }
    )
    base = context.address()
    return {
        "upload": {
            "href": f"{base}/api/modelcenter/uploads/{permit.sha256}?{query}",
            "header": {},
            "expires_in": uploads.VALID_SECONDS,
        },
        "verify": {"href": f"{base}/{repository.repo_id}.git/info/lfs/objects/verify", "header": {}},
    }


@blueprint.put("/api/modelcenter/uploads/<sha256>")
def upload(sha256: str) -> Response:
    """Take the bytes, hashed while they arrive; answered once they are durable and noted."""
    hub = context.hub()
    try:
        permit = uploads.Permit(
            repository_id=int(request.args["repository"]),
            account_id=int(request.args["account"]),
            sha256=uploads.checked_address(sha256),
            size=int(request.args["size"]),
            expires=int(request.args["expires"]),
        )
    except (KeyError, ValueError) as error:
        raise Invalid("This is no upload address of this hub.") from error
    permit.check(hub.settings.secret_key, request.args.get("signature", ""))
    announced = request.content_length
    if announced is not None and announced != permit.size:
        raise BlobMismatch(f"{permit.size} bytes", f"{announced} bytes")
    # One byte more than announced, so that the store sees, and refuses, a body that is too long.
    request.max_content_length = permit.size + 1
    context.release()
    blob = hub.blobs.put(request.stream, sha256=permit.sha256, size=permit.size)
    with hub.database.transaction() as session:
        uploads.record(session, permit, blob)
    response = jsonify(oid=blob.sha256, size=blob.size)
    response.headers["ETag"] = f'"{blob.sha256}"'
    return response


@blueprint.post("/<owner>/<name>.git/info/lfs/objects/verify")
def verify(owner: str, name: str) -> dict[str, Any]:
    """Whether the object has arrived."""
    ((sha256, size),) = read_objects([json_body()]).items()
    repository = writable(owner, name)
    found = uploads.arrived(context.session(), repository, [sha256]).get(sha256)
    if found != size:
        raise Invalid(f"{sha256} ({size} bytes) has not arrived in {repository.repo_id}. Send it again.")
    return {"oid": sha256, "size": size}


def writable(owner: str, name: str) -> Repository:
    """The repository, if the caller may write to it."""
    repository = repositories.get(context.session(), context.actor(), f"{owner}/{name}")
    access.require(context.actor(), "write", repository)
    return repository
