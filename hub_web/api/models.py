"""Models: the list, and one in full."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from flask import Blueprint, Response, request

from hub_web import context
from hub_web.api import paging, shapes
from hub_web.api.body import flag, number, one_of, values
from hub_web.api.errors import api_blueprint
from hub_web.api.files import readable, resolved
from modelcenter.checkpoint.index import read_index
from modelcenter.checkpoint.safetensors import read_file_header
from modelcenter.errors import Invalid
from modelcenter.registry import describing, pulling, repositories, search
from modelcenter.registry.repositories import Entry
from modelcenter.registry.tables import Model, Repository, Verification
from modelcenter.verification import Verdict

PAGE = 100  # models, unless more are asked for
MOST = 1000
MOST_WITH_FILES = 100  # whose trees are walked
SORTS = {
    "lastModified": "updated",
    "createdAt": "created",
    "downloads": "downloads",
    "likes": "likes",
    "trendingScore": "trending",
}
# The tags that a model has which an application runs. Source: huggingface.js, packages/tasks, local-apps.ts.
_GGUF = (
    "llama.cpp",
    "node-llama-cpp",
    "ollama",
    "lmstudio",
    "jan",
    "docker-model-runner",
    "lemonade",
    "jellybox",
)
_SERVERS = "vllm", "sglang", "tgi"
APPS = dict.fromkeys(_GGUF, ("gguf",)) | dict.fromkeys(_SERVERS, ("transformers", "text-generation"))
UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
MOST_PARAMETERS = 10**18  # more than databases' numbers hold is as much as this
BOUND = re.compile(r"(min|max):(\d+(?:\.\d+)?)([KMBT]?)", re.IGNORECASE)

blueprint: Blueprint = api_blueprint("models")


@blueprint.get("/api/models")
def listed() -> Response:
    """The models that the caller may see and that fit, a page at a time."""
    names = wanted_properties()
    most = MOST_WITH_FILES if "siblings" in names else MOST
    limit = number("limit", PAGE, 10**9, least=0)
    if limit == 0:
        return paging.page([], None)
    query = asked(min(limit, most))
    # No model here is served by others, so none fits a filter by who serves it; nor by an app not known.
    served = any(request.args.get(name) for name in ("inference", "inference_provider"))
    if served or not APPS.keys() >= set(values("apps")):
        return paging.page([], None)
    session = context.session()
    page = search.find(session, query, context.actor())
    heads = describing.heads(session, [row.repository for row in page.rows])
    items = []
    for row in page.rows:
        found = shapes.model(row.repository, row.model, heads.get(row.repository.id))
        if "siblings" in names:
            found["siblings"] = [
                shapes.sibling(entry, blobs=False) for entry in files_of(row.repository, heads)
            ]
        items.append(shapes.only(found, names))
    more = query.page * query.per_page < page.total
    response = paging.page(items, query.page + 1 if more else None)
    response.headers["X-Total-Count"] = str(page.total)
    return response


def files_of(repository: Repository, heads: dict[int, str]) -> list[Entry]:
    """The files of a repository's head; a linked entry has none."""
    if repository.id not in heads:
        return []
    session = context.session()
    commit = repositories.resolve(session, repository, heads[repository.id])
    return [
        entry
        for entry in repositories.tree(session, repository, commit, recursive=True)
        if entry.kind == "file"
    ]


def asked(per_page: int) -> search.Query:
    """The question of a query string."""
    page = paging.cursor() or 1
    if not isinstance(page, int) or page < 1:
        raise Invalid("The cursor is none of this hub's. Start from the first page.")
    sort = request.args.get("sort", "")
    bounds = parameter_bounds(request.args.get("num_parameters", ""))
    return search.Query(
        text=request.args.get("search", ""),
        in_id=True,
        task=tuple(values("pipeline_tag")),
        organization=tuple(values("author")),
        tags=(*values("filter"), *(tag for app in values("apps") for tag in APPS.get(app, ()))),
        gated=flag("gated") if "gated" in request.args else None,
        min_parameters=bounds.get("min"),
        max_parameters=bounds.get("max"),
        sort=SORTS[one_of("sort", sort, list(SORTS))] if sort else "",
        page=page,
        per_page=per_page,
        counts=False,
    )


