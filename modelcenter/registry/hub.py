"""The registry's rooms in one hand: settings, database, blob store. Passed, never global."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelcenter.errors import ExtraMissing
from modelcenter.registry.blobs.interface import BlobStore
from modelcenter.registry.blobs.local import LocalBlobStore
from modelcenter.registry.database import Database, open_database
from modelcenter.settings import S3Settings, Settings

if TYPE_CHECKING:
    from modelcenter.registry.blobs.s3 import Bucket


@dataclass(frozen=True)
class Hub:
    """One hub: where its truth and its bytes are.

    staging: bytes that are no file yet, such as parts of large uploads; who takes them further deletes them.
    """

    settings: Settings
    database: Database
    blobs: BlobStore
    staging: BlobStore


def open_hub(settings: Settings) -> Hub:
    """The hub that `settings` describe. Migrates nothing: `database.migrate` does."""
    return Hub(settings, open_database(settings.database_url), *_open_stores(settings))


def check_stores(settings: Settings) -> None:
    """Raises SettingsError unless the store can be written, and read at the address that clients see."""
    if settings.s3 is not None:
        _bucket(settings.s3).check()


def _open_stores(settings: Settings) -> tuple[BlobStore, BlobStore]:
    """Where blobs and arriving bytes are: two folders of the bucket, else of the data directory."""
    if settings.s3 is None:
        return LocalBlobStore(settings.blobs), LocalBlobStore(settings.staging)
    bucket = _bucket(settings.s3)
    from modelcenter.registry.blobs.s3 import S3BlobStore

    return S3BlobStore(bucket, "blobs"), S3BlobStore(bucket, "staging")


def _bucket(settings: S3Settings) -> Bucket:
    try:
        from modelcenter.registry.blobs.s3 import Bucket
    except ModuleNotFoundError as error:
        if error.name not in ("boto3", "botocore"):
            raise
        raise ExtraMissing("boto3", "s3") from error
    return Bucket(settings)
