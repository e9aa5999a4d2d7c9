"""Blobs in a bucket of S3, or of what speaks as it does, shared by any number of machines.

`PREFIXblobs/SHA256` is a whole blob; `PREFIXblobs-arriving/…` is what clients send straight to the bucket,
`PREFIXblobs-damaged/SHA256` what was found to be damaged. boto3 makes the calls, botocore the signatures.
"""

from __future__ import annotations

import base64
import contextlib
import io
import math
import secrets
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import IO, Any, BinaryIO, cast
from urllib.parse import urlencode

import boto3
import botocore
import httpx2
from boto3.s3.transfer import TransferConfig
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from modelcenter.errors import BlobMismatch, BlobNotFound, Invalid, SettingsError
from modelcenter.registry.blobs.interface import CHUNK, Blob, Part, Source, address, hashed
from modelcenter.settings import S3Settings

PART_BYTES = 5 << 20  # of an upload, which holds one of them; S3 takes no fewer but in the last
PARTS = 10_000  # the most that S3 takes
SKIPPED = 1 << 20  # bytes that are read and dropped rather than asked past
ATTEMPTS = 3  # to go on reading where a connection broke
LINK_SECONDS = 3600  # until which a download from a signed address must have begun
# One request copies up to 5 GB; the ten threads of the default would copy in parts of 8 MB.
COPYING = TransferConfig(multipart_threshold=5 * 10**9, multipart_chunksize=10**9, max_concurrency=4)
MISSING = frozenset({"404", "NoSuchKey", "NotFound"})


class Bucket:
    """A bucket as the hub uses it, and as clients see it: their address may be another."""

    def __init__(self, settings: S3Settings) -> None:
        self.settings, self.name, self.prefix = settings, settings.bucket, settings.prefix
        self._session = boto3.session.Session(region_name=settings.region)
        self.client = self._client(
            settings.endpoint,
            # Every request says the SHA-256 of its body, which all servers check: bytes arrive as they were
            # hashed. Newer checksums are not known everywhere.
            s3={"payload_signing_enabled": True},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            max_pool_connections=64,
            read_timeout=300,  # some storages copy and put together before they answer
            retries={"mode": "standard", "total_max_attempts": 5},
        )
        self._outside = self._client(
            settings.external_endpoint or settings.endpoint, signature_version=botocore.UNSIGNED
        )

    def _client(self, endpoint: str | None, **config: Any) -> Any:
        return self._session.client("s3", endpoint_url=endpoint, config=Config(**config))

    def signed(
        self,
        operation: str,
        method: str,
        key: str,
        *,
        parameters: Mapping[str, object] | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        seconds: int,
    ) -> str:
        """An address at which a client may do this one thing for so many seconds.

        What has to be enforced is in the signed `query`, for clients of the LFS protocol send no headers of
        ours; `headers` are those that every client sends.
        """
        url = self._outside.generate_presigned_url(
            operation, Params={"Bucket": self.name, "Key": key, **(parameters or {})}
        )
        if query:
            url += ("&" if "?" in url else "?") + urlencode(query)
        request = AWSRequest(method, url, headers=dict(headers or {}))
        credentials = self._session.get_credentials()
        S3SigV4QueryAuth(credentials, "s3", self.client.meta.region_name, expires=seconds).add_auth(request)
        return cast("str", request.url)

    def check(self) -> None:
        """Writes and reads an object, also at the address clients see. Raises SettingsError."""
        key, content = f"{self.prefix}probe", secrets.token_bytes(16)
        where = f"The bucket {self.name} at {self.client.meta.endpoint_url}"
        try:
            self.client.put_object(Bucket=self.name, Key=key, Body=content)
        except (BotoCoreError, ClientError) as error:
            raise SettingsError(
                f"{where} cannot be written: {error}. Is MODELCENTER_S3_ENDPOINT right, does the "
                "bucket exist, and may these credentials use it?"
            ) from error
        if not self.settings.redirect:
            return
        link = self.signed("get_object", "GET", key, seconds=60)
        outside = self._outside.meta.endpoint_url
        try:
            answer = httpx2.get(link, timeout=10)
        except httpx2.HTTPError as error:
            found = f"it does not answer ({error})"
        else:
            if answer.content == content:
                return
            found = f"it answers {answer.status_code} to a signed address: {answer.text[:200]!r}"
        raise SettingsError(
            f"Clients would be sent to {outside} for the files in {self.name}, but {found}. Set "
            "MODELCENTER_S3_EXTERNAL_ENDPOINT to the address of the storage as clients see it, or "
            "MODELCENTER_S3_REDIRECT=off to send all bytes through this hub."
        )


