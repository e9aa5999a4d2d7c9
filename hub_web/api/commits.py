"""Uploads: how each file should travel, and the commit that names them all."""

from __future__ import annotations

import base64
import binascii
import io
from typing import Any, cast

from flask import Blueprint, Response, jsonify, request

from hub_web import context
from hub_web.api.body import flag, json_body
from hub_web.api.errors import api_blueprint
from hub_web.api.lfs import writable
from hub_web.api.ndjson import BODY_BYTES, read_commit
from modelcenter.errors import Invalid
from modelcenter.registry import repositories, uploads
from modelcenter.registry.uploads import Announced

FILES = 10_000  # in one preupload; clients send 256
BUFFER_BYTES = 1 << 20

blueprint: Blueprint = api_blueprint("commits")


@blueprint.post("/api/models/<owner>/<name>/preupload/<revision:revision>")
def preupload(owner: str, name: str, revision: str) -> Response:
    """For each file: regular or large, ignored or not, and what lies at its path now."""
    body = json_body()
    gitignore = body.get("gitIgnore")
    if gitignore is not None and not isinstance(gitignore, str):
        raise Invalid("gitIgnore is no text.")
    announced = [read_announced(item) for item in read_list(body.get("files"))]
    repository = writable(owner, name, None if flag("create_pr") else revision)
    session = context.session()
    # A linked entry becomes hosted with the commit; until then it has no files.
    head = (
        None if repository.is_linked else repositories.resolve(session, repository, revision, as_it_is=True)
    )
    plans = uploads.plan(context.hub(), session, repository, head, announced, gitignore)
    files = []
    for plan in plans:
        file = {"path": plan.path, "uploadMode": plan.mode, "shouldIgnore": plan.ignored}
        if plan.present is not None:
            file["oid"] = plan.present
        files.append(file)
    return jsonify(files=files, commitOid=head.oid if head else None)


def read_list(files: object) -> list[Any]:
    """The files of a preupload."""
    if not isinstance(files, list) or len(files) > FILES:
        raise Invalid(f"files is no list of at most {FILES} files.")
    return files


def read_announced(item: Any) -> Announced:
    """A file of a preupload."""
    found = item if isinstance(item, dict) else {}
    path, size, sample = found.get("path"), found.get("size"), found.get("sample", "")
    if not isinstance(path, str) or not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise Invalid(f"{item!r:.200} is no file; expected a path, a size and a sample.")
    try:
        decoded = base64.b64decode(sample if isinstance(sample, str) else "")
    except (binascii.Error, ValueError) as error:
        raise Invalid(f"The sample of {path!r:.200} is no base64.") from error
    return Announced(path, size, decoded)


@blueprint.post("/api/models/<owner>/<name>/commit/<revision:revision>")
def commit(owner: str, name: str, revision: str) -> dict[str, Any]:
    """Apply the operations of the body in one commit, of a pull request where the caller wants one."""
    hub, actor, proposes = context.hub(), context.actor(), flag("create_pr")
    # Who may not write is told so before 100 MB are read.
    repo_id = writable(owner, name, None if proposes else revision).repo_id
    context.release()
    request.max_content_length = BODY_BYTES
    # Buffered: lines read from the bare stream would be asked for byte by byte.
    body = io.BufferedReader(cast("io.RawIOBase", request.stream), BUFFER_BYTES)
    asked = read_commit(body, keep=lambda content: hub.blobs.put([content]))
    result = repositories.commit(
        hub,
        actor,
        repo_id,
        revision,
        asked.operations,
        title=asked.title,
        message=asked.message,
        expected_head=asked.parent,
        proposes=proposes,
    )
    place = f"{context.address()}/{result.repo_id}"
    answer = {
        "success": True,
        "commitOid": result.oid,
        "commitUrl": f"{place}/commit/{result.oid}",
        "hookOutput": "",
    }
    if result.request is not None:
        answer["pullRequestUrl"] = f"{place}/discussions/{result.request}"
    return answer