def parameter_bounds(text: str) -> dict[str, int]:
    """`min:6B,max:128B` as numbers."""
    found: dict[str, int] = {}
    for part in filter(None, text.split(",")):
        match = BOUND.fullmatch(part.strip())
        if match is None:
            raise Invalid(f"num_parameters is {text!r:.100}; expected such as min:6B,max:128B.")
        found[match[1].lower()] = int(min(float(match[2]) * UNITS[match[3].upper()], MOST_PARAMETERS))
    return found


def wanted_properties() -> list[str]:
    """The properties that a list gives of each model. Raises Invalid for those there are not."""
    expand = values("expand")
    if expand:
        return checked(expand)
    names = list(shapes.FULL if flag("full") else shapes.LISTED)
    names += ["cardData"] if flag("cardData") else []
    return names + (["config"] if flag("config") else [])


def checked(expand: Iterable[str]) -> list[str]:
    """`expand`, if all of it are properties of models."""
    names = list(dict.fromkeys(expand))
    unknown = [name for name in names if name not in shapes.EXPANDABLE]
    if unknown:
        known = "|".join(f'"{name}"' for name in sorted(shapes.EXPANDABLE))
        raise Invalid(f"expand asks for {', '.join(unknown)[:100]}; expected one of {known}.")
    return names


@blueprint.get("/api/models/<owner>/<name>")
@blueprint.get("/api/models/<owner>/<name>/revision/<revision:revision>")
def info(owner: str, name: str, revision: str | None = None) -> dict[str, Any]:
    """One model at a revision: facts, card, files."""
    expand = checked(values("expand"))
    session, hub = context.session(), context.hub()
    pulling.look(hub, f"{owner}/{name}", revision)
    repository = repositories.get(session, context.actor(), f"{owner}/{name}")
    facts = session.get(Model, repository.id)
    sha, files = None, list[Entry]()
    if not repository.is_linked:
        commit = resolved(repository, revision or repository.default_branch)
        sha = commit.oid
        tree = repositories.tree(session, repository, commit, recursive=True)
        files = [entry for entry in tree if entry.kind == "file"]
        judged = session.get(Verification, (repository.id, sha))
        verdict = Verdict.from_json(judged.report) if judged else None
        facts = describing.current_facts(hub, repository, facts, commit, files, verdict)
    found = shapes.model(repository, facts, sha)
    found["siblings"] = [shapes.sibling(entry, blobs=flag("blobs")) for entry in files]
    found["usedStorage"] = sum(entry.size for entry in files)
    if expand:
        return shapes.only(found, expand)
    if flag("securityStatus"):
        found["securityRepoStatus"] = {"scansDone": False, "filesWithIssues": []}
    found["modelcenter"] = shapes.facts(repository, facts)
    if sha is not None:
        found["modelcenter"].setdefault("verdict", "pending")
    return found


@blueprint.get("/api/models/<owner>/<name>/safetensors-metadata/<path:path>")
def safetensors_metadata(owner: str, name: str, path: str) -> dict[str, Any]:
    """The headers of all shards that an index names, in one answer."""
    repository = readable(owner, name)
    commit = repositories.resolve(context.session(), repository, repository.default_branch)
    context.release()
    files = pulling.PulledFiles(context.hub(), repository, commit)
    weight_map, _ = read_index(files, path)
    metadata = json.loads(files.read(path)).get("metadata")
    folder = path.rpartition("/")[0]
    headers = {}
    for shard in sorted(set(weight_map.values())):
        headers[shard] = shapes.safetensors_header(
            read_file_header(files, f"{folder}/{shard}" if folder else shard)
        )
    return {"index": {"metadata": metadata}, "headers": headers}
