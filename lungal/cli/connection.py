"""Which Label Studio a command talks to, with which token, and how films get to it."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from lungal.annotation.bucket import S3Bucket, parse_address
from lungal.annotation.hosting import Hosting, LocalFiles, Uploads
from lungal.annotation.label_studio import LabelStudio
from lungal.annotation.pseudonyms import Pseudonyms, load_pseudonyms
from lungal.annotation.server import LocalServer
from lungal.cli.project import ROOT
from lungal.errors import ServerError, TokenError
from lungal.records import OnProgress

logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs a line for each request

Url = Annotated[
    str | None,
    typer.Option(
        envvar="LABEL_STUDIO_URL",
        help="Address of a Label Studio elsewhere; without it, this project's local server.",
    ),
]

Bucket = Annotated[
    str | None,
    typer.Option(
        envvar="LUNGAL_S3",
        help="s3://bucket/prefix to show films from; without it, a folder of the local server, or "
        "uploads. Credentials come from the environment (AWS_*), on both sides.",
    ),
]


@dataclass(frozen=True)
class Connection:
    """A server, our token for it, and how films get to it.

    Args:
        url: of the server.
        token: of either kind.
        hosting: how films get there.
        folder: the local server's, where the key for pseudonyms lies; None: a server elsewhere.
    """

    url: str
    token: str = field(repr=False)
    hosting: Hosting
    folder: Path | None = None

    @property
    def pseudonyms(self) -> Pseudonyms:
        """What films and readers are called on this server and in the log.

        Raises:
            PseudonymError: if there is no key for them.
        """
        return load_pseudonyms(self.folder, os.environ)

    def project(
        self,
        title: str,
        films: Mapping[str, Path] | None = None,
        on_progress: OnProgress | None = None,
    ) -> LabelStudio:
        """Return one of the server's projects; see LabelStudio.

        Raises:
            PseudonymError: if there is no key for pseudonyms.
        """
        return LabelStudio(
            self.url,
            self.token,
            title,
            films or {},
            self.hosting,
            on_progress or (lambda _done, _total: None),
            pseudonyms=self.pseudonyms,
        )


def connect(url: str | None, s3: str | None = None) -> Connection:
    """Find the server: the address given, else the local server if it runs.

    The token is LABEL_STUDIO_API_KEY; the local server's own is known without it. Films go to the
    bucket that is given; else they are copied to the local server's folder, and uploaded to any
    other.

    Args:
        url: of a server elsewhere.
        s3: s3://bucket/prefix.

    Raises:
        ServerError: if no address is given and the local server does not run.
        TokenError: if there is no token for a server elsewhere.
        ParamsError: if the bucket is no s3:// address.
    """
    server = LocalServer(ROOT)
    local = server.status()
    if url is None and local is None:
        raise ServerError(
            "no Label Studio runs here; start one with `lungal label-studio start`, or give the "
            "address of another with --url or LABEL_STUDIO_URL"
        )
    if local is not None and (url is None or url.rstrip("/") == local.url):
        token = server.credentials().token
        # It was started with our environment, and so knows the storage's address from there.
        hosting = _bucket(s3, None) if s3 else LocalFiles(server.document_root)
        return Connection(local.url, token, hosting, server.folder)
    token = os.environ.get("LABEL_STUDIO_API_KEY", "").strip()
    if not token:
        raise TokenError(f"no token for Label Studio at {url}; set LABEL_STUDIO_API_KEY")
    seen_there = os.environ.get("LUNGAL_S3_SERVER_ENDPOINT", _endpoint())
    return Connection(str(url).rstrip("/"), token, _bucket(s3, seen_there) if s3 else Uploads())


def _bucket(address: str, server_endpoint: str | None) -> S3Bucket:
    bucket, prefix = parse_address(address)
    return S3Bucket(bucket, prefix, endpoint=_endpoint(), server_endpoint=server_endpoint)


def _endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