class S3BlobStore:
    """One folder of a bucket that keeps the promises of BlobStore."""

    def __init__(self, bucket: Bucket, folder: str) -> None:
        self.bucket, self._client = bucket, bucket.client
        self._whole = f"{bucket.prefix}{folder}/"
        self._arriving = f"{bucket.prefix}{folder}-arriving/"
        self._damaged = f"{bucket.prefix}{folder}-damaged/"

    def put(self, stream: Source, *, sha256: str | None = None, size: int | None = None) -> Blob:
        """Streams in parts, of which nothing shows until they are put together: see BlobStore."""
        # Where its address is known the object is put together there, else elsewhere and then copied.
        key = self._key(sha256) if sha256 is not None else self._arriving + secrets.token_hex(16)
        with _Upload(self._client, self.bucket.name, key, size) as upload:
            blob = hashed(stream, upload.write, sha256, size)
            if upload.is_small:
                self._client.put_object(
                    Bucket=self.bucket.name, Key=self._key(blob.sha256), Body=upload.rest()
                )
                return blob
            upload.finish()
        if sha256 is None:
            self._move(key, self._key(blob.sha256))
        return blob

    def open(self, sha256: str) -> BinaryIO:
        """The object, read as a stream from wherever one seeks to: see BlobStore."""
        head = self._head(sha256)
        raw = _Remote(self._client, self.bucket.name, self._key(sha256), head["ContentLength"], head["ETag"])
        return io.BufferedReader(raw, CHUNK)

    def path(self, sha256: str) -> None:
        """None, for what is there: see BlobStore."""
        self._head(sha256)

    def stat(self, sha256: str) -> int:
        """The blob's size in bytes: see BlobStore."""
        return cast("int", self._head(sha256)["ContentLength"])

    def delete(self, sha256: str) -> None:
        """Removes the object: see BlobStore."""
        self._client.delete_object(Bucket=self.bucket.name, Key=self._key(sha256))

    def quarantine(self, sha256: str) -> None:
        """Moves the object out of reach: see BlobStore."""
        self._head(sha256)
        self._move(self._key(sha256), self._damaged + sha256)

    def link(self, sha256: str, *, content_type: str, disposition: str) -> str | None:
        """A signed address of the object: see BlobStore."""
        if not self.bucket.settings.redirect:
            return None
        return self.bucket.signed(
            "get_object",
            "GET",
            self._key(sha256),
            parameters={
                "ResponseContentType": content_type,
                "ResponseContentDisposition": disposition,
                "ResponseCacheControl": "private, no-cache",
            },
            seconds=LINK_SECONDS,
        )

    def __iter__(self) -> Iterator[str]:
        for item in self._list(self._whole):
            yield item["Key"].removeprefix(self._whole)

    # --- what clients send to the bucket themselves: DirectStore

    @property
    def takes_uploads(self) -> bool:
        """Whether clients may be sent to the bucket: see DirectStore."""
        return self.bucket.settings.redirect

    def upload_link(self, name: str, blob: Blob, *, seconds: int) -> str:
        """An address for a PUT of 5 GB at most: see DirectStore."""
        checksum = base64.b64encode(bytes.fromhex(address(blob.sha256))).decode()
        return self.bucket.signed(
            "put_object",
            "PUT",
            self._arriving + name,
            query={"x-amz-checksum-sha256": checksum},
            headers={"Content-Length": str(blob.size)},
            seconds=seconds,
        )

    def begin_parts(self, name: str) -> str:
        """S3's id of the upload: see DirectStore."""
        begun = self._client.create_multipart_upload(Bucket=self.bucket.name, Key=self._arriving + name)
        return cast("str", begun["UploadId"])

    def part_link(self, name: str, upload: str, number: int, size: int, *, seconds: int) -> str:
        """An address for a PUT: see DirectStore."""
        return self.bucket.signed(
            "upload_part",
            "PUT",
            self._arriving + name,
            parameters={"UploadId": upload, "PartNumber": number},
            headers={"Content-Length": str(size)},
            seconds=seconds,
        )

    def finish_parts(self, name: str, upload: str, parts: Sequence[Part]) -> None:
        """Completes the upload: see DirectStore."""
        try:
            _complete(self._client, self.bucket.name, self._arriving + name, upload, parts)
        except ClientError as error:
            if _code(error) == "NoSuchUpload" and self._has_arrived(name):
                return  # the answer to the first completion was lost
            raise Invalid(f"The parts cannot be put together: {error}. Send them again.") from error

    def accept(self, name: str, blob: Blob) -> bool:
        """Reads it back, hashes and copies it: see DirectStore."""
        key = self._arriving + name
        try:
            found = self._client.get_object(Bucket=self.bucket.name, Key=key)
        except ClientError as error:
            if _code(error) in MISSING:
                return False
            raise
        try:
            with contextlib.closing(found["Body"]) as body:
                hashed(body.iter_chunks(CHUNK), lambda _: None, blob.sha256, blob.size)
        except BlobMismatch:
            self._client.delete_object(Bucket=self.bucket.name, Key=key)
            raise
        # Whoever overwrites it between the reading and here changes its ETag.
        self._move(key, self._key(blob.sha256), found["ETag"])
        return True

    def clear(self, before: datetime) -> None:
        """Also uploads of our own that a crash left: see DirectStore."""
        for item in self._list(self._arriving):
            if item["LastModified"] < before:
                self._client.delete_object(Bucket=self.bucket.name, Key=item["Key"])
        for prefix in (self._whole, self._arriving):
            pages = self._client.get_paginator("list_multipart_uploads")
            for page in pages.paginate(Bucket=self.bucket.name, Prefix=prefix):
                for upload in page.get("Uploads", ()):
                    if upload["Initiated"] < before:
                        _abort(self._client, self.bucket.name, upload["Key"], upload["UploadId"])

    def _key(self, sha256: str) -> str:
        return self._whole + address(sha256)

    def _head(self, sha256: str) -> dict[str, Any]:
        try:
            return cast(
                "dict[str, Any]", self._client.head_object(Bucket=self.bucket.name, Key=self._key(sha256))
            )
        except ClientError as error:
            if _code(error) in MISSING:
                raise BlobNotFound(sha256) from None
            raise

    def _has_arrived(self, name: str) -> bool:
        return any(item["Key"] == self._arriving + name for item in self._list(self._arriving + name))

    def _list(self, prefix: str) -> Iterator[dict[str, Any]]:
        pages = self._client.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self.bucket.name, Prefix=prefix):
            yield from page.get("Contents", ())

    def _move(self, source: str, target: str, etag: str | None = None) -> None:
        """Copies an object inside the bucket, in parts where it is large, and removes the first."""
        condition = {"CopySourceIfMatch": etag} if etag else {}
        self._client.copy(
            {"Bucket": self.bucket.name, "Key": source},
            self.bucket.name,
            target,
            ExtraArgs=condition,
            Config=COPYING,
        )
        self._client.delete_object(Bucket=self.bucket.name, Key=source)


