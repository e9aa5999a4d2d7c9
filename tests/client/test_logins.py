"""Which hub, which token, which cache."""

import json
import stat

import pytest

from modelcenter import client
from modelcenter.client import logins
from modelcenter.errors import EndpointMissing, Invalid, SettingsError


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch, tmp_path):
    for name in (
        "MODELCENTER_ENDPOINT", "MODELCENTER_TOKEN", "MODELCENTER_HOME", "HF_ENDPOINT", "HF_TOKEN",
        "XDG_CACHE_HOME",
    ):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def logged_in(endpoint: str, token: str) -> None:
    logins.Logins(endpoint, {endpoint: token}).save()


def test_no_endpoint_is_an_error_that_says_how_to_set_one():
    with pytest.raises(EndpointMissing, match=r"MODELCENTER_ENDPOINT.*modelcenter login"):
        client.endpoint()


def test_the_endpoint_is_the_argument_then_the_environment_then_the_login_then_hugging_faces(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://fourth")
    assert client.endpoint() == "http://fourth"
    logged_in("http://third", "t")
    assert client.endpoint() == "http://third"
    monkeypatch.setenv("MODELCENTER_ENDPOINT", "http://second/")
    assert client.endpoint() == "http://second"
    assert client.endpoint("https://first:8080/") == "https://first:8080"


@pytest.mark.parametrize("address", ["localhost:8080", "ftp://hub", "http://", "hub"])
def test_an_endpoint_without_a_scheme_is_refused(address):
    with pytest.raises(Invalid, match="expected http://"):
        client.endpoint(address)


def test_a_login_is_read_by_its_owner_alone(tmp_path):
    logged_in("http://hub", "secret")
    path = tmp_path / "modelcenter" / "logins.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text())["tokens"] == {"http://hub": "secret"}
    assert [each.name for each in path.parent.iterdir()] == ["logins.json"]


def test_modelcenter_home_comes_before_the_configuration_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("MODELCENTER_HOME", str(tmp_path / "home"))
    logged_in("http://hub", "secret")
    assert (tmp_path / "home" / "logins.json").is_file()
    assert client.endpoint() == "http://hub"


def test_a_token_is_for_its_hub_alone(monkeypatch):
    logged_in("http://hub", "saved")
    assert client.token(endpoint="http://hub/") == "saved"
    assert client.token(endpoint="http://other") is None
    monkeypatch.setenv("MODELCENTER_TOKEN", "environment")
    assert client.token(endpoint="http://hub") == "environment"
    assert client.token("argument", "http://hub") == "argument"


def test_hugging_faces_token_is_shown_to_its_hub_alone(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf")
    assert client.token(endpoint="http://hub") is None
    assert client.token(endpoint="https://huggingface.co") == "hf"
    monkeypatch.setenv("HF_ENDPOINT", "http://hub/")
    assert client.token(endpoint="http://hub") == "hf"
    assert client.token(endpoint="https://huggingface.co") is None


def test_a_broken_login_file_is_named(tmp_path):
    logged_in("http://hub", "t")
    logins.login_file().write_text("{")
    with pytest.raises(SettingsError, match=r"logins\.json cannot be read"):
        client.endpoint()


def test_hubs_have_caches_of_their_own_and_hugging_face_the_shared_one(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    hubs = ["http://hub", "http://hub:80", "https://hub", "http://hub/80"]
    folders = {logins.cache_folder(hub) for hub in hubs}
    assert len(folders) == len(hubs)
    assert all(folder is not None and folder.parent == tmp_path / "modelcenter" for folder in folders)
    assert logins.cache_folder("https://huggingface.co") is None
