"""Where MLflow is, and a client that does not wait for it."""

import logging
import os
import re
import socket
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from lungal.tracking.outbox import Away

if TYPE_CHECKING:
    from mlflow import MlflowClient

OUTBOX = Path("mlruns/outbox")
"""Where runs wait while MLflow is away, below a project's root."""

PROBE_SECONDS = 3.0
"""How long a server may take to accept a connection before it counts as away."""

MANNERS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0.2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
"""MLflow waits minutes by default. The outbox does the waiting, so that training need not."""


def tracking_uri(root: Path, environ: Mapping[str, str]) -> str:
    """Return MLFLOW_TRACKING_URI if set, else a database under the project's mlruns/."""
    return environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root.resolve()}/mlruns/mlflow.db"


def without_secrets(uri: str) -> str:
    """Return a URI fit for a message: no user, no password."""
    # A password may hold an @ or a slash that nobody escaped: cut up to the last @ of the word.
    return re.sub(r"(?<=:)//[^/\s'\"][^\s'\"]*@", "//", uri)


def connect(uri: str) -> "MlflowClient":
    """Return an MLflow client that gives up soon and keeps quiet.

    Raises:
        Away: if the server does not accept connections.
    """
    _probe(uri)
    for name, value in MANNERS.items():
        os.environ.setdefault(name, value)
    if uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    for chatty in ("mlflow", "alembic"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"mlflow\.")
    try:
        return MlflowClient(tracking_uri=uri)
    except MlflowException as error:
        raise Away(without_secrets(str(error))) from None


def _probe(uri: str) -> None:
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https"):
        return
    host = parts.hostname or ""
    if parts.scheme in getproxies() and not proxy_bypass(host):
        return  # the proxy reaches it, a socket of ours may not
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    try:
        socket.create_connection((host, port), PROBE_SECONDS).close()
    except OSError as error:
        raise Away(f"no connection to {host}:{port}: {error.strerror or error}") from None
