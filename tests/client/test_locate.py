"""From a name to a folder: what is local, what is fetched, what is kept."""

import json
import logging
import os
import re
import subprocess
import sys
import warnings

import pytest
import torch

import modelcenter
from modelcenter import client
from modelcenter.client import Hub
from modelcenter.client.locate import is_local
from modelcenter.errors import (
    CheckpointNotFound,
    EndpointMissing,
    HubUnreachable,
    Invalid,
    NotCached,
    NotHosted,
    RepositoryNotFound,
    RevisionNotFound,
    RevisionWithdrawn,
)
from tests.support.checkpoints import write

MODULE = {"pooling_mode_cls_token": True, "in_features": 16, "out_features": 5}


@pytest.fixture
def uploaded(at_hub, tiny_bert, unique) -> str:
    """The small BERT with more than a loader needs."""
    (tiny_bert / "pytorch_model.bin").write_bytes(b"the same weights again" * 100)
    (tiny_bert / "onnx").mkdir()
    (tiny_bert / "onnx" / "model.onnx").write_bytes(b"and again" * 100)
    modules = {"": "Transformer", "pooling": "Pooling", "2_Dense": "Dense"}
    listed = [
        {"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in modules.items()
    ]
    (tiny_bert / "modules.json").write_text(json.dumps(listed))
    for place in ("pooling", "2_Dense", "3_Unnamed"):
        (tiny_bert / place).mkdir()
        (tiny_bert / place / "config.json").write_text(json.dumps(MODULE))
    for form in ("bin", "safetensors"):
        write(tiny_bert / "2_Dense", {"linear.weight": torch.ones(5, 16), "linear.bias": torch.ones(5)}, form)
    (tiny_bert / "tokenizer_config.json").write_text("{}")
    (tiny_bert / "picture.png").write_bytes(b"\x89PNG")
    name = f"alice/{unique}"
    Hub().upload(tiny_bert, name)
    return name


def names(folder) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_is_itself(tiny_bert, monkeypatch):
    assert client.locate(str(tiny_bert)) == tiny_bert
    assert client.locate(tiny_bert) == tiny_bert
    monkeypatch.chdir(tiny_bert.parent)
    assert client.locate("./tiny-bert").samefile(tiny_bert)
    assert client.locate("tiny-bert").samefile(tiny_bert)


def test_only_what_looks_like_a_path_or_has_a_config_is_local(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "alice" / "bert").mkdir(parents=True)
    assert not is_local("alice/bert")
    (tmp_path / "alice" / "bert" / "config.json").write_text("{}")
    assert is_local("alice/bert")
    assert all(is_local(name) for name in ("./x", "../x", "/x", ".", "~/x"))


def test_a_folder_that_is_missing_or_asked_for_a_revision_is_an_error(tiny_bert):
    with pytest.raises(Invalid, match="/nowhere is no folder"):
        client.locate("/nowhere")
    with pytest.raises(Invalid, match="no revision v1"):
        client.locate(tiny_bert, revision="v1")


def test_a_name_needs_a_hub(monkeypatch, tmp_path):
    monkeypatch.delenv("MODELCENTER_ENDPOINT", raising=False)
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    monkeypatch.setenv("MODELCENTER_HOME", str(tmp_path))
    with pytest.raises(EndpointMissing):
        client.locate("alice/bert")


def test_what_a_loader_needs_is_fetched_and_nothing_else(uploaded, tiny_bert):
    folder = client.locate(uploaded)
    assert names(folder) == {
        "config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json", "modules.json",
        "pooling/config.json", "2_Dense/config.json", "2_Dense/model.safetensors",
    }  # fmt: skip
    assert (folder / "model.safetensors").read_bytes() == (tiny_bert / "model.safetensors").read_bytes()


def test_of_a_sharded_checkpoint_the_shards_that_its_index_names_are_fetched(at_hub, unique, tmp_path):
    from transformers import BertConfig, BertModel

    folder = tmp_path / "sharded"
    config = BertConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24
    )
    BertModel(config).save_pretrained(folder, max_shard_size="8KB")
    shards = sorted(path.name for path in folder.glob("model-*.safetensors"))
    assert len(shards) > 1
    (folder / "model-00009-of-00009.safetensors").write_bytes(b"left behind by an older version")
    Hub().upload(folder, f"alice/{unique}")
    assert names(client.locate(f"alice/{unique}")) == {"config.json", "model.safetensors.index.json", *shards}


