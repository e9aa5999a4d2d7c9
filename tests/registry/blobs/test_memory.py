from __future__ import annotations

from tests.conformance.blobstore import BlobStoreSuite
from tests.support.blobs import MemoryBlobStore


class TestMemory(BlobStoreSuite):
    def make(self, tmp_path):
        return MemoryBlobStore()
