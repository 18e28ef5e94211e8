"""Which Label Studio a command talks to, and with which token."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from lungal.annotation.hosting import Hosting, LocalFiles, Uploads
from lungal.annotation.label_studio import LabelStudio, OnProgress
from lungal.annotation.server import LocalServer
from lungal.errors import ServerError, TokenError

ROOT = Path()

logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs a line for each request

Url = Annotated[
    str | None,
    typer.Option(
        envvar="LABEL_STUDIO_URL",
        help="Address of a Label Studio elsewhere; without it, this project's local server.",
    ),
]


@dataclass(frozen=True)
class Connection:
    """A server, our token for it, and how films get to it."""

    url: str
    token: str = field(repr=False)
    hosting: Hosting

    def project(
        self,
        title: str,
        films: Mapping[str, Path] | None = None,
        on_progress: OnProgress | None = None,
    ) -> LabelStudio:
        """Return one of the server's projects; see LabelStudio."""
        told = on_progress or (lambda _done, _total: None)
        return LabelStudio(self.url, self.token, title, films or {}, self.hosting, told)


def connect(url: str | None) -> Connection:
    """Find the server: the address given, else the local server if it runs.

    The token is LABEL_STUDIO_API_KEY; the local server's own is known without it. Films are copied
    to the local server's folder, and uploaded to any other.

    Raises:
        ServerError: if no address is given and the local server does not run.
        TokenError: if there is no token for a server elsewhere.
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
        return Connection(local.url, token, LocalFiles(server.document_root))
    token = os.environ.get("LABEL_STUDIO_API_KEY", "").strip()
    if not token:
        raise TokenError(f"no token for Label Studio at {url}; set LABEL_STUDIO_API_KEY")
    return Connection(str(url).rstrip("/"), token, Uploads())
