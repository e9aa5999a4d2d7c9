"""The registry's rooms in one hand: settings, database, blob store. Passed, never global."""

from __future__ import annotations

from dataclasses import dataclass

from modelcenter.registry.blobs.interface import BlobStore
from modelcenter.registry.blobs.local import LocalBlobStore
from modelcenter.registry.database import Database, open_database
from modelcenter.settings import Settings


@dataclass(frozen=True)
class Hub:
    """One hub: where its truth and its bytes are."""

    settings: Settings
    database: Database
    blobs: BlobStore


def open_hub(settings: Settings) -> Hub:
    """The hub that `settings` describe. Migrates nothing: `database.migrate` does."""
    return Hub(settings, open_database(settings.database_url), LocalBlobStore(settings.blobs))
