"""Hubs behind certificates of one's own authority, and behind a proxy."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import trustme
from huggingface_hub import CommitOperationAdd, HfApi

from tests.support.network import HOST, Proxy, Tls, proxy, tls
from tests.support.server import Server, clean_environment, new_server

VARIABLES = ("_proxy", "SSL_CERT_", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@dataclass
class Company:
    """A hub with a model that speaks TLS, and the proxy that leads there."""

    hub: Server
    tls: Tls
    proxy: Proxy

    def url(self, host: str) -> str:
        return f"https://{host}:{self.tls.port}"


@pytest.fixture(scope="module")
def company(tmp_path_factory) -> Iterator[Company]:
    folder = tmp_path_factory.mktemp("company")
    server = new_server(folder / "hub")
    with pytest.MonkeyPatch.context() as patch, tls(folder) as secure, proxy() as between:
        patch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        try:
            server.start()
            secure.behind = int(server.url.rpartition(":")[2])
            api = HfApi(endpoint=server.url, token=server.token)
            api.create_repo("alice/m")
            files = {"config.json": b"{}", "model.bin": bytes(range(256)) * 99}
            operations = [CommitOperationAdd(path, content) for path, content in files.items()]
            api.create_commit("alice/m", operations, commit_message="Model")
            yield Company(server, secure, between)
        finally:
            if server.process is not None:
                server.kill()


def run(home: object, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command, in an environment that says of the network only this."""
    kept = {
        name: value
        for name, value in clean_environment().items()
        if not any(part in name or part in name.lower() for part in VARIABLES)
    }
    return subprocess.run(
        [sys.executable, "-m", "modelcenter.cli", *words],
        env={**kept, **variables, "MODELCENTER_HOME": str(home)},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize("way", ["--ca", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_an_authority_of_ones_own_is_trusted_where_it_is_named(company, tmp_path, way):
    words = ["download", "alice/m", "--to", str(tmp_path / "m"), "--endpoint", company.url("localhost")]
    ca = str(company.tls.ca)
    options, variables = (["--ca", ca], {}) if way == "--ca" else ([], {way: ca})
    done = run(tmp_path / "home", *words, *options, **variables)
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "m" / "model.bin").read_bytes()) == 256 * 99


@pytest.mark.parametrize("words", [["info", "alice/m", "--endpoint"], ["mirror", "alice/m", "--upstream"]])
def test_a_certificate_that_nobody_vouches_for_is_told_with_what_to_do(company, tmp_path, words):
    data = ["--data", str(new_server(tmp_path / "here").data)] if words[0] == "mirror" else []
    done = run(tmp_path / "home", *words, company.url("localhost"), *data)
    assert done.returncode == 1
    assert f"The certificate of {company.url('localhost')} cannot be trusted" in done.stderr
    assert "--ca FILE" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_bundle_of_requests_goes_before_what_an_image_sets_and_an_option_before_both(company, tmp_path):
    words = ["info", "alice/m", "--endpoint", company.url("localhost")]
    ca, other = str(company.tls.ca), tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    assert run(tmp_path, *words, REQUESTS_CA_BUNDLE=ca, SSL_CERT_FILE=str(other)).returncode == 0
    assert run(tmp_path, *words, "--ca", ca, REQUESTS_CA_BUNDLE=str(other)).returncode == 0
    done = run(tmp_path, *words, REQUESTS_CA_BUNDLE=str(other), SSL_CERT_FILE=ca)
    assert done.returncode == 1
    assert "REQUESTS_CA_BUNDLE" in done.stderr


def test_a_bundle_that_is_not_there_is_named_with_its_variable(tmp_path):
    done = run(tmp_path, "whoami", "--endpoint", "https://localhost", REQUESTS_CA_BUNDLE="/nowhere/ca.pem")
    assert done.returncode == 2
    assert "REQUESTS_CA_BUNDLE names /nowhere/ca.pem, which is not there" in done.stderr


def test_a_proxy_that_is_dead_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        place = f"127.0.0.1:{closed.getsockname()[1]}"
    words = ["info", "alice/m", "--endpoint", "https://hub.internal"]
    done = run(tmp_path, *words, HTTPS_PROXY=f"http://me:secret@{place}")
    assert done.returncode == 1
    assert f"the proxy {place} in between cannot be reached" in done.stderr
    assert "secret" not in done.stderr


def test_a_file_without_certificates_is_wrong_use(tmp_path):
    (tmp_path / "ca.pem").write_text("none")
    done = run(tmp_path, "whoami", "--endpoint", "https://localhost", "--ca", str(tmp_path / "ca.pem"))
    assert done.returncode == 2
    assert "holds no certificates" in done.stderr


def test_a_proxy_leads_downloads_and_mirrors(company, tmp_path):
    company.proxy.asked.clear()
    there = {"HTTPS_PROXY": company.proxy.url, "SSL_CERT_FILE": str(company.tls.ca)}
    there["HF_ENDPOINT"] = company.url(HOST)  # huggingface_hub asks the hub that it names who drives it
    words = ["download", "alice/m", "--to", str(tmp_path / "m"), "--endpoint", company.url(HOST)]
    done = run(tmp_path / "home", *words, **there)
    assert done.returncode == 0, done.stderr
    here = new_server(tmp_path / "here")
    words = ["mirror", "alice/m", "--upstream", company.url(HOST), "--data", str(here.data)]
    done = run(tmp_path / "home", *words, **there)
    assert done.returncode == 0, done.stderr
    assert set(company.proxy.asked) == {f"{HOST}:{company.tls.port}"}
    assert done.stdout.strip() == HfApi(endpoint=company.hub.url, token=False).model_info("alice/m").sha


def test_no_proxy_is_asked_for_hosts_that_are_excepted(company, tmp_path):
    company.proxy.asked.clear()
    there = {"HTTPS_PROXY": company.proxy.url, "SSL_CERT_FILE": str(company.tls.ca)}
    words = ["info", "alice/m", "--endpoint", company.url("localhost")]
    done = run(tmp_path / "home", *words, **there, NO_PROXY="localhost")
    assert done.returncode == 0, done.stderr
    assert not company.proxy.asked
    done = run(tmp_path / "home", *words, **there)
    assert done.returncode == 1
    assert "the proxy in between says: 403 Forbidden" in done.stderr
