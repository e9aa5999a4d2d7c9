"""What a commit makes known: the verdict on it, and of the head of main the facts, facets and words."""
# ruff: noqa: E501  hostile files stand as they are written

from __future__ import annotations

import json
import struct

import pytest
from sqlalchemy import select

from modelcenter.registry import repositories, verify
from modelcenter.registry.access import ANONYMOUS
from modelcenter.registry.facts import read_json
from modelcenter.registry.handlers import HANDLERS, describe_commit
from modelcenter.registry.jobs import Worker
from modelcenter.registry.search import Query, find
from modelcenter.registry.tables import Facet, Job, Model, Repository, Verification
from tests.support.files import MemoryFiles
from tests.support.registry import commit, person, verdict_of

CARD = (
    "---\nlanguage: [zh-CN, en]\nlicense: mit\ntags: [legal, demo]\ndatasets: [wikipedia]\n"
    "base_model: google-bert/bert-base-chinese\n---\n# 法律小模型\n\n用于裁判文书的检索。\n"
).encode()


@pytest.fixture
def alice(hub):
    person_ = person(hub, "alice")
    repositories.create(hub, person_, "alice/law")
    return person_


@pytest.fixture
def folder(tiny_bert):
    return {path.name: path.read_bytes() for path in tiny_bert.iterdir()} | {"README.md": CARD}


def work(hub) -> None:
    Worker(hub, HANDLERS).run_all()
    with hub.database.session() as session:
        assert session.scalars(select(Job.error).where(Job.error.is_not(None))).all() == []


def model_of(hub, repo_id="alice/law") -> Model:
    with hub.database.session() as session:
        return session.get_one(Model, found(session, repo_id).id)


def found(session, repo_id="alice/law") -> Repository:
    repository = repositories.find(session, repo_id)
    assert repository is not None
    return repository


def facets_of(hub, facet: str) -> set[str]:
    with hub.database.session() as session:
        return set(session.scalars(select(Facet.value).where(Facet.facet == facet)))


