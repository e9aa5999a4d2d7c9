"""Asking a hub to mirror a model, and how it stands with that."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote

from modelcenter import __version__
from modelcenter.client.telling import get, told
from modelcenter.errors import HubRefused

POLL_SECONDS = 1.0


def request(endpoint: str, token: str | None, asked: dict[str, str]) -> dict[str, Any]:
    """Asks the hub for a mirror; the answer names the `repository`. Raises AccessDenied, HubError."""
    from huggingface_hub import get_session, hf_raise_for_status

    headers = {"User-Agent": f"modelcenter/{__version__}"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    with told(endpoint, asked["upstream_id"]):
        answer = get_session().post(f"{endpoint}/api/modelcenter/mirror", json=asked, headers=headers)
        hf_raise_for_status(answer)
        found: dict[str, Any] = answer.json()
    return found


def wait(endpoint: str, token: str | None, repository: str) -> dict[str, Any]:
    """Waits until the mirror is done. Raises HubRefused with the hub's sentence where it failed."""
    while True:
        with told(endpoint, repository):
            found: dict[str, Any] = get(
                f"{endpoint}/api/modelcenter/mirror/{quote(repository)}", token
            ).json()
        if found["state"] == "done":
            return found
        if found["problem"]:
            raise HubRefused(endpoint, 200, f"{repository} could not be mirrored: {found['problem']}")
        time.sleep(POLL_SECONDS)
