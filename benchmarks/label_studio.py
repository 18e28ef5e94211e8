"""A Label Studio for a benchmark, which ends with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lungal.annotation.server import LocalServer

ENVIRONMENT = Path(__file__).resolve().parents[1] / "servers" / "label-studio"


@contextmanager
def a_server(root: Path) -> Iterator[LocalServer]:
    """Run a Label Studio that keeps everything in a folder."""
    server = LocalServer(root, ENVIRONMENT)
    server.start(0)
    try:
        yield server
    finally:
        server.stop()
