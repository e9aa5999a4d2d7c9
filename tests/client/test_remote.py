"""A revision's files over HTTP, from a running hub."""

import pytest

from modelcenter.checkpoint.source import LocalFiles, read_header
from modelcenter.client import Hub, remote_files
from modelcenter.errors import (
    EntryNotFound,
    HubUnreachable,
    InvalidToken,
    NotAuthenticated,
    RepositoryNotFound,
    RevisionNotFound,
)
from modelcenter.verification import verify
from tests.support.network import meddler


@pytest.fixture
def uploaded(at_hub, tiny_bert, unique) -> str:
    name = f"alice/{unique}"
    Hub().upload(tiny_bert, name)
    return name


def test_files_are_those_of_the_folder(uploaded, tiny_bert):
    there, here = remote_files(uploaded), LocalFiles(tiny_bert)
    assert set(here.names()) | {".gitattributes"} == set(there.names())
    for name in here.names():
        assert there.size(name) == here.size(name)
        assert there.read(name) == here.read(name)


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 8), (8, 100), (100, None), (0, 10**9), (5, 5), (10**9, None)]
)
def test_a_range_is_the_range_of_the_file(uploaded, tiny_bert, start, stop):
    there, here = remote_files(uploaded), LocalFiles(tiny_bert)
    assert there.read("model.safetensors", start, stop) == here.read("model.safetensors", start, stop)


def test_the_header_and_the_verdict_are_those_of_the_folder(uploaded, tiny_bert):
    assert read_header(remote_files(uploaded)).tensors == read_header(LocalFiles(tiny_bert)).tensors
    verdict = verify(remote_files(uploaded))
    assert verdict.status == "complete"
    assert verdict == verify(LocalFiles(tiny_bert))


def test_all_reads_see_the_commit_of_the_first(uploaded, tiny_bert):
    there = remote_files(uploaded)
    before = there.read("README.md")
    (tiny_bert / "README.md").write_text("---\nlicense: mit\n---\nAnother.\n")
    Hub().upload(tiny_bert, uploaded)
    assert there.read("README.md") == before
    assert remote_files(uploaded).read("README.md") != before


def test_what_is_not_there_is_named(uploaded, at_hub):
    with pytest.raises(EntryNotFound, match=r"nothing\.bin"):
        remote_files(uploaded).read("nothing.bin")
    with pytest.raises(RevisionNotFound, match=r"Invalid rev id .*v9"):
        remote_files(uploaded, "v9").names()
    with pytest.raises(RepositoryNotFound, match=f"alice/nothing does not exist on {at_hub.url}"):
        remote_files("alice/nothing").names()
    with pytest.raises(NotAuthenticated, match="modelcenter login"):
        remote_files(uploaded, token="mc_wrong").names()


def test_a_hub_that_does_not_answer_is_named():
    with pytest.raises(HubUnreachable, match=r"http://127\.0\.0\.1:9 does not answer"):
        remote_files("alice/bert", endpoint="http://127.0.0.1:9").names()


def test_who_sends_no_token_is_not_told_that_it_is_unknown(at_hub, monkeypatch, unique, tiny_bert):
    monkeypatch.delenv("MODELCENTER_TOKEN", raising=False)
    with pytest.raises(NotAuthenticated, match="without a token: Log in to") as caught:
        Hub().upload(tiny_bert, f"alice/{unique}")
    assert caught.value.code == "not-authenticated"
    assert "does not know this token" not in str(caught.value)
    with pytest.raises(InvalidToken, match="does not know this token"):
        Hub(token="mc_unknown").upload(tiny_bert, f"alice/{unique}")


def test_a_range_whose_connection_is_cut_is_asked_for_again(uploaded, at_hub, tiny_bert):
    with meddler(at_hub.url, mark="model.safetensors", cuts=3, longest=200) as between:
        there = remote_files(uploaded, endpoint=between.url)
        assert there.read("model.safetensors") == (tiny_bert / "model.safetensors").read_bytes()
        assert between.cuts == 0
        between.cuts = 10**6
        with pytest.raises(HubUnreachable, match="does not answer"):
            there.read("model.safetensors")
