"""SIGKILL in the middle of records: nothing half-written is taken for a result."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from plugins.waiting import wait_for

from lungal.data.tfrecords import read_records, shard_paths
from lungal.errors import StageOrderError
from pipelines import label, records, split
from pipelines.stage import PATHS

ROOT = Path(__file__).parents[3]
STALLING = """
import itertools, time
import lungal.data.films as films

read, seen = films.read_pixels, itertools.count()

def stall(path):
    if next(seen) >= 6:
        time.sleep(600)
    return read(path)

films.read_pixels = stall
from pipelines import records
records.main(["train"])
"""


def test_a_killed_stage_leaves_no_result_and_the_next_run_starts_over(project):
    assert split.main([]) == 0
    assert label.main([]) == 0
    with subprocess.Popen(
        [sys.executable, "-c", STALLING],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            wait_for(lambda: list(PATHS.records.glob(".train.*/0*")), process)
        finally:
            process.kill()
    assert process.returncode == -9
    assert not (PATHS.records / "train").exists()
    with pytest.raises(StageOrderError, match="`records@train`"):
        list(read_records(PATHS.records / "train"))

    assert records.main(["train"]) == 0
    assert len(list(read_records(PATHS.records / "train"))) == 12
    assert len(shard_paths(PATHS.records / "train")) == 3
