"""Large files, by the Git LFS batch protocol: which are here already, where to send others, the sending."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any, TypeGuard

from flask import Blueprint, Response, jsonify

from hub_web import context
from hub_web.api.body import json_body, one_of, string
from hub_web.api.errors import api_blueprint
from hub_web.api.files import readable
from hub_web.api.streaming import content_response
from hub_web.api.uploads import actions, own_authorization
from modelcenter.errors import BlobNotFound, Invalid, NotSupported
from modelcenter.registry import arriving, contents, fsck, pulling, pulls, quotas, repositories, uploads
from modelcenter.registry.blobs.interface import MOST_BYTES, Blob, address
from modelcenter.registry.tables import File, Repository

MEDIA_TYPE = "application/vnd.git-lfs+json"
OBJECTS = 1000  # in one batch; git-lfs sends 100, huggingface_hub 256

blueprint: Blueprint = api_blueprint("lfs")


@blueprint.after_request
def in_its_form(response: Response) -> Response:
    """Errors as git-lfs reads them: it shows `message`, and of any other answer the status alone."""
    told = (
        response.get_json() if response.status_code >= HTTPStatus.BAD_REQUEST and response.is_json else None
    )
    if isinstance(told, dict) and "error" in told:
        response.set_data(json.dumps(told | {"message": told["error"]}))
        response.mimetype = MEDIA_TYPE
    return response


@blueprint.post("/<owner>/<name>.git/info/lfs/objects/batch")
def batch(owner: str, name: str) -> Response:
    """For each object: nothing to do, or the address to send it to or to fetch it from."""
    body = json_body()
    operation = one_of("operation", string(body, "operation"), ("upload", "download"))
    if body.get("hash_algo", "sha256") != "sha256":
        raise Invalid(f"hash_algo is {body['hash_algo']!r}; expected sha256.")
    wanted = read_objects(body.get("objects"))
    if operation == "download":
        return answered("basic", downloads(readable(owner, name), wanted))
    repository = writable(owner, name, named_ref(body))
    hub, session, actor = context.hub(), context.session(), context.actor()
    # Known: this repository's own, the caller's, and what anybody may read; never others' private files.
    here = uploads.which_are_here(hub, session, actor, repository, wanted)
    quotas.require_room(session, actor, repository, wanted)
    transfers = body.get("transfers") or []
    if not isinstance(transfers, list):
        raise Invalid(f"transfers is {transfers!r:.100}; expected a list of names.")
    parts = "multipart" in transfers
    objects: list[dict[str, Any]] = []
    transfer = "basic"
    for blob in wanted:
        item: dict[str, Any] = {"oid": blob.sha256, "size": blob.size}
        if blob not in here:
            item |= {"authenticated": True, "actions": actions(repository, blob, parts=parts)}
            if item["actions"]["upload"]["header"]:
                transfer = "multipart"
        objects.append(item)
    repo_id = repository.repo_id
    context.release()
    if here:  # so that a commit finds them, whatever becomes of the repository that they were found in
        uploads.note(hub, actor, repo_id, *here)
    return answered(transfer, objects)


def answered(transfer: str, objects: list[dict[str, Any]]) -> Response:
    """The answer to a batch."""
    response = jsonify(transfer=transfer, objects=objects, hash_algo="sha256")
    response.mimetype = MEDIA_TYPE
    return response


def downloads(repository: Repository, wanted: list[Blob]) -> list[dict[str, Any]]:
    """For each object the address to fetch it from, as far as the repository's commits name it."""
    known = contents.large_files(context.session(), repository, (blob.sha256 for blob in wanted))
    place = f"{context.address()}/{repository.repo_id}.git/info/lfs/objects"
    objects: list[dict[str, Any]] = []
    for blob in wanted:
        item: dict[str, Any] = {"oid": blob.sha256, "size": blob.size}
        if blob.sha256 in known and known[blob.sha256].size == blob.size:
            item["actions"] = {"download": {"href": f"{place}/{blob.sha256}", "header": own_authorization()}}
        else:
            problem = f"{repository.repo_id} has no large file {blob.sha256} of {blob.size} bytes."
            item["error"] = {"code": HTTPStatus.NOT_FOUND, "message": problem}
        objects.append(item)
    return objects


