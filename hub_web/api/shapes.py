"""The registry's rows as the protocol spells them. Chooses names and formats, decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from modelcenter.checkpoint.header import FileHeader
from modelcenter.registry.repositories import Entry
from modelcenter.registry.tables import (
    AccessRequest,
    Account,
    Commit,
    Discussion,
    DiscussionEvent,
    Model,
    Repository,
)

NO_COMMIT = "0" * 40  # the sha of linked entries: clients take no null

# What a list gives of each model unless it is asked for more, in the protocol's names.
LISTED = (
    "modelId",
    "likes",
    "trendingScore",
    "downloads",
    "private",
    "tags",
    "pipeline_tag",
    "library_name",
    "createdAt",
)
SUMMARY = (
    "author",
    "sha",
    "lastModified",
    "createdAt",
    "private",
    "gated",
    "downloads",
    "likes",
    "tags",
)
FULL = (*LISTED, "author", "sha", "lastModified", "gated", "disabled", "siblings")
# What `expand` may ask for. Properties that this hub does not measure are answered with nothing.
EXPANDABLE = frozenset(
    (
        "author",
        "baseModels",
        "cardData",
        "childrenModelCount",
        "config",
        "createdAt",
        "disabled",
        "downloads",
        "downloadsAllTime",
        "evalResults",
        "gated",
        "gguf",
        "inference",
        "inferenceProviderMapping",
        "lastModified",
        "library_name",
        "likes",
        "mask_token",
        "model-index",
        "pipeline_tag",
        "private",
        "resourceGroup",
        "safetensors",
        "sha",
        "siblings",
        "spaces",
        "tags",
        "transformersInfo",
        "trendingScore",
        "usedStorage",
        "widgetData",
        "xetEnabled",
    )
)
FACTS = (
    "family",
    "model_type",
    "architecture",
    "parameters",
    "parameters_by_dtype",
    "size_bytes",
    "license",
    "pipeline_tag",
    "library",
    "context_length",
    "num_layers",
    "num_heads",
    "num_kv_heads",
    "head_dim",
    "hidden_size",
    "vocab_size",
    "verdict",
    "title_en",
    "title_zh",
    "description_en",
    "description_zh",
)


def moment(value: datetime) -> str:
    """A moment exactly as clients parse it."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03d}Z"


def model(repository: Repository, facts: Model | None, sha: str | None) -> dict[str, Any]:
    """All that is known of a model without looking into its tree."""
    found: dict[str, Any] = {
        "_id": f"{repository.id:024x}",
        "id": repository.repo_id,
        "modelId": repository.repo_id,
        "author": repository.namespace,
        "sha": sha or NO_COMMIT,
        "lastModified": moment(repository.updated_at),
        "createdAt": moment(repository.created_at),
        "private": repository.private,
        "gated": repository.gated or False,
        "disabled": False,
        "downloads": repository.downloads,
        "downloadsAllTime": repository.downloads,
        "likes": repository.likes,
        "trendingScore": 0,
        "tags": facts.tags if facts else [],
        "spaces": [],
    }
    if facts is None:
        return found
    if facts.pipeline_tag:
        found["pipeline_tag"] = facts.pipeline_tag
    if facts.library:
        found["library_name"] = facts.library
    if facts.card:
        found["cardData"] = facts.card
        parts = {"widgetData": facts.card.get("widget"), "model-index": facts.card.get("model-index")}
        found |= {name: part for name, part in parts.items() if part}
    if facts.config:
        found["config"] = facts.config
    if facts.parameters_by_dtype:
        found["safetensors"] = {
            "parameters": facts.parameters_by_dtype,
            "total": sum(facts.parameters_by_dtype.values()),
        }
    if facts.size_bytes is not None:
        found["usedStorage"] = facts.size_bytes
    return found


