"""Waiting for what another process does."""

import subprocess
import time
from collections.abc import Callable

PATIENCE_SECONDS = 120.0


def wait_for(moment: Callable[[], object], process: "subprocess.Popen[bytes]") -> None:
    """Return when it has come; fail if the process ends before, or it takes minutes."""
    patience = time.monotonic() + PATIENCE_SECONDS
    while not moment():
        assert process.poll() is None, "it ended by itself"
        assert time.monotonic() < patience, "it never got there"
        time.sleep(0.05)
