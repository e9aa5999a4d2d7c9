"""Which hub is meant, who asks, and where a client keeps what it remembers."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from modelcenter.errors import EndpointMissing, Invalid, SettingsError

HUGGING_FACE = "https://huggingface.co"


def endpoint(explicit: str | None = None) -> str:
    """The hub's address: the argument, else MODELCENTER_ENDPOINT, the saved login, HF_ENDPOINT.

    Raises EndpointMissing when none of them is there, Invalid for what is no address.
    """
    address = (
        explicit
        or os.environ.get("MODELCENTER_ENDPOINT")
        or Logins.read().endpoint
        or os.environ.get("HF_ENDPOINT")
    )
    if not address:
        raise EndpointMissing
    return normal(address)


def token(explicit: str | None = None, endpoint: str | None = None) -> str | None:
    """The token for the hub at `endpoint`: the argument, else MODELCENTER_TOKEN, the saved login, HF_TOKEN.

    HF_TOKEN belongs to the hub that HF_ENDPOINT names, else to huggingface.co: no other hub is shown it.
    """
    given = explicit or os.environ.get("MODELCENTER_TOKEN")
    if given or endpoint is None:
        return given
    saved = Logins.read().tokens.get(normal(endpoint))
    if saved is None and normal(endpoint) == normal(os.environ.get("HF_ENDPOINT") or HUGGING_FACE):
        saved = os.environ.get("HF_TOKEN") or None
    return saved


def normal(address: str) -> str:
    """`address` as it is compared and saved: no trailing slash. Raises Invalid without http:// or https://."""
    if not re.match(r"https?://[^/]", address):
        raise Invalid(f"{address!r} is no hub's address; expected http://HOST:PORT or https://HOST.")
    return address.rstrip("/")


@dataclass
class Logins:
    """The hubs one has logged in to: the last one, and a token for each. A file that only its owner reads."""

    endpoint: str | None = None
    tokens: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls) -> Logins:
        """What was saved; empty when nothing was. Raises SettingsError for a file that is not ours."""
        try:
            saved = json.loads(login_file().read_text("utf-8"))
            return cls(endpoint=saved["endpoint"], tokens=dict(saved["tokens"]))
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SettingsError(
                f"{login_file()} cannot be read as saved logins ({error}). Remove it and log in again."
            ) from error

    def save(self) -> Path:
        """Replace the file, with mode 0600 from its first byte."""
        path = login_file()
        draft = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                json.dump({"endpoint": self.endpoint, "tokens": self.tokens}, file, indent=2)
            draft.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                draft.unlink()
            raise SettingsError(f"{path} cannot be written: {error.strerror}.") from error
        return path


def login_file() -> Path:
    """MODELCENTER_HOME, else modelcenter in XDG_CONFIG_HOME, else in ~/.config."""
    home = os.environ.get("MODELCENTER_HOME")
    config = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "modelcenter"
    return (Path(home).expanduser() if home else config) / "logins.json"


def cache_folder(endpoint: str) -> Path | None:
    """Where files of the hub at `endpoint` are kept; None: huggingface.co, and the folder all tools share.

    Its cache key has no endpoint in it: two hubs in one folder would answer for each other.
    """
    if endpoint == HUGGING_FACE:
        return None
    home = os.environ.get("MODELCENTER_HOME")
    shared = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "modelcenter"
    base = Path(home).expanduser() / "cache" if home else shared
    # The digest keeps http://a:1 and http://a/1 apart, the words tell people which is which.
    words = re.sub(r"[^A-Za-z0-9.]+", "-", endpoint.partition("://")[2]).strip("-")
    return base / f"{words}-{hashlib.sha256(endpoint.encode()).hexdigest()[:8]}"
