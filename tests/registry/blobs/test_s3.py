"""The store in S3, against moto's server."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import random
from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from modelcenter.errors import BlobMismatch, Invalid, SettingsError
from modelcenter.registry.blobs.interface import Blob, Part
from modelcenter.registry.blobs.s3 import PART_BYTES, Bucket, S3BlobStore
from modelcenter.registry.tables import now
from modelcenter.settings import S3Settings
from tests.conformance.blobstore import BlobStoreSuite, address_of
from tests.support.s3 import new_bucket


def noise(size: int, seed: int = 1) -> tuple[bytes, Blob]:
    data = random.Random(seed).randbytes(size)
    return data, Blob(address_of(data), size)


@pytest.fixture
def bucket(s3):
    return Bucket(new_bucket(s3))


@pytest.fixture
def store(bucket):
    return S3BlobStore(bucket, "blobs")


def unfinished(store: S3BlobStore) -> list[str]:
    client, name = store.bucket.client, store.bucket.name
    keys = [item["Key"] for item in client.list_objects_v2(Bucket=name).get("Contents", ())]
    uploads = [item["Key"] for item in client.list_multipart_uploads(Bucket=name).get("Uploads", ())]
    return uploads + [key for key in keys if "arriving" in key]


class TestS3(BlobStoreSuite):
    @pytest.fixture(autouse=True)
    def endpoint(self, s3):
        self.s3 = s3

    def make(self, tmp_path):
        return S3BlobStore(Bucket(new_bucket(self.s3)), "blobs")

    def leftovers(self, store):
        return unfinished(store)


@pytest.mark.parametrize("announced", [True, False])
def test_large_blobs_leave_in_parts_and_little_of_them_waits(store, announced):
    data, blob = noise(2 * PART_BYTES + 1000)
    file = io.BytesIO(data)
    assert store.put(file, sha256=blob.sha256 if announced else None) == blob
    with store.open(blob.sha256) as found:
        assert hashlib.sha256(found.read()).hexdigest() == blob.sha256
        found.seek(PART_BYTES - 5)
        assert found.read(10) == data[PART_BYTES - 5 : PART_BYTES + 5]
    assert unfinished(store) == []


def test_parts_are_no_larger_than_a_known_size_needs(store, monkeypatch):
    monkeypatch.setattr("modelcenter.registry.blobs.s3.PARTS", 4)
    client, lengths = store.bucket.client, []
    upload_part = client.upload_part

    def recorded(Body, **place):
        lengths.append(len(Body))
        return upload_part(Body=Body, **place)

    monkeypatch.setattr(client, "upload_part", recorded)
    data, blob = noise(4 * PART_BYTES + 4)
    store.put(io.BytesIO(data), sha256=blob.sha256, size=blob.size)
    assert lengths == [PART_BYTES + 1] * 4
    with store.open(blob.sha256) as found:
        assert found.read() == data


@pytest.mark.parametrize("announced", [True, False])
def test_a_large_stream_that_breaks_or_is_another_leaves_nothing(store, announced):
    data, blob = noise(2 * PART_BYTES)

    def broken():
        yield data
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        store.put(broken(), sha256=blob.sha256 if announced else None)
    with pytest.raises(BlobMismatch):
        store.put([data, b"more"], sha256=blob.sha256)
    assert list(store) == []
    assert unfinished(store) == []


def test_reading_forwards_with_gaps_is_one_request(store, monkeypatch):
    data, blob = noise(8 << 20)
    store.put([data])
    asked, get = [], store.bucket.client.get_object

    def get_object(**place):
        asked.append(place)
        return get(**place)

    monkeypatch.setattr(store.bucket.client, "get_object", get_object)
    with store.open(blob.sha256) as file:
        for start in range(0, 8 << 20, 1 << 20):
            file.seek(start + 1000)
            assert file.read(3) == data[start + 1000 : start + 1003]
        assert len(asked) == 1
        file.seek(5)
        assert file.read(3) == data[5:8]
    assert len(asked) == 2


def test_two_folders_of_a_bucket_do_not_see_each_other(bucket, store):
    blob = store.put([b"content"])
    other = S3BlobStore(bucket, "staging")
    assert list(other) == []
    other.put([b"content"])
    other.delete(blob.sha256)
    assert list(store) == [blob.sha256]


def test_a_signed_address_serves_ranges_under_the_headers_that_it_names(store):
    data, blob = noise(1000)
    store.put([data])
    link = store.link(
        blob.sha256,
        content_type="text/plain; charset=utf-8",
        disposition="inline; filename*=UTF-8''%E4%B8%AD.txt",
    )
    answer = httpx2.get(link, headers={"Range": "bytes=10-19"})
    assert (answer.status_code, answer.content) == (206, data[10:20])
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Content-Disposition"] == "inline; filename*=UTF-8''%E4%B8%AD.txt"


def test_links_name_the_address_that_clients_see(s3):
    settings = dataclasses.replace(new_bucket(s3), external_endpoint="https://files.example.org")
    link = S3BlobStore(Bucket(settings), "blobs").link(
        "0" * 64, content_type="text/plain", disposition="inline"
    )
    assert link is not None
    assert link.startswith(f"https://files.example.org/{settings.bucket}/hub/blobs/{'0' * 64}?")
    closed = dataclasses.replace(settings, redirect=False)
    assert S3BlobStore(Bucket(closed), "blobs").link("0" * 64, content_type="", disposition="") is None


def test_what_clients_send_gets_its_address_once_it_was_read_and_hashed(store):
    data, blob = noise(5000)
    link = store.upload_link("one", blob, seconds=60)
    assert httpx2.put(link, content=data).status_code == 200
    assert list(store) == []
    assert store.accept("one", blob)
    assert list(store) == [blob.sha256]
    assert unfinished(store) == []
    assert not store.accept("one", blob)


def test_the_signature_holds_length_and_checksum(store):
    """A real S3 refuses other bytes by these; moto does not, hence the reading back."""
    _, blob = noise(5000)
    link = httpx2.URL(store.upload_link("one", blob, seconds=60))
    assert link.params["X-Amz-SignedHeaders"] == "content-length;host"
    assert base64.b64decode(link.params["x-amz-checksum-sha256"]).hex() == blob.sha256
    other = store.upload_link("one", Blob("0" * 64, 5000), seconds=60)
    assert httpx2.URL(other).params["X-Amz-Signature"] != link.params["X-Amz-Signature"]


def test_other_bytes_than_announced_get_no_address(store):
    data, blob = noise(5000)
    httpx2.put(store.upload_link("one", blob, seconds=60), content=data[::-1])
    with pytest.raises(BlobMismatch):
        store.accept("one", blob)
    assert list(store) == []
    assert unfinished(store) == []


def test_parts_come_in_any_order_and_a_lost_one_again(store):
    data, blob = noise(11 << 20)
    size = 6 << 20
    upload = store.begin_parts("one")
    etags = {}
    for number, part in [(2, data[size:]), (1, data[:size][::-1]), (1, data[:size])]:
        answer = httpx2.put(store.part_link("one", upload, number, len(part), seconds=60), content=part)
        etags[number] = answer.headers["ETag"]
    with pytest.raises(Invalid):
        store.finish_parts("one", upload, [Part(1, etags[1]), Part(2, '"0"'), Part(3, '"0"')])
    parts = [Part(1, etags[1]), Part(2, etags[2])]
    store.finish_parts("one", upload, parts)
    store.finish_parts("one", upload, parts)
    assert store.accept("one", blob)
    assert store.stat(blob.sha256) == len(data)


def test_what_was_begun_and_left_is_cleared_when_it_is_old(store):
    data, blob = noise(5000)
    httpx2.put(store.upload_link("one", blob, seconds=60), content=data)
    store.begin_parts("two")
    kept = store.put([b"kept"])
    store.clear(datetime(2000, 1, 1, tzinfo=UTC))
    assert len(unfinished(store)) == 2
    store.clear(now() + timedelta(seconds=5))
    assert unfinished(store) == []
    assert list(store) == [kept.sha256]


def test_a_bucket_that_cannot_be_used_is_told_at_start(s3, bucket):
    bucket.check()
    with pytest.raises(SettingsError, match=r"cannot be written.*MODELCENTER_S3_ENDPOINT"):
        Bucket(dataclasses.replace(bucket.settings, bucket="no-such-bucket")).check()
    elsewhere = dataclasses.replace(bucket.settings, external_endpoint="http://127.0.0.1:9")
    with pytest.raises(SettingsError, match=r"127.0.0.1:9 .*MODELCENTER_S3_EXTERNAL_ENDPOINT"):
        Bucket(elsewhere).check()
    Bucket(dataclasses.replace(elsewhere, redirect=False)).check()


def test_settings_come_from_the_environment_and_go_on_to_the_job_worker():
    given = {
        "MODELCENTER_BLOBS": "s3://models/some/folder",
        "MODELCENTER_S3_ENDPOINT": "http://storage:9000/",
        "MODELCENTER_S3_EXTERNAL_ENDPOINT": "https://files.example.org",
        "MODELCENTER_S3_REDIRECT": "off",
    }
    found = S3Settings.from_environment(given)
    assert found == S3Settings(
        bucket="models",
        prefix="some/folder/",
        endpoint="http://storage:9000",
        external_endpoint="https://files.example.org",
        redirect=False,
    )
    assert S3Settings.from_environment(found.environment()) == found
    assert S3Settings.from_environment({}) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MODELCENTER_BLOBS", "https://models"),
        ("MODELCENTER_BLOBS", "s3://"),
        ("MODELCENTER_S3_ENDPOINT", "storage:9000"),
        ("MODELCENTER_S3_REDIRECT", "sometimes"),
    ],
)
def test_settings_that_cannot_work_name_the_variable(name, value):
    with pytest.raises(SettingsError, match=f"{name} is {value!r}; expected"):
        S3Settings.from_environment({"MODELCENTER_BLOBS": "s3://models", name: value})
