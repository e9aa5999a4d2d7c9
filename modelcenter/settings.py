"""The hub's settings: read from the environment once, frozen, passed. No global, no default secret."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args
from urllib.parse import urlsplit

from modelcenter.errors import SettingsError

DEFAULT_DATA = Path("data")
LOOPBACK = ("127.0.0.1", "::1", "localhost")
GroupRole = Literal["read", "contributor", "write", "admin"]
SWITCH = {"on": True, "off": False}


@dataclass(frozen=True, kw_only=True)
class S3Settings:
    """A bucket of S3, or of what speaks as it does; credentials are found as boto3 finds them.

    prefix: before all names of objects: empty, or ends with a slash.
    endpoint: the storage's address; None: Amazon's. external_endpoint: the one that clients see, if another.
    redirect: whether clients send and fetch large files there; else all bytes pass through the hub.
    """

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    external_endpoint: str | None = None
    region: str = "us-east-1"
    redirect: bool = True

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> S3Settings | None:
        """What MODELCENTER_BLOBS names, if anything. Raises SettingsError."""
        place = environ.get("MODELCENTER_BLOBS")
        if not place:
            return None
        url = urlsplit(place)
        if url.scheme != "s3" or not url.netloc or url.query or url.fragment:
            raise SettingsError(
                f"MODELCENTER_BLOBS is {place!r}; expected s3://BUCKET or s3://BUCKET/PREFIX."
            )
        folder = url.path.strip("/")
        region = environ.get("MODELCENTER_S3_REGION") or environ.get("AWS_DEFAULT_REGION") or cls.region
        return cls(
            bucket=url.netloc,
            prefix=f"{folder}/" if folder else "",
            endpoint=web_address("MODELCENTER_S3_ENDPOINT", environ),
            external_endpoint=web_address("MODELCENTER_S3_EXTERNAL_ENDPOINT", environ),
            region=region,
            redirect=switch("MODELCENTER_S3_REDIRECT", environ, default=True),
        )

    def environment(self) -> dict[str, str]:
        """The variables from which another process reads the same."""
        return {
            "MODELCENTER_BLOBS": f"s3://{self.bucket}/{self.prefix}",
            "MODELCENTER_S3_ENDPOINT": self.endpoint or "",
            "MODELCENTER_S3_EXTERNAL_ENDPOINT": self.external_endpoint or "",
            "MODELCENTER_S3_REGION": self.region,
            "MODELCENTER_S3_REDIRECT": "on" if self.redirect else "off",
        }


@dataclass(frozen=True, kw_only=True)
class OidcSettings:
    """A provider of OpenID Connect by which people sign in.

    issuer: its address, below which its configuration is. claim, organizations: what it says of people's
    groups, and (value, organisation, role) for each value that gives a role.
    """

    issuer: str
    client_id: str
    client_secret: str
    claim: str = ""
    organizations: tuple[tuple[str, str, GroupRole], ...] = ()

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> OidcSettings | None:
        """What MODELCENTER_OIDC_ISSUER and its fellows name, if anything. Raises SettingsError."""
        issuer = environ.get("MODELCENTER_OIDC_ISSUER")
        if not issuer:
            return None
        url = urlsplit(issuer)
        # Whoever is between hub and provider decides who signs in.
        if url.scheme != "https" and not (url.scheme == "http" and url.hostname in LOOPBACK):
            raise SettingsError(f"MODELCENTER_OIDC_ISSUER is {issuer!r}; expected https://….")
        names = ("MODELCENTER_OIDC_CLIENT_ID", "MODELCENTER_OIDC_CLIENT_SECRET")
        given = [environ.get(name, "") for name in names]
        for name, value in zip(names, given, strict=True):
            if not value:
                raise SettingsError(f"{name} is not set; expected what {issuer} gave this hub.")
        claim, organizations = cls._organizations(environ.get("MODELCENTER_OIDC_ORGANIZATIONS", ""))
        return cls(
            issuer=issuer,
            client_id=given[0],
            client_secret=given[1],
            claim=claim,
            organizations=organizations,
        )

    @staticmethod
    def _organizations(text: str) -> tuple[str, tuple[tuple[str, str, GroupRole], ...]]:
        if not text:
            return "", ()
        claim, _, rest = text.partition(":")
        found = []
        for part in rest.split(","):
            value, _, target = part.strip().rpartition("=")
            organization, _, role = target.partition("/")
            if not (claim and value and organization and role in get_args(GroupRole)):
                raise SettingsError(
                    f"MODELCENTER_OIDC_ORGANIZATIONS is {text!r}; expected CLAIM:VALUE=ORGANISATION/ROLE,…, "
                    "such as groups:nlp=lab/write,ops=lab/admin."
                )
            found.append((value, organization, cast("GroupRole", role)))
        return claim, tuple(found)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where a hub keeps its things and how it presents itself.

    data: the directory of the embedded database, the blobs and the secret.
    database_url: `sqlite:///…` or `postgresql+psycopg://…`; `postgres://` is accepted and rewritten.
    external_url: the address clients see, without a trailing slash; None: taken from each request's Host.
    secret_key: signs sessions and upload addresses; the same for all workers.
    trusted_proxies: how many proxies in front may set X-Forwarded-*; 0: none.
    s3: the bucket that holds the blobs; None: the data directory.
    oidc: the provider by which people sign in; None: by password alone.
    upstream: the hub that models come from which are asked for and not here, and mirrors where no other is
    named; None: no models, mirrors from huggingface.co.
    upstream_token: with which an operator's mirrors ask it, and those of models that are not here.
    upstream_expiry: after how many seconds it is asked again where branches and tags of those are.
    part_mb: large files of more than so many megabytes arrive in parts of that size, where the client can.
    check_days: the longest that a blob lies without being read and hashed again; 0: never.
    convert_uploads: whether commits of pickles alone are converted to safetensors unasked.
    webhooks_private: whether webhooks may lead to private addresses, such as one's own network's.
    convert_seconds, convert_memory_gb: what one conversion may take; its address space in 10^9 bytes.
    """

    data: Path
    database_url: str
    secret_key: str
    external_url: str | None = None
    trusted_proxies: int = 0
    s3: S3Settings | None = None
    oidc: OidcSettings | None = None
    upstream: str | None = None
    upstream_token: str | None = None
    upstream_expiry: int = 300
    part_mb: int = 1000
    check_days: int = 30
    convert_uploads: bool = False
    convert_seconds: int = 3600
    convert_memory_gb: int = 8
    webhooks_private: bool = False

    @property
    def blobs(self) -> Path:
        """The directory of the local blob store, which is the hub's unless it has a bucket."""
        return self.data / "blobs"

    @property
    def staging(self) -> Path:
        """The directory of bytes that are no blob yet."""
        return self.data / "staging"

    @classmethod
    def from_environment(
        cls, data: Path | str | None = None, environ: Mapping[str, str] | None = None
    ) -> Settings:
        """Settings of the hub in `data` (else MODELCENTER_DATA, else ./data), creating the directory.

        DATABASE_URL overrides the directory's database; MODELCENTER_EXTERNAL_URL, -SECRET_KEY,
        -TRUSTED_PROXIES, -BLOBS, -S3_*, -UPSTREAM, -UPSTREAM_TOKEN, -UPSTREAM_EXPIRY, -PART_MB,
        -CHECK_DAYS, -WEBHOOKS_PRIVATE and -CONVERT_* the rest. Raises SettingsError for values that cannot
        work.
        """
        environ = os.environ if environ is None else environ
        directory = Path(data or environ.get("MODELCENTER_DATA") or DEFAULT_DATA).resolve()
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(
                f"The data directory {directory} cannot be created: {error.strerror}."
            ) from error
        proxies = number(
            "MODELCENTER_TRUSTED_PROXIES",
            environ.get("MODELCENTER_TRUSTED_PROXIES", "0"),
            "a number of proxies, such as 1",
        )
        seconds = number(
            "MODELCENTER_CONVERT_SECONDS",
            environ.get("MODELCENTER_CONVERT_SECONDS", "3600"),
            "a number of seconds, such as 3600",
        )
        memory = number(
            "MODELCENTER_CONVERT_MEMORY_GB",
            environ.get("MODELCENTER_CONVERT_MEMORY_GB", "8"),
            "a number of gigabytes, such as 8",
        )
        part = number(
            "MODELCENTER_PART_MB",
            environ.get("MODELCENTER_PART_MB", "1000"),
            "a number of megabytes from 6 to 5000, such as 1000",
        )
        if not 6 <= part <= 5000:  # S3 takes parts of 5 MiB to 5 GiB
            raise SettingsError(f"MODELCENTER_PART_MB is {part}; expected a number from 6 to 5000.")
        days = number(
            "MODELCENTER_CHECK_DAYS",
            environ.get("MODELCENTER_CHECK_DAYS", "30"),
            "a number of days, such as 30, or 0 for never",
        )
        expiry = number(
            "MODELCENTER_UPSTREAM_EXPIRY",
            environ.get("MODELCENTER_UPSTREAM_EXPIRY", "300"),
            "a number of seconds, such as 300",
        )
        return cls(
            data=directory,
            database_url=database_url(
                environ.get("DATABASE_URL") or f"sqlite:///{directory / 'modelcenter.sqlite3'}"
            ),
            secret_key=environ.get("MODELCENTER_SECRET_KEY") or kept_secret(directory / "secret"),
            external_url=web_address("MODELCENTER_EXTERNAL_URL", environ),
            trusted_proxies=proxies,
            s3=S3Settings.from_environment(environ),
            oidc=OidcSettings.from_environment(environ),
            upstream=web_address("MODELCENTER_UPSTREAM", environ),
            upstream_token=environ.get("MODELCENTER_UPSTREAM_TOKEN") or None,
            upstream_expiry=expiry,
            part_mb=part,
            check_days=days,
            convert_uploads=switch("MODELCENTER_CONVERT_UPLOADS", environ, default=False),
            convert_seconds=seconds,
            convert_memory_gb=memory,
            webhooks_private=switch("MODELCENTER_WEBHOOKS_PRIVATE", environ, default=False),
        )