def safetensors(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def test_a_commit_makes_its_model_known(hub, alice, folder):
    large = {"model.safetensors": folder.pop("model.safetensors")}
    done = commit(hub, alice, "alice/law", folder, large=large)
    work(hub)
    model = model_of(hub)
    assert model.commit_oid == done.oid
    assert (model.verdict, model.family, model.model_type, model.architecture) == (
        "complete", "bert", "bert", "BertModel",
    )  # fmt: skip
    assert (model.hidden_size, model.num_layers, model.num_heads, model.head_dim) == (16, 2, 4, 4)
    assert (model.vocab_size, model.context_length) == (40, 512)
    assert set(model.parameters_by_dtype) == {"F32"}
    assert model.parameters == model.parameters_by_dtype["F32"] > 0
    assert (model.size_bytes or 0) > len(large["model.safetensors"])
    assert (model.license, model.library, model.pipeline_tag) == ("mit", "transformers", "feature-extraction")
    assert (model.title_zh, model.description_zh) == ("法律小模型", "用于裁判文书的检索。")
    assert model.tags == [
        "transformers", "safetensors", "bert", "feature-extraction", "legal", "demo", "zh-CN", "en",
        "base_model:google-bert/bert-base-chinese", "dataset:wikipedia", "license:mit",
    ]  # fmt: skip
    assert facets_of(hub, "language") == {"zh", "en"}
    assert facets_of(hub, "base_model") == {"google-bert/bert-base-chinese"}
    with hub.database.session() as session:
        verdict = verdict_of(session, model.repository_id, done.oid)
        assert verdict is not None
        assert verdict.is_complete
        for text in ("裁判文书", "法律", "检索", "zh", "legal", "bert 中文", "alice"):
            assert find(session, Query(text=text), ANONYMOUS).total == 1, text
        assert dict(find(session, Query(), ANONYMOUS).facets["loads"]) == {"yes": 1}


def test_every_commit_has_its_verdict_and_main_its_facts(hub, alice, folder):
    first = commit(hub, alice, "alice/law", folder)
    with hub.database.transaction() as session:
        repositories.create_branch(session, alice, "alice/law", "trial")
    trial = commit(hub, alice, "alice/law", {"config.json": b"{}"}, revision="trial")
    broken = commit(hub, alice, "alice/law", {"config.json": b"not json"})
    work(hub)
    with hub.database.session() as session:
        repository = found(session)
        status = {
            row.commit_oid: row.status
            for row in session.scalars(
                select(Verification).where(Verification.repository_id == repository.id)
            )
        }
    assert status[first.oid] == "complete"
    assert status[trial.oid] == "unknown_architecture"
    assert status[broken.oid] == "invalid_configuration"
    model = model_of(hub)
    assert (model.commit_oid, model.verdict) == (broken.oid, "invalid_configuration")


def test_a_job_that_comes_late_or_twice_changes_nothing(hub, alice, folder):
    first = commit(hub, alice, "alice/law", folder)
    second = commit(hub, alice, "alice/law", {"README.md": b"# Second title\n"})
    work(hub)
    repository_id = model_of(hub).repository_id
    for oid in (first.oid, second.oid, second.oid):
        describe_commit(hub, {"repository_id": repository_id, "commit": oid})
    model = model_of(hub)
    assert (model.commit_oid, model.title_en) == (second.oid, "Second title")
    describe_commit(hub, {"repository_id": repository_id, "commit": "0" * 40})
    with hub.database.transaction() as session:
        repositories.delete(session, alice, "alice/law")
    describe_commit(hub, {"repository_id": repository_id, "commit": second.oid})


def test_metadata_that_goes_is_forgotten(hub, alice, folder):
    commit(hub, alice, "alice/law", folder)
    work(hub)
    commit(hub, alice, "alice/law", {"README.md": b"# Plain\n"})
    work(hub)
    assert facets_of(hub, "language") == set()
    assert model_of(hub).license is None
    with hub.database.session() as session:
        assert find(session, Query(text="裁判文书"), ANONYMOUS).total == 0


CONFIG = {"model_type": "bert", "architectures": ["BertModel"]}
HOSTILE: dict[str, dict[str, bytes]] = {
    "nothing": {},
    "empty files": {"README.md": b"", "config.json": b"", "model.safetensors": b""},
    "random bytes": {name: bytes(range(256)) * 40 for name in ("README.md", "config.json", "model.safetensors")},
    "config of a wrong type": {"config.json": b"[1, 2]"},
    "config too deep": {"config.json": b"[" * 100_000},
    "config with odd values": {
        "config.json": json.dumps(
            {"model_type": ["bert"], "architectures": {"a": 1}, "hidden_size": -5, "num_hidden_layers": 1e308,
             "vocab_size": "many", "max_position_embeddings": 10**30, "num_attention_heads": 0}
        ).encode(),
    },
    "config with numbers no column holds": {
        "config.json": json.dumps(
            {**CONFIG, "hidden_size": 2**40, "num_hidden_layers": 2**33, "vocab_size": 10**18,
             "num_attention_heads": 3, "max_position_embeddings": 2**62, "intermediate_size": 1}
        ).encode(),
        "model.safetensors": safetensors({}),
    },
    "config that is not finite": {"config.json": b'{"model_type": "bert", "hidden_size": NaN, "vocab_size": Infinity}'},
    "config with texts no database takes": {
        "config.json": b'{"model_type": "be\\u0000rt", "architectures": ["\\ud800"], "quantization_config": {"\\u0000": "\\udfff"}}'
    },
    "header with names no database takes": {
        "config.json": json.dumps(CONFIG).encode(),
        "model.safetensors": safetensors(
            b'{"\\u0000": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},'
            b' "\\ud800": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}', b"\0" * 8
        ),
    },
    "header with long names": {
        "config.json": json.dumps({**CONFIG, "hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1,
                                   "vocab_size": 8, "intermediate_size": 8, "max_position_embeddings": 8}).encode(),
        "model.safetensors": safetensors(
            {"n" * 100_000 + str(i): {"dtype": "F32", "shape": [1], "data_offsets": [4 * i, 4 * i + 4]} for i in range(9)},
            b"\0" * 36,
        ),
    },
    "header longer than its file": {"model.safetensors": struct.pack("<Q", 2**62) + b"{}"},
    "header of another shape": {"model.safetensors": safetensors([1, 2, 3])},
    "tensors that overlap": {
        "model.safetensors": safetensors(
            {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}},
            b"\0" * 12,
        )
    },
    "a dtype nobody knows": {
        "config.json": json.dumps(CONFIG).encode(),
        "model.safetensors": safetensors({"a": {"dtype": "Q" * 5000, "shape": [1], "data_offsets": [0, 1]}}, b"\0"),
    },
    "an index that names what is not there": {"model.safetensors.index.json": b'{"weight_map": {"a": "../../etc/passwd"}}'},
    "an index of a wrong type": {"model.safetensors.index.json": b'{"weight_map": [1]}'},
    "a pickle that runs code": {"pytorch_model.bin": b"cos\nsystem\n(S'echo'\ntR."},
    "a card that is a bomb": {"README.md": b"---\na: &a [x,x,x,x,x,x,x,x]\n" + b"".join(
        b"%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n" % (c + 1, c + 1, *[c] * 8) for c in range(97, 110)
    ) + b"---\n# Boom"},
    "a card of wrong types": {"README.md": b"---\ntags: 5\nlanguage: {a: b}\nlicense: [[x]]\npipeline_tag: [1]\nmodelcenter: 7\n---\n"},
    "a card with texts no database takes": {"README.md": b'---\ntags: ["\\0", "\\ud800"]\nlicense: "\\0"\n---\n# \0\xff\xfe\n\n\0 text that is long enough\n'},
    "very many words": {"README.md": " ".join(f"w{i}x" for i in range(60_000)).encode()},
    "one very long word": {"README.md": b"# " + b"x" * 300_000},
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_whatever_a_repository_holds_is_judged(hub, alice, case):
    commit(hub, alice, "alice/law", {**HOSTILE[case], "extra.txt": case.encode()})
    work(hub)
    model = model_of(hub)
    assert model.verdict in (
        "incomplete",
        "invalid_configuration",
        "unknown_architecture",
        "no_checkpoint",
        "damaged",
    )
    with hub.database.session() as session:
        row = session.get_one(Verification, (model.repository_id, model.commit_oid))
        assert row.status == model.verdict
        assert row.report["problem"]
        assert len(json.dumps(row.report)) < 2_000_000
        kept = verdict_of(session, row.repository_id, row.commit_oid)
        assert kept is not None
        assert kept.status == row.status
        assert find(session, Query(text="law"), ANONYMOUS).total == 1


def test_configurations_are_read_as_far_as_they_make_sense():
    assert read_json(b'{"hidden_size": 8, "secret": 1, "vocab_size": NaN}') == {"hidden_size": 8}
    assert read_json(b"[]") == read_json(b"{") == read_json(b"[" * 10**6) == {}


@pytest.mark.parametrize("value", [1e308, -1, 0, 10**40, "8", [8], None, {}, True, 0.5])
@pytest.mark.parametrize("model_type", ["bert", "llama", "gpt2", "t5", "mixtral"])
def test_no_configuration_stops_the_judge(value, model_type, caplog):
    keys = (
        "hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "intermediate_size", "n_embd", "n_layer",
        "n_head", "d_model", "d_ff", "d_kv", "num_layers", "num_heads", "num_key_value_heads", "num_local_experts",
        "max_position_embeddings", "rope_theta", "rope_scaling", "rope_parameters", "hidden_act", "layer_norm_eps",
    )  # fmt: skip
    config = {"model_type": model_type, **dict.fromkeys(keys, value)}
    header = safetensors({"a.weight": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"\0" * 4)
    files = MemoryFiles({"config.json": json.dumps(config).encode(), "model.safetensors": header})
    assert verify.judge(files).status in (
        "incomplete",
        "invalid_configuration",
        "unknown_architecture",
        "damaged",
    )
    assert not caplog.records  # none of these is a mistake of ours


def test_a_mistake_of_ours_is_logged_with_its_place_and_gets_a_verdict(
    hub, alice, folder, monkeypatch, caplog
):
    def mistaken(files):
        raise KeyError("no such name")

    monkeypatch.setattr(verify, "verify", mistaken)
    made = commit(hub, alice, "alice/law", folder)
    work(hub)
    assert model_of(hub).verdict == "damaged"
    told = [record for record in caplog.records if record.name == verify.__name__][-1]
    assert told.levelname == "ERROR" and f"alice/law@{made.oid}" in told.getMessage()
    assert told.exc_info is not None and "mistaken" in caplog.text