@blueprint.get("/<owner>/<name>.git/info/lfs/objects/<sha256>")
def download(owner: str, name: str, sha256: str) -> Response:
    """The content of a large file that the repository's commits name, whole or in ranges."""
    hub, repository = context.hub(), readable(owner, name)
    file = contents.large_files(context.session(), repository, [address(sha256)]).get(sha256)
    if file is None:
        raise BlobNotFound(sha256)
    context.release()
    is_here, oid = isinstance(file, File), file.oid
    return content_response(
        # What has not come from the upstream comes now, and is hashed on its way.
        lambda: fsck.opened(hub, sha256) if is_here else pulling.opened(hub, repository, oid).file(),
        size=file.size,
        etag=sha256,
        name=sha256,
        head={},
        sha256=sha256 if is_here else None,
        link=lambda kind, shown: fsck.linked(hub, sha256, kind, shown) if is_here else None,
        damaged=lambda sha256: fsck.suspect(hub, sha256),
    )


@blueprint.get("/<owner>/<name>.git/info/lfs/locks")
def locks(owner: str, name: str) -> dict[str, Any]:
    """No file is ever locked: nobody merges weights."""
    readable(owner, name)
    return {"locks": []}


@blueprint.post("/<owner>/<name>.git/info/lfs/locks")
@blueprint.post("/<owner>/<name>.git/info/lfs/locks/verify")
@blueprint.post("/<owner>/<name>.git/info/lfs/locks/<lock>/unlock")
def lock(owner: str, name: str, lock: str = "") -> Response:
    """Refused, by the status at which git-lfs pushes without asking again."""
    readable(owner, name)
    raise NotSupported("This hub has no locks for files.")


def is_size(value: object) -> TypeGuard[int]:
    """Whether a file can have so many bytes."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_BYTES


def read_objects(objects: object) -> list[Blob]:
    """The objects announced."""
    if not isinstance(objects, list) or len(objects) > OBJECTS:
        raise Invalid(f"objects is no list of at most {OBJECTS} objects.")
    wanted: dict[Blob, None] = {}
    for item in objects:
        found = item if isinstance(item, dict) else {}
        oid, size = found.get("oid"), found.get("size")
        if not isinstance(oid, str) or not is_size(size):
            raise Invalid(f"{item!r:.200} is no object; expected an oid and its size in bytes.")
        wanted[Blob(address(oid), size)] = None
    return list(wanted)


@blueprint.post("/<owner>/<name>.git/info/lfs/objects/verify")
def verify(owner: str, name: str) -> dict[str, Any]:
    """Whether the object has arrived."""
    (blob,) = read_objects([json_body()])
    repository = writable(owner, name, None)
    hub, actor, repo_id = context.hub(), context.actor(), repository.repo_id
    is_here = uploads.is_here(hub, context.session(), actor, repository, blob)
    context.release()
    # What was sent to the bucket is taken over now.
    if not is_here and not arriving.accept(hub, actor, repo_id, blob):
        raise Invalid(
            f"{blob.sha256} ({blob.size} bytes) has not arrived in {repository.repo_id}. Send it again."
        )
    return {"oid": blob.sha256, "size": blob.size}


def writable(owner: str, name: str, revision: str | None) -> Repository:
    """The repository, if the caller may commit to that branch or pull request; None: may propose changes."""
    session, actor = context.session(), context.actor()
    repository = repositories.get(session, actor, f"{owner}/{name}")
    if revision is None:
        uploads.require_sending(actor, repository)
    else:
        pulls.require_push(session, actor, repository, repositories.branch_ref(revision))
    return repository


def named_ref(body: dict[str, Any]) -> str | None:
    """The ref that a batch is for. Without one it is for a pull request that is still to be opened."""
    ref = body.get("ref")
    name = ref.get("name") if isinstance(ref, dict) else None
    if name is not None and not isinstance(name, str):
        raise Invalid(f"ref is {ref!r:.100}; expected the name of a branch.")
    return name
