"""Films in S3-compatible storage: for a team, whose browsers load them from there directly.

A task holds s3:// addresses. The server, which has credentials of its own, turns each into a
presigned https address whenever a member of the project opens the film; that runs out.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import httpx

from lungal.annotation.connection import answer_of
from lungal.annotation.hosting import Picture
from lungal.errors import ParamsError, ServerError

MINUTES = 15
"""How long a film's address works: longer than a look, shorter than a leaked link is useful."""

REFUSALS = frozenset(
    (httpx.codes.BAD_REQUEST, httpx.codes.FORBIDDEN, httpx.codes.INTERNAL_SERVER_ERROR)
)
"""How Label Studio answers when it cannot read a bucket: without credentials with a 500."""


class S3Bucket:
    """Puts pictures into a bucket and registers it with the project.

    Our credentials come from the environment, as boto3 finds them, and never reach the server.

    Args:
        bucket: its name.
        prefix: of all keys, without slashes at its ends; may be empty.
        endpoint: of storage that is not Amazon's; None: boto3's own choice.
        server_endpoint: the same storage as the server and the browsers reach it; None: what the
            server was started with (S3_ENDPOINT), or Amazon. Servers refuse private addresses
            that are given to them here.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        endpoint: str | None = None,
        server_endpoint: str | None = None,
    ) -> None:
        self.bucket, self.prefix = bucket, prefix.strip("/")
        self._endpoint, self._server_endpoint = endpoint, server_endpoint
        self._there: set[str] | None = None

    @cached_property
    def _client(self) -> Any:
        try:
            import boto3
        except ImportError:
            raise ParamsError("films in S3 need boto3: uv sync --extra s3") from None
        return boto3.client("s3", endpoint_url=self._endpoint)

    def publish(
        self, http: httpx.Client, project_id: int, pictures: Sequence[Picture]
    ) -> dict[Picture, str]:
        """Put pictures into the bucket that are not there yet; see Hosting.

        Raises:
            ServerError: if the bucket cannot be written, or the server cannot read it.
        """
        from botocore.exceptions import (
            BotoCoreError,
            ClientError,
        )

        try:
            addresses = {picture: self._address(picture) for picture in pictures}
        except (BotoCoreError, ClientError) as error:
            raise ServerError(f"s3://{self.bucket}: {' '.join(str(error).split())}") from None
        # The server refuses a prefix below which there is nothing, so the films come first.
        self._register(http, project_id)
        return addresses

    def _address(self, picture: Picture) -> str:
        key = "/".join(filter(None, [self.prefix, picture.hosted_name]))
        if self._there is None:
            self._there = self._list()
        if key not in self._there:
            kind = "image/png" if key.endswith(".png") else "image/jpeg"
            self._client.put_object(
                Bucket=self.bucket, Key=key, Body=picture.encoded(), ContentType=kind
            )
            self._there.add(key)
        return f"s3://{self.bucket}/{key}"

    def _list(self) -> set[str]:
        pages = self._client.get_paginator("list_objects_v2")
        below = {"Bucket": self.bucket, "Prefix": self.prefix}
        return {one["Key"] for page in pages.paginate(**below) for one in page.get("Contents", ())}

    def _register(self, http: httpx.Client, project_id: int) -> None:
        storage: dict[str, Any] = {
            "project": project_id,
            "bucket": self.bucket,
            "prefix": self.prefix,
            "s3_endpoint": self._server_endpoint or "",
        }
        found = answer_of(http.get("/api/storages/s3", params={"project": project_id}))
        if any(all((one.get(name) or "") == storage[name] for name in storage) for one in found):
            return
        blobs = {"use_blob_urls": True, "presign": True, "presign_ttl": MINUTES}
        made = http.post("/api/storages/s3", json=storage | blobs | {"title": "queued films"})
        if made.status_code in REFUSALS:
            raise ServerError(
                f"Label Studio cannot, or may not, read s3://{self.bucket}/{self.prefix}: start it "
                "with "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and S3_ENDPOINT, for storage that "
                "is not Amazon's) of its own in its environment"
            )
        answer_of(made)


def parse_address(address: str) -> tuple[str, str]:
    """Return bucket and prefix of s3://bucket/prefix.

    Raises:
        ParamsError: if it is no such address.
    """
    parts = urlsplit(address)
    if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment:
        raise ParamsError(f"{address!r} is no bucket; write s3://bucket/prefix")
    return parts.netloc, parts.path.strip("/")
