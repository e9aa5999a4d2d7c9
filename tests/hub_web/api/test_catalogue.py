"""The list of models, linked entries, verdicts and search, as clients and scripts see them."""

from __future__ import annotations

import json

import pytest
from huggingface_hub import CommitOperationAdd, HfApi, ModelCard, RepoCard
from huggingface_hub.errors import EntryNotFoundError

from modelcenter.registry import repositories
from modelcenter.registry.seed import seed
from tests.support.server import running_server, wait_for

CARD = """---
language: [zh, en]
license: apache-2.0
pipeline_tag: text-generation
library_name: transformers
tags: [chat, 对话]
base_model: upstream/base
datasets: [some/data]
---
# 小模型 Small model

一个中文对话模型。
"""
LINKED = """---
language: zh
license: mit
pipeline_tag: fill-mask
tags: [bert]
modelcenter:
  upstream: upstream-org/bert-chinese
  parameters: 102267648
  context_length: 512
---
# 中文 BERT
"""
MEASURED = """---
license: mit
co2_eq_emissions: {emissions: 12.5}
widget:
- text: 你好
model-index:
- name: small
  results:
  - task: {type: text-generation}
    dataset: {type: some/data, name: Some}
    metrics: [{type: accuracy, value: 0.9}]
---
# Small
""".encode()
HOSTILE = [
    "tags: 5",
    "tags: [[1], {a: b}, null]",
    "language: {a: b}",
    "license: [mit, 7]",
    "model-index: nonsense",
    "model-index: [{name: x, results: [{task: 5, dataset: 6, metrics: 7}]}]",
    "self: 1\nignore_metadata_errors: 2",
    "eval_results: 5\nmodel_name: []",
    "a: &a [x,x,x,x,x,x,x,x]\n"
    + "".join(
        f"{c}: &{c} [{','.join(['*' + p] * 8)}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True)
    ),
    "? [complex]\n: key",
    "{unclosed",
    "date: 2020-01-01\nbinary: !!binary aGk=\npython: !!python/object/apply:os.system [ls]",
    "tags: [" + ", ".join(f"tag{number}" for number in range(5000)) + "]",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A hub whose list holds what this module puts into it."""
    with running_server(tmp_path_factory.mktemp("catalogue")) as running:
        api = HfApi(endpoint=running.url, token=running.token)
        for number in range(5):
            api.create_repo(f"alice/plain-{number}")
        api.create_repo("alice/chat")
        api.upload_file(path_or_fileobj=CARD.encode(), path_in_repo="README.md", repo_id="alice/chat")
        config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
        api.upload_file(
            path_or_fileobj=json.dumps(config).encode(), path_in_repo="config.json", repo_id="alice/chat"
        )
        cards = tmp_path_factory.mktemp("cards")
        (cards / "upstream-org" / "bert-chinese").mkdir(parents=True)
        (cards / "upstream-org" / "bert-chinese" / "README.md").write_text(LINKED)
        with running.hub() as hub:
            seed(hub, cards)
        wait_for(lambda: verdict(running, "alice/chat")["status"] != "pending")
        yield running


@pytest.fixture
def measured(server, api):
    """A model in GGUF with all that a card tells by numbers."""
    repo = "alice/measured"
    api.create_repo(repo)
    files = {"README.md": MEASURED, "model.gguf": b"GGUF" + bytes(60)}
    api.create_commit(repo, [CommitOperationAdd(*file) for file in files.items()], commit_message="Add")
    wait_for(lambda: verdict(server, repo)["status"] != "pending")
    yield repo
    api.delete_repo(repo)


def verdict(server, repo: str) -> dict:
    return server.get(f"/api/modelcenter/{repo}/verdict/main").json()


def ids(models) -> set[str]:
    return {model.id for model in models}


def test_the_list_filters_and_sorts(api):
    everything = ids(api.list_models())
    assert {"alice/chat", "alice/plain-0", "upstream-org/bert-chinese"} <= everything
    assert ids(api.list_models(author="upstream-org")) == {"upstream-org/bert-chinese"}
    assert ids(api.list_models(filter=["license:apache-2.0", "zh"])) == {"alice/chat"}
    assert ids(api.list_models(filter="对话")) == {"alice/chat"}
    assert ids(api.list_models(pipeline_tag="fill-mask")) == {"upstream-org/bert-chinese"}
    assert ids(api.list_models(search="plain")) == {f"alice/plain-{number}" for number in range(5)}
    assert ids(api.list_models(search="对话")) == {"alice/chat"}
    assert ids(api.list_models(search="Lain-3")) == {"alice/plain-3"}
    assert ids(api.list_models(num_parameters="min:100M,max:200M")) == {"upstream-org/bert-chinese"}
    assert ids(api.list_models(gated=True)) == set()
    by_age = [model.id for model in api.list_models(sort="created_at", author="alice")]
    assert by_age == ["alice/chat", *(f"alice/plain-{number}" for number in range(4, -1, -1))]


def test_models_are_found_by_the_application_that_runs_them(api, measured):
    assert ids(api.list_models(apps="ollama")) == {measured}
    assert ids(api.list_models(apps=["ollama", "llama.cpp"])) == {measured}
    assert ids(api.list_models(apps="vllm")) == {"alice/chat"}
    assert ids(api.list_models(apps=["vllm", "ollama"])) == set()
    assert ids(api.list_models(apps="an app of tomorrow")) == set()


def test_emissions_examples_and_results_come_from_the_card(api, measured):
    assert ids(api.list_models(filter="co2_eq_emissions")) == {measured}
    assert ids(api.list_models(emissions_thresholds=(5, 20), cardData=True)) == {measured}
    info = api.model_info(measured)
    assert info.widget_data == [{"text": "你好"}]
    assert info.model_index[0]["name"] == "small"
    assert info.card_data.eval_results[0].metric_value == 0.9
    (listed,) = api.list_models(filter="co2_eq_emissions", expand=["widgetData"])
    assert listed.widget_data == [{"text": "你好"}]
    assert api.model_info("alice/chat").widget_data is None


def test_the_list_comes_in_pages_at_the_clients_address(server, api):
    pages = list(server.pages("/api/models?limit=2&sort=createdAt&author=alice"))
    assert {len(page) for page in pages[:-1]} == {2}
    seen = [model["id"] for page in pages for model in page]
    assert sorted(seen) == sorted(ids(api.list_models(author="alice")))
    assert len(list(api.list_models(author="alice", limit=3))) == 3


def test_a_list_gives_what_is_asked_for(api, server):
    (plain,) = api.list_models(search="chat", author="alice")
    assert plain.card_data is None
    assert {"text-generation", "license:apache-2.0", "chat", "zh", "base_model:upstream/base"} <= set(
        plain.tags
    )
    (full,) = api.list_models(search="chat", author="alice", full=True, cardData=True, fetch_config=True)
    assert {sibling.rfilename for sibling in full.siblings} == {".gitattributes", "README.md", "config.json"}
    assert full.sha == api.model_info("alice/chat").sha
    assert full.card_data.license == "apache-2.0"
    assert full.config["model_type"] == "llama"
    (few,) = api.list_models(search="chat", author="alice", expand=["downloads"])
    assert (few.downloads, few.tags) == (0, None)
    for query in ("expand=nonsense", "sort=nonsense", "limit=-1", "cursor=nonsense", "gated=perhaps"):
        assert server.get(f"/api/models?{query}").status_code == 400, query


def test_a_card_is_known_at_once(api, tmp_path):
    api.create_repo("alice/fresh", exist_ok=True)
    api.upload_file(path_or_fileobj=CARD.encode(), path_in_repo="README.md", repo_id="alice/fresh")
    info = api.model_info("alice/fresh")
    assert (info.pipeline_tag, info.library_name) == ("text-generation", "transformers")
    assert info.card_data.tags == ["chat", "对话"]
    card = ModelCard.load(api.hf_hub_download("alice/fresh", "README.md", cache_dir=tmp_path))
    assert card.data.license == "apache-2.0"
    api.delete_repo("alice/fresh")


@pytest.mark.parametrize("metadata", HOSTILE)
def test_a_hostile_card_breaks_nobodys_reading(api, server, metadata):
    api.create_repo("alice/hostile", exist_ok=True)
    content = f"---\n{metadata}\n---\n# Hello\n"
    lines = [
        {"key": "header", "value": {"summary": "Hostile"}},
        {"key": "file", "value": {"path": "README.md", "encoding": "utf-8", "content": content}},
    ]
    # As a client that does not ask first whether the card is right.
    answer = server.request(
        "POST",
        "/api/models/alice/hostile/commit/main",
        server.token,
        content="\n".join(map(json.dumps, lines)).encode(),
    )
    assert answer.status_code == 200
    at_once = api.model_info("alice/hostile")
    assert isinstance(at_once.tags, list)
    sha = answer.json()["commitOid"]
    wait_for(
        lambda: server.get(f"/api/modelcenter/alice/hostile/verdict/{sha}").json()["status"] != "pending"
    )
    assert "alice/hostile" in ids(api.list_models(cardData=True, full=True))
    api.model_info("alice/hostile")
    api.delete_repo("alice/hostile")


def test_a_card_is_checked_before_it_is_sent(server, api):
    good = server.request("POST", "/api/validate-yaml", json={"content": CARD, "repoType": "model"})
    assert (good.status_code, good.json()) == (200, {"errors": [], "warnings": []})
    bad = server.request(
        "POST", "/api/validate-yaml", json={"content": "---\na: [b\n---\n", "repoType": "model"}
    )
    assert bad.status_code == 400
    assert bad.json()["errors"][0]["message"]
    for body in (b"", b"nonsense", b"[]", b'{"content": 5}'):
        answer = server.request("POST", "/api/validate-yaml", content=body)
        assert answer.status_code == 400
        assert answer.json()["errors"] or answer.json()["error"]
    with pytest.raises(ValueError, match=r"Invalid metadata in README\.md"):
        api.upload_file(
            path_or_fileobj=b"---\na: [b\n---\n", path_in_repo="README.md", repo_id="alice/plain-0"
        )


def test_a_card_validates_itself_in_plain_words(server, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.url)
    card = RepoCard("---\nlicense: mit\n---\n# A model\n")
    card.validate()
    card.content = "---\nlicense: asdf\n---\n# A model\n"
    with pytest.raises(ValueError, match=r"^- Error: .license. must be one of .*'asdf'"):
        card.validate()


def test_a_linked_entry_is_listed_with_a_tag_and_names_its_upstream(api, server, tmp_path):
    (entry,) = api.list_models(filter="linked")
    assert entry.id == "upstream-org/bert-chinese"
    info = api.model_info("upstream-org/bert-chinese", files_metadata=True)
    assert len(info.sha) == 40
    assert info.siblings == []
    assert info.card_data.license == "mit"
    for path in (
        "/upstream-org/bert-chinese/resolve/main/config.json",
        "/api/models/upstream-org/bert-chinese/tree/main",
    ):
        answer = server.get(path)
        assert answer.status_code == 404
        assert "https://huggingface.co/upstream-org/bert-chinese" in answer.json()["error"]
    with pytest.raises(EntryNotFoundError, match=r"huggingface\.co/upstream-org/bert-chinese"):
        api.hf_hub_download("upstream-org/bert-chinese", "config.json", cache_dir=tmp_path)


def test_a_linked_entry_becomes_hosted_by_a_site_admins_upload(server):
    root = HfApi(endpoint=server.url, token=server.admin_token)
    with server.hub() as hub, hub.database.transaction() as session:
        repositories.link(session, "second-org/model", "second-org/model")
    root.create_repo("second-org/model", exist_ok=True)
    root.upload_file(path_or_fileobj=b"{}", path_in_repo="config.json", repo_id="second-org/model")
    assert set(root.list_repo_files("second-org/model")) == {".gitattributes", "config.json"}
    assert root.model_info("second-org/model").author == "second-org"


def test_a_verdict_is_told_with_its_report(server, api):
    found = verdict(server, "alice/chat")
    assert found["status"] == "no_checkpoint"
    assert found["commit"] == api.model_info("alice/chat").sha
    assert found["repository"] == "alice/chat"
    assert server.get("/api/modelcenter/alice/none/verdict/main", server.token).status_code == 404
    missing = server.get("/api/modelcenter/alice/chat/verdict/none")
    assert (missing.status_code, missing.headers["X-Error-Code"]) == (404, "RevisionNotFound")


def test_search_gives_rows_total_and_facets(server):
    found = server.get("/api/modelcenter/search", params={"q": "对话", "language": "zh"}).json()
    assert found["total"] == 1
    (row,) = found["rows"]
    assert (row["id"], row["pipeline_tag"], row["status"]) == ("alice/chat", "text-generation", "hosted")
    assert {"value": "text-generation", "count": 1} in found["facets"]["task"]
    everything = server.get("/api/modelcenter/search").json()
    assert everything["total"] >= 7
    assert {value["value"]: value["count"] for value in everything["facets"]["language"]}["zh"] == 2
    assert server.get("/api/modelcenter/search?page=x").status_code == 400


def test_tags_in_use_are_listed_by_kind(server):
    tags = server.get("/api/models-tags-by-type").json()
    assert {"id": "license:mit", "label": "mit", "type": "license"} in tags["license"]
    assert "zh" in {tag["id"] for tag in tags["language"]}


def test_clients_are_told_that_there_are_no_agent_harnesses(server):
    assert server.get("/api/agent-harnesses").json() == {"standardEnvVars": [], "harnesses": {}}


def test_what_the_hub_does_not_speak_is_a_json_error(server):
    for path in ("/api/nothing", "/api/datasets/a/b", "/api/models/alice/chat/nothing"):
        answer = server.get(path)
        assert answer.status_code == 404
        assert answer.json()["error"]
    assert "X-Error-Code" not in server.get("/api/models/alice/chat/nothing").headers