@pytest.fixture
def in_many_forms(at_hub, tiny_bert, unique) -> str:
    """A model with its weights for three programs, what training goes on from, and pictures."""
    others = ["pytorch_model.bin", "tf_model.h5", "onnx/model.onnx", "optimizer.pt", "model.fp16.safetensors"]
    for name in others:
        (tiny_bert / name).parent.mkdir(exist_ok=True)
        (tiny_bert / name).write_bytes(b"0" * 1000)
    (tiny_bert / "plot.png").write_bytes(b"a picture")
    (tiny_bert / "vocab.bin").write_bytes(b"no weights")
    Hub().upload(tiny_bert, f"alice/{unique}")
    return f"alice/{unique}"


def test_loading_says_what_it_takes_and_leaves_before_it_starts(in_many_forms, caplog):
    with caplog.at_level(logging.INFO, "modelcenter"):
        client.locate(in_many_forms)
    (said,) = [record.getMessage() for record in caplog.records if "leaving" in record.getMessage()]
    assert said.startswith(f"{in_many_forms}: taking 1 file (")
    assert re.search(
        r"; leaving 5 files \(5,000 bytes\), weights in other forms \(.*, .*, .* and 2 more\)\.$", said
    )
    caplog.clear()
    with caplog.at_level(logging.INFO, "modelcenter"):
        client.locate(in_many_forms)
    assert "taking" not in caplog.text  # it is all there


def test_a_download_takes_the_weights_in_the_form_that_is_loaded(in_many_forms, tmp_path):
    told: list[str] = []
    copy = Hub().download(in_many_forms, to=tmp_path / "copy", tell=told.append)
    assert names(copy) >= {"config.json", "model.safetensors", "README.md", "plot.png", "vocab.bin"}
    left = {"pytorch_model.bin", "tf_model.h5", "onnx/model.onnx", "optimizer.pt", "model.fp16.safetensors"}
    assert not names(copy) & left
    assert "leaving 5 files (5,000 bytes)" in told[0]
    assert names(Hub().download(in_many_forms, to=tmp_path / "all", whole=True)) >= left
    only = Hub().download(in_many_forms, to=tmp_path / "only", include=["*.h5"])
    assert {path.name for path in only.iterdir()} == {".cache", "tf_model.h5"}


def test_a_download_leaves_nothing_where_nothing_else_can_be_loaded(at_hub, unique, tmp_path):
    (tmp_path / "flax").mkdir()
    (tmp_path / "flax" / "config.json").write_text("{}")
    (tmp_path / "flax" / "flax_model.msgpack").write_bytes(b"weights")
    Hub().upload(tmp_path / "flax", f"alice/{unique}")
    assert "flax_model.msgpack" in names(Hub().download(f"alice/{unique}", to=tmp_path / "copy"))


def test_pickles_are_fetched_where_there_is_nothing_else(at_hub, unique, tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "config.json").write_text("{}")
    (tmp_path / "old" / "pytorch_model.bin").write_bytes(b"weights")
    (tmp_path / "old" / "training_args.bin").write_bytes(b"not weights")
    Hub().upload(tmp_path / "old", f"alice/{unique}")
    assert names(client.locate(f"alice/{unique}")) == {"config.json", "pytorch_model.bin"}


def test_what_was_fetched_is_there_without_the_hub(uploaded, at_hub):
    with pytest.raises(NotCached, match=uploaded):
        client.locate(uploaded, local_files_only=True)
    folder = client.locate(uploaded)
    assert client.locate(uploaded, local_files_only=True) == folder
    (folder / "model.safetensors").unlink()
    with pytest.raises(NotCached, match="not whole"):
        client.locate(uploaded, local_files_only=True)


