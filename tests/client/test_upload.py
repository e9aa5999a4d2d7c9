"""Folders to repositories."""

import pytest

from modelcenter.client import Hub
from modelcenter.client.upload import chosen
from modelcenter.errors import AccessDenied, Invalid, NotAuthenticated


def test_an_upload_creates_the_repository_and_says_where_it_went(at_hub, tiny_bert, unique):
    uploaded = Hub().upload(tiny_bert, f"alice/{unique}", message="The first")
    assert uploaded.url == f"{at_hub.url}/alice/{unique}/commit/{uploaded.commit}"
    assert set(uploaded.sent) == set(uploaded.files) == {path.name for path in tiny_bert.iterdir()}
    info = Hub().info(f"alice/{unique}")
    assert info["sha"] == uploaded.commit
    assert {each["rfilename"] for each in info["siblings"]} >= set(uploaded.files)
    assert Hub().api.list_repo_commits(f"alice/{unique}")[0].title == "The first"


def test_uploading_again_sends_nothing_and_commits_nothing(at_hub, tiny_bert, unique):
    first = Hub().upload(tiny_bert, f"alice/{unique}")
    second = Hub().upload(tiny_bert, f"alice/{unique}")
    assert second.commit == first.commit
    assert (second.sent, second.sent_bytes) == ((), 0)


def test_only_what_changed_is_sent(at_hub, tiny_bert, unique):
    Hub().upload(tiny_bert, f"alice/{unique}")
    (tiny_bert / "README.md").write_text("---\nlicense: mit\n---\nAnother card.\n")
    (tiny_bert / "new.bin").write_bytes(bytes(range(256)) * 64)
    uploaded = Hub().upload(tiny_bert, f"alice/{unique}")
    assert uploaded.sent == ("README.md", "new.bin")


def test_a_file_under_another_name_is_committed_there(at_hub, tiny_bert, unique):
    Hub().upload(tiny_bert, f"alice/{unique}")
    (tiny_bert / "model.safetensors").rename(tiny_bert / "renamed.safetensors")
    uploaded = Hub().upload(tiny_bert, f"alice/{unique}")
    assert uploaded.sent == ("renamed.safetensors",)
    assert "renamed.safetensors" in {each["rfilename"] for each in Hub().info(f"alice/{unique}")["siblings"]}


def test_a_branch_is_created_when_missing(at_hub, tiny_bert, unique):
    main = Hub().upload(tiny_bert, f"alice/{unique}")
    (tiny_bert / "extra.txt").write_text("extra")
    branch = Hub().upload(tiny_bert, f"alice/{unique}", revision="feature/x")
    assert Hub().info(f"alice/{unique}")["sha"] == main.commit
    assert Hub().info(f"alice/{unique}", "feature/x")["sha"] == branch.commit
    assert branch.sent == ("extra.txt",)


def test_a_single_file_is_uploaded_under_its_name(at_hub, tiny_bert, unique):
    uploaded = Hub().upload(tiny_bert / "config.json", f"alice/{unique}")
    assert uploaded.files == ("config.json",)


def test_files_are_chosen_by_patterns_and_what_tools_leave_behind_is_not(tmp_path):
    for name in ("a.json", "b.onnx", "sub/c.json", ".git/config", ".cache/x", "sub/__pycache__/m.pyc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    assert list(chosen(tmp_path)) == ["a.json", "b.onnx", "sub/c.json"]
    assert list(chosen(tmp_path, include=["*.json"])) == ["a.json", "sub/c.json"]
    assert list(chosen(tmp_path, exclude=["*.onnx", "sub/*"])) == ["a.json"]
    with pytest.raises(Invalid, match="no file to send"):
        chosen(tmp_path, include=["*.nothing"])
    with pytest.raises(Invalid, match="does not exist"):
        chosen(tmp_path / "nowhere")


def test_a_private_repository_is_its_owners(at_hub, tiny_bert, unique):
    Hub().upload(tiny_bert, f"alice/{unique}", private=True)
    assert Hub().info(f"alice/{unique}")["private"] is True


def test_another_persons_name_is_refused(at_hub, tiny_bert, unique):
    with pytest.raises(AccessDenied, match=at_hub.url):
        Hub().upload(tiny_bert, f"bob/{unique}")
    with pytest.raises(AccessDenied):
        Hub(token=at_hub.read_token).upload(tiny_bert, f"alice/{unique}")
    with pytest.raises(NotAuthenticated):
        Hub(token="mc_wrong").upload(tiny_bert, f"alice/{unique}")


def test_a_site_admins_upload_makes_a_missing_organisation(at_hub, tiny_bert, unique):
    Hub(token=at_hub.admin_token).upload(tiny_bert, f"org-{unique}/bert")
    assert Hub().info(f"org-{unique}/bert")["author"] == f"org-{unique}"


def test_a_card_that_the_hub_refuses_is_named_before_anything_is_sent(at_hub, tiny_bert, unique):
    (tiny_bert / "README.md").write_text("---\nlanguage: {en: [\n---\n")
    with pytest.raises(Invalid, match="metadata"):
        Hub().upload(tiny_bert, f"alice/{unique}")


def test_a_download_is_the_folder_that_was_uploaded(at_hub, tiny_bert, unique, tmp_path):
    Hub().upload(tiny_bert, f"alice/{unique}")
    folder = Hub().download(f"alice/{unique}", to=tmp_path / "copy", exclude=[".gitattributes"])
    for path in tiny_bert.iterdir():
        assert (folder / path.name).read_bytes() == path.read_bytes()
    only = Hub().download(f"alice/{unique}", to=tmp_path / "only", include=["*.json"])
    assert [path.name for path in only.iterdir() if path.is_file()] == ["config.json"]


def test_whoami_needs_a_token(at_hub, monkeypatch):
    assert Hub().whoami()["name"] == "alice"
    monkeypatch.delenv("MODELCENTER_TOKEN")
    with pytest.raises(NotAuthenticated, match="modelcenter login"):
        Hub().whoami()
