"""Large files, by the Git LFS batch protocol: which are here already, where to send others, the sending."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, g, jsonify, request

from hub_web import context
from hub_web.api.body import json_body
from hub_web.api.errors import api_blueprint
from hub_web.api.permits import VALID_SECONDS, Permit
from modelcenter.errors import BlobMismatch, Invalid, NotFound, NotSupported
from modelcenter.registry import access, accounts, repositories, uploads
from modelcenter.registry.blobs.interface import Blob, address
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
    hub, session, actor = context.hub(), context.session(), context.actor()
    objects: list[dict[str, Any]] = []
    for blob in wanted:
        item: dict[str, Any] = {"oid": blob.sha256, "size": blob.size}
        # Known: this repository's own, the caller's, and what anybody may read; never others' private files.
        if not uploads.is_here(hub, session, actor, repository, blob):
            item |= {"authenticated": True, "actions": actions(repository, blob)}
        objects.append(item)
    response = jsonify(transfer="basic", objects=objects, hash_algo="sha256")
    response.mimetype = MEDIA_TYPE
    return response


def read_objects(objects: object) -> list[Blob]:
    """The objects announced."""
    if not isinstance(objects, list) or len(objects) > OBJECTS:
        raise Invalid(f"objects is no list of at most {OBJECTS} objects.")
    wanted: dict[Blob, None] = {}
    for item in objects:
        found = item if isinstance(item, dict) else {}
        oid, size = found.get("oid"), found.get("size")
        if not isinstance(oid, str) or not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise Invalid(f"{item!r:.200} is no object; expected an oid and its size in bytes.")
        wanted[Blob(address(oid), size)] = None
    return list(wanted)


def actions(repository: Repository, blob: Blob) -> dict[str, Any]:
    """Where to send the bytes, and where to ask afterwards whether they have arrived."""
    permit = Permit.new(repository.repo_id, context.actor().name, blob.sha256, blob.size)
    query = permit.query(context.hub().settings.secret_key)
    base = context.address()
    return {
        "upload": {
            "href": f"{base}/api/modelcenter/uploads/{blob.sha256}?{query}",
            "header": {},
            "expires_in": VALID_SECONDS,
        },
        "verify": {"href": f"{base}/{repository.repo_id}.git/info/lfs/objects/verify", "header": {}},
    }


@blueprint.put("/api/modelcenter/uploads/<sha256>")
def upload(sha256: str) -> Response:
    """Take the bytes, hashed while they arrive; answered once they are durable and noted."""
    hub, session = context.hub(), context.session()
    permit = Permit.read(sha256, request.args, hub.settings.secret_key)
    blob = Blob(permit.sha256, permit.size)
    if request.content_length not in (None, blob.size):
        raise BlobMismatch(f"{blob.size} bytes", f"{request.content_length} bytes")
    # What the account may do now counts, not what it might when it got the address.
    g.actor = actor = accounts.actor_of(session, accounts.find(session, permit.account), "write")
    # One byte more than announced, so that the store sees, and refuses, a body that is too long.
    request.max_content_length = blob.size + 1
    context.release()
    uploads.receive(hub, actor, permit.repo_id, blob, request.stream)
    response = jsonify(oid=blob.sha256, size=blob.size)
    response.headers["ETag"] = f'"{blob.sha256}"'
    return response


@blueprint.post("/<owner>/<name>.git/info/lfs/objects/verify")
def verify(owner: str, name: str) -> dict[str, Any]:
    """Whether the object has arrived."""
    (blob,) = read_objects([json_body()])
    repository = writable(owner, name)
    if not uploads.is_here(context.hub(), context.session(), context.actor(), repository, blob):
        raise Invalid(
            f"{blob.sha256} ({blob.size} bytes) has not arrived in {repository.repo_id}. Send it again."
        )
    return {"oid": blob.sha256, "size": blob.size}


@blueprint.get("/api/models/<owner>/<name>/xet-write-token/<revision:revision>")
@blueprint.get("/api/models/<owner>/<name>/xet-read-token/<revision:revision>")
def xet_token(owner: str, name: str, revision: str) -> dict[str, Any]:
    """None: large files travel by LFS here."""
    raise NotFound(NO_XET)


NO_XET = "This hub has no Xet storage: set HF_HUB_DISABLE_XET=1"


def writable(owner: str, name: str) -> Repository:
    """The repository, if the caller may write to it."""
    repository = repositories.get(context.session(), context.actor(), f"{owner}/{name}")
    access.require(context.actor(), "write", repository)
    return repository