def test_a_second_time_only_the_revision_is_asked_for(uploaded, at_hub, caplog):
    folder = client.locate(uploaded)
    with caplog.at_level(logging.INFO, logger="httpx2"):
        assert client.locate(uploaded) == folder
    requests = [record.getMessage() for record in caplog.records if record.name == "httpx2"]
    assert len(requests) == 1, requests


def test_a_revision_is_fetched_as_it_is_named(uploaded, tiny_bert):
    (tiny_bert / "config.json").write_text("{}")
    Hub().upload(tiny_bert, uploaded, revision="next")
    assert client.locate(uploaded, revision="next") != client.locate(uploaded)
    assert (client.locate(uploaded, revision="next") / "config.json").read_text() == "{}"
    commit = Hub().info(uploaded)["sha"]
    assert client.locate(uploaded, revision=commit) == client.locate(uploaded)


def test_a_pinned_revision_that_was_withdrawn_comes_with_a_warning(uploaded, tiny_bert):
    commit = Hub().info(uploaded)["sha"]
    folder = client.locate(uploaded, revision=commit)  # in the cache before it is taken back
    (tiny_bert / "picture.png").write_bytes(b"another")
    Hub().upload(tiny_bert, uploaded)
    Hub().withdraw(uploaded, commit, "it leaks 泄露")
    said = re.escape(f"{commit[:12]} of {uploaded} was withdrawn by its owners: it leaks 泄露")
    for ask in (
        lambda: client.locate(uploaded, revision=commit) == folder,
        lambda: modelcenter.load(uploaded, revision=commit[:12]),
        lambda: Hub().download(uploaded, revision=commit),
        lambda: Hub().info(uploaded, commit),
        lambda: Hub().files(uploaded, commit).names(),
    ):
        with pytest.warns(RevisionWithdrawn, match=said):
            assert ask()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        client.locate(uploaded)
        client.locate(uploaded, revision=commit, local_files_only=True)
        client.locate(uploaded, revision=Hub().info(uploaded)["sha"])


def test_what_does_not_exist_is_told_in_our_words(uploaded, at_hub):
    with pytest.raises(RepositoryNotFound, match=f"alice/nothing does not exist on {at_hub.url}"):
        client.locate("alice/nothing")
    with pytest.raises(RevisionNotFound, match="Invalid rev id v9"):
        client.locate(uploaded, revision="v9")
    with pytest.raises(HubUnreachable, match="does not answer"):
        client.locate(uploaded, endpoint="http://127.0.0.1:9")
    with pytest.raises(Invalid):
        client.locate("no name at all")


def test_a_repository_without_a_model_is_no_checkpoint(at_hub, unique, tmp_path):
    (tmp_path / "notes.md").write_text("nothing to load")
    Hub().upload(tmp_path / "notes.md", f"alice/{unique}")
    with pytest.raises(CheckpointNotFound, match=r"config\.json"):
        client.locate(f"alice/{unique}")


def test_a_linked_entry_names_its_upstream(at_hub):
    with at_hub.hub() as hub, hub.database.transaction() as session:
        from modelcenter.registry.lifecycle import link

        link(session, "someone/elsewhere", "someone/elsewhere")
    with pytest.raises(NotHosted, match=r"they are at https://huggingface\.co/someone/elsewhere"):
        client.locate("someone/elsewhere")


def test_hubs_do_not_answer_for_each_other(uploaded, at_hub):
    client.locate(uploaded)
    with pytest.raises(NotCached):
        client.locate(uploaded, endpoint="http://127.0.0.1:9", local_files_only=True)


def test_no_token_of_another_hub_is_sent(at_hub, uploaded, monkeypatch, tmp_path):
    """A token in Hugging Face's own login file is theirs: this hub would refuse it, and must not see it."""
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "token").write_text("hf_secret")
    environment = {
        **os.environ, "HF_HOME": str(tmp_path / "hf"), "MODELCENTER_HOME": str(tmp_path / "other"),
    }  # fmt: skip
    environment.pop("MODELCENTER_TOKEN")
    program = f"from modelcenter import client; print(client.locate({uploaded!r}))"
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