class _Upload:
    """An object: a small one waits in memory, a larger one leaves in parts, aborted unless done."""

    def __init__(self, client: Any, bucket: str, key: str, size: int | None) -> None:
        self._client, self._bucket, self._key = client, bucket, key
        self._part_bytes = max(PART_BYTES, math.ceil((size or 0) / PARTS))
        self._grows = size is None
        self._pending, self._length = bytearray(), 0
        self._parts: list[Part] = []
        self._upload: str | None = None

    def __enter__(self) -> _Upload:
        return self

    def __exit__(self, *_: object) -> None:
        if self._upload is not None:
            _abort(self._client, self._bucket, self._key, self._upload)

    @property
    def is_small(self) -> bool:
        """Whether all of it still waits."""
        return self._upload is None

    def write(self, data: bytes) -> None:
        """The next bytes."""
        rest = memoryview(data)
        while rest:
            if self._length == len(self._pending):
                self._next()
            length = min(len(rest), len(self._pending) - self._length)
            with memoryview(self._pending) as pending:
                pending[self._length : self._length + length] = rest[:length]
            self._length += length
            rest = rest[length:]

    def rest(self) -> bytearray:
        """What waits; ends the writing."""
        del self._pending[self._length :]
        return self._pending

    def finish(self) -> None:
        """Sends the rest and puts the parts together."""
        self._send(self.rest())
        assert self._upload is not None
        _complete(self._client, self._bucket, self._key, self._upload, self._parts)
        self._upload = None

    def _next(self) -> None:
        """Sends what waits, a whole part. The next is written over it: what waits never moves or grows."""
        if self._length:
            self._send(self._pending)
        # Of an unknown size: larger parts later on. Ten thousand of them hold 5 TB, the first are small.
        length = self._part_bytes << (len(self._parts) * 10 // PARTS if self._grows else 0)
        if length != len(self._pending):
            self._pending = bytearray()  # gone before the new one comes
            self._pending = bytearray(length)
        self._length = 0

    def _send(self, data: bytearray) -> None:
        place = {"Bucket": self._bucket, "Key": self._key}
        if self._upload is None:
            self._upload = self._client.create_multipart_upload(**place)["UploadId"]
        number = len(self._parts) + 1
        sent = self._client.upload_part(**place, UploadId=self._upload, PartNumber=number, Body=data)
        self._parts.append(Part(number, sent["ETag"]))


class _Remote(io.RawIOBase):
    """An object as a seekable file: one streaming request for as long as it is read in order."""

    def __init__(self, client: Any, bucket: str, key: str, size: int, etag: str) -> None:
        self._client, self._place = client, {"Bucket": bucket, "Key": key}
        self._size, self._etag = size, etag
        self._position = self._streamed = 0
        self._body: IO[bytes] | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = start + offset
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        length = min(len(buffer), self._size - self._position)
        if length <= 0:
            return 0
        for attempt in range(ATTEMPTS):
            try:
                data = self._stream().read(length)
            except (BotoCoreError, OSError):
                data = b""
                if attempt == ATTEMPTS - 1:
                    raise
            if data:
                buffer[: len(data)] = data
                self._position += len(data)
                self._streamed = self._position
                return len(data)
            self._hang_up()  # cut short: go on in another request
        raise OSError(f"{self._place['Key']} ends at byte {self._position} of {self._size}.")

    def close(self) -> None:
        self._hang_up()
        super().close()

    def _stream(self) -> IO[bytes]:
        if self._body is not None and 0 < self._position - self._streamed <= SKIPPED:
            self._streamed += len(self._body.read(self._position - self._streamed))
        if self._position != self._streamed:
            self._hang_up()
        if self._body is None:
            found = self._client.get_object(
                **self._place, Range=f"bytes={self._position}-", IfMatch=self._etag
            )
            self._body, self._streamed = found["Body"], self._position
        return self._body

    def _hang_up(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None


def _complete(client: Any, bucket: str, key: str, upload: str, parts: Sequence[Part]) -> None:
    listed = [{"PartNumber": part.number, "ETag": part.etag} for part in parts]
    client.complete_multipart_upload(
        Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": listed}
    )


def _abort(client: Any, bucket: str, key: str, upload: str) -> None:
    with contextlib.suppress(BotoCoreError, ClientError):  # what stays is cleared when it is old
        client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)


def _code(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])