def number(name: str, value: str, expected: str) -> int:
    """The value of a variable that is a whole number. Raises SettingsError."""
    if not value.isdecimal():
        raise SettingsError(f"{name} is {value!r}; expected {expected}.")
    return int(value)


def switch(name: str, environ: Mapping[str, str], *, default: bool) -> bool:
    """The value of a variable that is on or off. Raises SettingsError."""
    value = environ.get(name) or ("on" if default else "off")
    if value not in SWITCH:
        raise SettingsError(f"{name} is {value!r}; expected on or off.")
    return SWITCH[value]


def web_address(name: str, environ: Mapping[str, str]) -> str | None:
    """The value of a variable that is an address, without a trailing slash. Raises SettingsError."""
    value = environ.get(name)
    if value and not value.startswith(("http://", "https://")):
        raise SettingsError(f"{name} is {value!r}; expected http://… or https://….")
    return value.rstrip("/") if value else None


def database_url(url: str) -> str:
    """`url` as SQLAlchemy and psycopg 3 want it. Raises SettingsError for databases we do not speak."""
    scheme, _, rest = url.partition("://")
    if scheme in ("postgres", "postgresql", "postgresql+psycopg"):
        return f"postgresql+psycopg://{rest}"
    if scheme == "sqlite":
        return url
    raise SettingsError(f"DATABASE_URL names {scheme!r}; expected postgresql://… or sqlite:///….")


def kept_secret(path: Path) -> str:
    """The secret in `path`, written there (mode 0600) the first time; all workers read the same one."""
    if not path.exists():
        draft = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
        # A link appears whole and never replaces: of two processes that start together one secret wins.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
    return path.read_text().strip()
