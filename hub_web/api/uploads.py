"""The bytes of large files on their way here: signed addresses, whole files, parts; or on their way to S3.

A client that got an address sends the bytes without a token. Larger files go in parts where the client can:
one that was lost is sent again, not all of them.
"""

from __future__ import annotations

import math
from typing import Any

from flask import Blueprint, Response, g, jsonify, request

from hub_web import context
from hub_web.api.body import json_body
from hub_web.api.errors import api_blueprint
from hub_web.api.permits import VALID_SECONDS, Permit
from modelcenter.errors import BlobMismatch, Invalid
from modelcenter.registry import accounts, arriving, uploads
from modelcenter.registry.access import Actor
from modelcenter.registry.blobs.interface import Blob, DirectStore, Part
from modelcenter.registry.tables import Repository

BASIC_MAX = 5 * 10**9  # bytes that S3 takes in one request

blueprint: Blueprint = api_blueprint("uploads")


def actions(repository: Repository, blob: Blob, *, parts: bool) -> dict[str, Any]:
    """Where to send the bytes, in `parts` where the client knows how, and where to ask for them then."""
    base, actor = context.address(), context.actor()
    permit = Permit.new(repository.repo_id, actor, blob)
    href = f"{base}/api/modelcenter/uploads/{blob.sha256}?{permit.query(context.hub().settings.secret_key)}"
    header: dict[str, str] = {}
    store = arriving.direct(context.hub())
    part_size = arriving.part_size(context.hub(), blob.size)
    if parts and blob.size > part_size:
        href, header = _in_parts(permit, href, part_size, store)
    elif store is not None and 0 < blob.size <= BASIC_MAX:
        href = store.upload_link(_name(permit), blob, seconds=VALID_SECONDS)
    return {
        "upload": {"href": href, "header": header, "expires_in": VALID_SECONDS},
        "verify": {
            "href": f"{base}/{repository.repo_id}.git/info/lfs/objects/verify",
            "header": own_authorization(),
        },
    }


def own_authorization() -> dict[str, str]:
    """What the client sent to say who it is: git-lfs sends it along to an address only if it is told to."""
    sent = request.headers.get("Authorization")
    return {"Authorization": sent} if sent else {}


def _in_parts(
    permit: Permit, href: str, part_size: int, store: DirectStore | None
) -> tuple[str, dict[str, str]]:
    """Where to say that all parts are sent, and in the header the address of each."""
    href += f"&part={part_size}"
    sizes = _sizes(permit.size, part_size)
    if store is None:
        place, _, query = href.partition("?")
        links = {number: f"{place}/parts/{number}?{query}" for number in sizes}
    else:
        upload = store.begin_parts(_name(permit))
        links = {
            number: store.part_link(_name(permit), upload, number, size, seconds=VALID_SECONDS)
            for number, size in sizes.items()
        }
        href += f"&upload={upload}"
    return href, {
        "chunk_size": str(part_size),
        **{f"{number:05}": link for number, link in links.items()},
    }


@blueprint.put("/api/modelcenter/uploads/<sha256>")
def upload(sha256: str) -> Response:
    """Take the bytes, hashed while they arrive; answered once they are durable and noted."""
    permit, actor = admitted(sha256)
    blob = Blob(permit.sha256, permit.size)
    body = _body(blob.size)
    uploads.receive(context.hub(), actor, permit.repo_id, blob, body)
    response = jsonify(oid=blob.sha256, size=blob.size)
    response.headers["ETag"] = f'"{blob.sha256}"'
    return response


@blueprint.put("/api/modelcenter/uploads/<sha256>/parts/<int:number>")
def upload_part(sha256: str, number: int) -> Response:
    """Take a part; answered with its tag once it is durable."""
    permit, actor = admitted(sha256)
    size = _sizes(permit.size, _part_size(permit.size)).get(number)
    if size is None:
        raise Invalid(f"This upload has no part {number}.")
    body = _body(size)
    tag = arriving.take_part(
        context.hub(), actor, permit.repo_id, _upload(permit), _blob(permit), number, size, body
    )
    response = jsonify(size=size)
    response.headers["ETag"] = f'"{tag}"'
    return response


@blueprint.post("/api/modelcenter/uploads/<sha256>")
def finish(sha256: str) -> dict[str, Any]:
    """Put the parts together; answered once the whole was hashed and is durable."""
    permit, actor = admitted(sha256)
    blob, count = _blob(permit), len(_sizes(permit.size, _part_size(permit.size)))
    parts = read_parts(json_body())
    if missing := set(range(1, count + 1)) - {part.number for part in parts}:
        raise Invalid(
            f"The completion names {len(parts)} of {count} parts: number {min(missing)} is not there."
        )
    store = arriving.direct(context.hub())
    begun = request.args.get("upload")
    context.release()
    if uploads.has_sent(context.hub(), actor, permit.repo_id, blob):
        return {"oid": blob.sha256, "size": blob.size}  # the answer to the first completion was lost
    if begun is None:
        arriving.finish(context.hub(), actor, permit.repo_id, _upload(permit), blob, count, parts)
    elif store is not None:
        store.finish_parts(_name(permit), begun, parts)
        arriving.accept(context.hub(), actor, permit.repo_id, blob)
    return {"oid": blob.sha256, "size": blob.size}


def admitted(sha256: str) -> tuple[Permit, Actor]:
    """The permit of the request's address and whoever it was given to.

    What its token may do now counts, not what it might when it got the address.
    """
    hub, session = context.hub(), context.session()
    permit = Permit.read(sha256, request.args, hub.settings.secret_key)
    g.actor = actor = accounts.authenticate_fingerprint(session, permit.account, permit.token)
    return permit, actor


def read_parts(body: dict[str, Any]) -> list[Part]:
    """The parts that a completion names."""
    found = body.get("parts")
    if not isinstance(found, list) or len(found) > arriving.PARTS:
        raise Invalid(f"parts is no list of at most {arriving.PARTS} parts.")
    parts: list[Part] = []
    for item in found:
        number, etag = (item.get("partNumber"), item.get("etag")) if isinstance(item, dict) else (None, None)
        if not isinstance(number, int) or not isinstance(etag, str):
            raise Invalid(f"{item!r:.200} is no part; expected a partNumber and an etag.")
        parts.append(Part(number, etag.strip('"')))
    return parts


def _body(size: int) -> Any:
    """The request's body, which should have `size` bytes; the session is given back before it is read."""
    if request.content_length not in (None, size):
        raise BlobMismatch(f"{size} bytes", f"{request.content_length} bytes")
    # One byte more than announced, so that the store sees, and refuses, a body that is too long.
    request.max_content_length = size + 1
    context.release()
    return request.stream


def _sizes(size: int, part_size: int) -> dict[int, int]:
    """The size of each part, by its number."""
    count = math.ceil(size / part_size)
    return {number: min(part_size, size - (number - 1) * part_size) for number in range(1, count + 1)}


def _part_size(size: int) -> int:
    """What the address says of its parts; what they add up to is checked by the hash of the whole."""
    part = request.args.get("part", "")
    if not part.isdecimal() or len(part) > 18 or int(part) * arriving.PARTS < size or int(part) < 10**6:
        raise Invalid("This is no upload address of this hub.")
    return int(part)


def _blob(permit: Permit) -> Blob:
    return Blob(permit.sha256, permit.size)


def _upload(permit: Permit) -> str:
    """What the parts of one upload have in common: nobody else's have it."""
    return permit.signature(context.hub().settings.secret_key)


def _name(permit: Permit) -> str:
    return arriving.name_in_bucket(permit.repo_id, permit.account, permit.sha256)