def only(found: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """`id` and these properties of a model, as far as it has them."""
    return {"_id": found["_id"], "id": found["id"], **{name: found[name] for name in names if name in found}}


def facts(repository: Repository, row: Model | None) -> dict[str, Any]:
    """What this hub knows of a model beyond the protocol: in a block of its own."""
    found: dict[str, Any] = {"status": repository.status}
    if repository.upstream:
        found["upstream"] = repository.upstream
    if row is None:
        return found
    return found | {name: getattr(row, name) for name in FACTS if getattr(row, name) not in (None, {})}


def sibling(entry: Entry, *, blobs: bool) -> dict[str, Any]:
    """A file of a model's list of files."""
    found: dict[str, Any] = {"rfilename": entry.path}
    if blobs:
        found |= {"size": entry.size, "blobId": entry.oid}
        if entry.is_lfs:
            found["lfs"] = {"sha256": entry.etag, "size": entry.size, "pointerSize": entry.pointer_size}
    return found


def entry(found: Entry) -> dict[str, Any]:
    """A file or folder of a tree."""
    shape: dict[str, Any] = {"type": found.kind, "oid": found.oid, "size": found.size, "path": found.path}
    if found.is_lfs:
        shape["lfs"] = {"oid": found.etag, "size": found.size, "pointerSize": found.pointer_size}
    if found.last_commit is not None:
        last = found.last_commit
        shape["lastCommit"] = {"id": last.oid, "title": last.title, "date": moment(last.created_at)}
    return shape


def commit(row: Commit, *, formatted: bool) -> dict[str, Any]:
    """A commit of a history."""
    shape: dict[str, Any] = {
        "id": row.oid,
        "title": row.title,
        "message": row.message,
        "authors": [{"user": row.author, "avatar": ""}],
        "date": moment(row.created_at),
    }
    if formatted:
        shape["formatted"] = {"title": row.title, "message": row.message}
    return shape


def safetensors_header(header: FileHeader) -> dict[str, Any]:
    """A header as the file has it."""
    data = min((tensor.start for tensor in header.tensors.values()), default=0)
    shape: dict[str, Any] = {"__metadata__": header.metadata} if header.metadata else {}
    for name, tensor in header.tensors.items():
        offsets = [tensor.start - data, tensor.stop - data]
        shape[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": offsets}
    return shape


def person(account: Account) -> dict[str, Any]:
    """Somebody. Nobody has a picture here."""
    return {
        "type": "user",
        "user": account.name,
        "fullname": account.fullname or account.name,
        "avatarUrl": "",
    }


def organization(account: Account) -> dict[str, Any]:
    """An organisation by its names."""
    return {"name": account.name, "fullname": account.fullname or account.name, "avatarUrl": ""}


def access_request(request: AccessRequest) -> dict[str, Any]:
    """Somebody's wish to read a gated model's files."""
    return {
        "requestId": f"{request.account_id:024x}",
        "user": person(request.account),
        "status": request.status,
        "timestamp": moment(request.created_at),
        **({"fields": request.fields} if request.fields else {}),
        **({"rejectionReason": request.reason} if request.reason else {}),
    }


def author(name: str) -> dict[str, Any]:
    """Who said or did something, by the name of then."""
    return {"type": "user", "name": name, "fullname": name, "avatarUrl": ""}


def discussion(repository: Repository, row: Discussion) -> dict[str, Any]:
    """A discussion without what was said in it."""
    return {
        "num": row.num,
        "title": row.title,
        "status": row.status,
        "isPullRequest": row.is_pull_request,
        "author": author(row.author),
        "createdAt": moment(row.created_at),
        "repo": {"name": repository.repo_id, "type": "model"},
    }


def discussion_event(event: DiscussionEvent, html: str) -> dict[str, Any]:
    """Something said or done in a discussion; html: of a comment."""
    shape = {
        "id": f"{event.id:024x}",
        "type": event.kind,
        "author": author(event.author),
        "createdAt": moment(event.created_at),
    }
    data = event.data
    match event.kind:
        case "comment":
            edits = [
                {"at": moment(datetime.fromisoformat(edit["at"])), "raw": edit["content"]}
                for edit in data["edits"]
            ]
            edited_at = data.get("edited_at")
            latest = {
                "raw": data["content"],
                "html": html,
                "updatedAt": moment(datetime.fromisoformat(edited_at) if edited_at else event.created_at),
                "author": author(event.author),
            }
            shape["data"] = {
                "edited": bool(edits),
                "hidden": data["hidden"],
                "latest": latest,
                "numEdits": len(edits),
                "history": edits,
            }
        case "commit":
            shape["data"] = {"oid": data["oid"], "subject": data["title"]}
        case _:
            shape["data"] = data
    return shape
