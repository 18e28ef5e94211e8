"""Searches that are killed, and searches that several processes share."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lungal.tuning.winner import read_best

TOY = """
import json, math, os, sys, time
from pathlib import Path
from lungal.params import SpaceParams, TrainParams, TuneParams
from lungal.tuning.study import search, write_trials

folder, trials, hang_in = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
heartbeat = int(sys.argv[4])

class Recorder:
    def log_metrics(self, metrics, step): pass
    def end(self, state): pass

def note(**fact):
    with (folder / "facts.jsonl").open("a") as file:
        file.write(json.dumps(fact | {"pid": os.getpid()}) + "\\n")

def fit(params, work, on_step):
    checkpoint = work / "checkpoint"
    start = int(checkpoint.read_text()) if checkpoint.exists() else 0
    note(rate=params.learning_rate, start=start)
    work.mkdir(parents=True, exist_ok=True)
    for step in range(start + 1, 4):
        time.sleep(0.05)
        on_step(step, {"val/weighted_ap": params.learning_rate * step})
        checkpoint.write_text(str(step))
        if hang_in == "fit" and step == 2 and not (folder / "hung").exists():
            (folder / "hung").touch()
            time.sleep(600)
    return {"val/weighted_ap": params.learning_rate * 3}

outcome = search(
    fit, TrainParams(), TuneParams(trials=trials, heartbeat_seconds=heartbeat), data="d",
    storage=f"sqlite:///{folder}/tuning/study.db", work=folder / "tuning/.trials",
    record=lambda number, key, chosen: Recorder(), on_trial=lambda done, total: None,
)
write_trials(folder / "tuning/trials.csv", outcome.trials)
outcome.winner.write(folder / "tuning/best.yaml")
"""


def start(
    folder: Path, trials: int, hang_in: str = "nothing", heartbeat: int = 1
) -> subprocess.Popen[bytes]:
    told = [str(folder), str(trials), hang_in, str(heartbeat)]
    return subprocess.Popen([sys.executable, "-c", TOY, *told])


def facts(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "facts.jsonl").read_text().splitlines()]


@pytest.mark.timeout(300)
def test_killed_search_goes_on_where_it_was(tmp_path: Path) -> None:
    killed = start(tmp_path, 3, hang_in="fit")
    while not (tmp_path / "hung").exists():
        assert killed.poll() is None
        time.sleep(0.05)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert {path.name for path in (tmp_path / "tuning").iterdir()} == {"study.db", ".trials"}

    assert start(tmp_path, 3).wait() == 0
    assert {path.name for path in (tmp_path / "tuning").iterdir()} == {
        "study.db",
        "trials.csv",
        "best.yaml",
    }
    first, *later = facts(tmp_path)
    retried = [fact for fact in later if fact["rate"] == first["rate"]]
    assert [fact["start"] for fact in retried] == [2]  # trained on from the killed one's checkpoint
    assert len(later) == 3
    rows = (tmp_path / "tuning/trials.csv").read_text().splitlines()
    assert len(rows) == 1 + 3
    assert read_best(tmp_path / "tuning/best.yaml").steps == 1500

    assert start(tmp_path, 3).wait() == 0
    assert len(facts(tmp_path)) == 4  # a finished search runs nothing


@pytest.mark.timeout(300)
def test_two_workers_share_a_study(tmp_path: Path) -> None:
    # Nobody dies here: on a busy machine a worker that breathes late must not be taken for dead.
    workers = [start(tmp_path, 8, heartbeat=30) for _ in range(2)]
    assert [worker.wait() for worker in workers] == [0, 0]
    rows = (tmp_path / "tuning/trials.csv").read_text().splitlines()
    assert len(rows) == 1 + 8
    trained = facts(tmp_path)
    assert len(trained) == 8
    assert {fact["pid"] for fact in trained} == {worker.pid for worker in workers}
