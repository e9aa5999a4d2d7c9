"""A provider of OpenID Connect as a process: oidc-provider-mock, which others test their clients with.

It checks client, redirect address, code and nonce; PKCE, which it does not know, is checked around it.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator

import httpx2

PROGRAM = """
import base64, hashlib, os
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
import flask, oidc_provider_mock
from werkzeug.serving import make_server

app = oidc_provider_mock.app(require_nonce=True)
challenges = set()

@app.before_request
def check_pkce():
    asked = flask.request
    if asked.path == "/oauth2/authorize":
        if asked.args.get("code_challenge_method") != "S256":
            flask.abort(400)
        challenges.add(asked.args["code_challenge"])
    if asked.path == "/oauth2/token":
        digest = hashlib.sha256(asked.form["code_verifier"].encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() not in challenges:
            flask.abort(400)

server = make_server("127.0.0.1", 0, app, threaded=True)
print(f"http://127.0.0.1:{server.port}", flush=True)
server.serve_forever()
"""


class Provider:
    """A running provider at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url

    def tell(self, subject: str, **claims: object) -> None:
        """From now on these are what the provider says of somebody."""
        answer = httpx2.put(f"{self.url}/users/{subject}", json=claims)
        assert answer.status_code < 300, answer.text

    def vouch(self, address: str, subject: str) -> str:
        """Signs in there as `subject` for who was sent to `address`; where the browser goes next."""
        assert address.startswith(f"{self.url}/oauth2/authorize?"), address
        assert httpx2.get(address).status_code == 200
        answer = httpx2.post(address, data={"sub": subject})
        assert answer.status_code == 302, answer.text
        return answer.headers["Location"]


@contextlib.contextmanager
def running_provider() -> Iterator[Provider]:
    """A provider that runs until the block ends."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            match = re.match(r"http://\S+", process.stdout.readline())
            assert match, "The provider did not start."
            yield Provider(match[0])
        finally:
            process.kill()
