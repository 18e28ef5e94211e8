"""Films in a bucket: S3 as moto plays it, and a real Label Studio that presigns addresses."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer
from plugins.label_studio import fresh_project

from lungal.annotation.bucket import S3Bucket
from lungal.annotation.hosting import Picture
from lungal.annotation.server import LocalServer
from lungal.errors import ServerError
from lungal.testing import make_task

pytestmark = [pytest.mark.label_studio, pytest.mark.slow]

BUCKET = "films"


@pytest.fixture(scope="module")
def credentials() -> Iterator[None]:
    """Put credentials where boto3 finds them: in the environment and nowhere else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "reading-room")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-that-stays-here")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_CONFIG_FILE", "/dev/null")
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        yield


@pytest.fixture(scope="module")
def endpoint(credentials: None) -> Iterator[str]:
    """Return the address of an S3 server with one empty bucket."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    boto3.client("s3", endpoint_url=address).create_bucket(Bucket=BUCKET)
    yield address
    server.stop()


@pytest.fixture(scope="module")
def server(label_studio_home: Any, endpoint: str) -> Iterator[LocalServer]:
    """Return a running Label Studio that was started where the storage's variables are set."""
    home = label_studio_home()
    told = {"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "reading-room"}
    told |= {"AWS_SECRET_ACCESS_KEY": "a-secret-that-stays-here"}
    running = LocalServer(home.folder.parent, home.environment, home.variables | told)
    running.start(0)
    yield running
    running.stop()


def keys(endpoint: str) -> list[str]:
    listed = boto3.client("s3", endpoint_url=endpoint).list_objects_v2(Bucket=BUCKET)
    return [one["Key"] for one in listed.get("Contents", ())]


def test_readers_get_films_by_presigned_addresses(
    server: LocalServer, endpoint: str, films: dict[str, Path]
) -> None:
    names = list(films)[:3]
    tasks = [make_task(name, rank=rank) for rank, name in enumerate(names, start=1)]
    hosting = S3Bucket(BUCKET, "/round room/", endpoint=endpoint)
    with closing(replace(fresh_project(server, films), hosting=hosting)) as store:
        assert store.submit(tasks) == 3
        project = store.project_id()
        (storage,) = store.http.get("/api/storages/s3", params={"project": project}).json()
        assert (storage["presign"], storage["presign_ttl"], storage["use_blob_urls"]) == (
            True,
            15,
            True,
        )
        assert not storage.get("aws_access_key_id")
        assert not storage.get("aws_secret_access_key")

        # Once each, by pseudonym.
        replace(store, hosting=S3Bucket(BUCKET, "round room", endpoint=endpoint)).submit(tasks)
        stored = keys(endpoint)
        assert len(stored) == 9
        assert all(key.startswith("round room/film-") for key in stored)
        assert not any(name[:8] in key for key in stored for name in names)
        assert len(store.http.get("/api/storages/s3", params={"project": project}).json()) == 1

        shown = store.next_task(project or 0)
        assert shown is not None
        film = store.image_ids[shown["data"]["film"]]
        for view in ("image", "clahe", "inverted"):
            address = shown["data"][view]
            redirected = store.http.get(address)
            assert redirected.is_redirect
            presigned = redirected.headers["location"]
            assert presigned.startswith(endpoint)
            (seconds,) = parse_qs(urlsplit(presigned).query)["X-Amz-Expires"]
            assert int(seconds) == 15 * 60
            assert "a-secret-that-stays-here" not in presigned
            served = httpx.get(presigned)
            assert served.status_code == httpx.codes.OK
            if view == "image":
                assert served.content == films[film].read_bytes()
            stranger = httpx.get(httpx.URL(store.url).join(address))
            assert stranger.status_code in {401, 403}


def test_a_server_without_access_is_one_clear_line(
    label_studio_server: LocalServer, endpoint: str, films: dict[str, Path]
) -> None:
    hosting = S3Bucket(BUCKET, "x", endpoint=endpoint, server_endpoint=endpoint)
    with closing(replace(fresh_project(label_studio_server, films), hosting=hosting)) as store:
        with pytest.raises(ServerError, match="S3_ENDPOINT") as told:
            store.submit([make_task(next(iter(films)))])
        assert "secret" not in str(told.value).lower().replace("aws_secret_access_key", "")


def test_a_bucket_that_is_not_there_is_one_clear_line(
    endpoint: str, films: dict[str, Path]
) -> None:
    name, film = next(iter(films.items()))
    bucket = S3Bucket("nowhere", endpoint=endpoint)
    with httpx.Client() as http, pytest.raises(ServerError, match=r"s3://nowhere: .*NoSuchBucket"):
        bucket.publish(http, 1, [Picture(name, film)])
