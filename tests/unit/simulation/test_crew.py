"""Workers of a campaign do not outlive whoever started them."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

PARENT = """
import sys, time
from lungal.simulation.crew import _crew

def work(path):
    import os
    open(path, "w").write(str(os.getpid()))
    time.sleep(600)

if __name__ == "__main__":
    with _crew(1) as (pool, _):
        pool.submit(work, sys.argv[1])
        time.sleep(600)
"""
PATIENCE_SECONDS = 60


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_leaves_with_its_parent(tmp_path: Path, how: signal.Signals) -> None:
    script, said = tmp_path / "parent.py", tmp_path / "pid"
    script.write_text(PARENT, encoding="utf-8")
    parent = subprocess.Popen([sys.executable, str(script), str(said)])
    try:
        assert _wait_for(lambda: said.exists() and said.read_text()), "the worker never began"
        worker = int(said.read_text())
        assert _lives(worker)
    finally:
        parent.send_signal(how)
        parent.wait()
    assert _wait_for(lambda: not _lives(worker)), "the worker goes on without its parent"


def _lives(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return status.rsplit(")", 1)[1].split()[0] != "Z"  # nobody may be there to bury it


def _wait_for(condition: Callable[[], object]) -> bool:
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.1)
    return False
