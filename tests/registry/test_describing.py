"""What is told of a commit before its job has run, and after the head has left it."""

from __future__ import annotations

import pytest

from modelcenter.registry import describing, repositories
from modelcenter.registry.access import ANONYMOUS
from modelcenter.registry.handlers import HANDLERS
from modelcenter.registry.jobs import Worker
from modelcenter.registry.tables import Model
from tests.support.registry import commit, person, verdict_of


@pytest.fixture
def alice(hub):
    alice = person(hub, "alice")
    repositories.create(hub, alice, "alice/law")
    return alice


def told(hub, revision="main") -> Model:
    with hub.database.session() as session:
        repository = repositories.get(session, ANONYMOUS, "alice/law")
        head = repositories.resolve(session, repository, revision)
        files = [
            entry
            for entry in repositories.tree(session, repository, head, recursive=True)
            if entry.kind == "file"
        ]
        verdict = verdict_of(session, repository.id, head.oid)
        row = session.get(Model, repository.id)
        return describing.current_facts(hub, repository, row, head, files, verdict)


def test_what_is_told_at_once_is_what_the_job_finds_save_what_headers_prove(hub, alice):
    card = b"---\nlicense: mit\ntags: [legal]\n---\n# Law\n\nA model of the law, for tests alone.\n"
    config = b'{"model_type": "bert", "architectures": ["BertForMaskedLM"], "hidden_size": 8}'
    done = commit(hub, alice, "alice/law", {"README.md": card, "config.json": config, "a/b.txt": b"text"})
    before = told(hub)
    Worker(hub, HANDLERS).run_all()
    after = told(hub)
    assert before.commit_oid == after.commit_oid == done.oid
    assert before.verdict is None
    assert after.verdict is not None
    for name in ("license", "tags", "title_en", "model_type", "hidden_size", "size_bytes", "card", "config"):
        assert getattr(before, name) == getattr(after, name), name
    assert after.size_bytes
    assert (after.license, after.title_en, after.hidden_size) == ("mit", "Law", 8)


def test_a_commit_keeps_its_verdict_when_the_head_leaves_it(hub, alice, tiny_bert):
    files = {path.name: path.read_bytes() for path in tiny_bert.iterdir()}
    judged = commit(hub, alice, "alice/law", files)
    Worker(hub, HANDLERS).run_all()
    commit(hub, alice, "alice/law", {"config.json": b"{}"})
    assert told(hub, judged.oid).verdict == "complete"
    assert told(hub).verdict is None


@pytest.mark.parametrize(
    ("path", "tagged"),
    [
        ("pytorch_model.bin", True),
        ("pytorch_model-00001-of-00002.bin", True),
        ("2_Dense/pytorch_model.bin", True),
        ("unet/diffusion_pytorch_model.bin", True),
        ("adapter_model.bin", True),
        ("pytorch_model.pt", True),
        ("training_args.bin", False),
        ("vocab.bin", False),
        ("notpytorch_model.txt", False),
    ],
)
def test_only_weights_earn_the_tag_of_their_format(hub, alice, path, tagged):
    commit(hub, alice, "alice/law", {path: b"\x80\x02}q\x00."})
    assert ("pytorch" in told(hub).tags) is tagged
    Worker(hub, HANDLERS).run_all()
    assert ("pytorch" in told(hub).tags) is tagged


def test_files_that_the_verdict_read_as_weights_earn_it_too(hub, alice):
    """An index may name its parts as it likes."""
    tensor = torch_file()
    index = b'{"metadata": {}, "weight_map": {"a": "first.bin"}}'
    commit(hub, alice, "alice/law", {"first.bin": tensor, "pytorch_model.bin.index.json": index})
    Worker(hub, HANDLERS).run_all()
    assert "pytorch" in told(hub).tags


def torch_file() -> bytes:
    """A file of one tensor as torch.save writes it."""
    import io

    import torch

    file = io.BytesIO()
    torch.save({"a": torch.zeros(2)}, file)
    return file.getvalue()
