from __future__ import annotations

from modelcenter.registry.blobs.memory import MemoryBlobStore
from tests.conformance.blobstore import BlobStoreSuite


class TestMemory(BlobStoreSuite):
    def make(self, tmp_path):
        return MemoryBlobStore()
