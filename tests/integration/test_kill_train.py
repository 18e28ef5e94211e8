"""A training that is killed, and killed again while it exports, is completed by the next run."""

import json
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from plugins.trainable_project import PATHS, ROUND, lay_out, start_training

from lungal.data.learnt_from import read_learnt_from
from lungal.params import ModelParams, TrainParams

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

STEPS = 60
WORK = Path("models/.training/train")
PROGRESS = WORK / "progress.json"


@dataclass(frozen=True)
class Killed:
    """A project whose training was killed twice and then left alone.

    Attributes:
        first: progress.json after the first kill.
        second: the same after the second.
        whole_too_soon: whether a model folder was there after a kill.
        code: of the third run.
        steps: of the points of MLflow's loss curve, in the order in which they were logged.
    """

    folder: Path
    first: dict[str, Any]
    second: dict[str, Any]
    whole_too_soon: bool
    code: int
    client: Any

    def steps(self, name: str) -> list[int]:
        (run,) = self.runs()
        return sorted(p.step for p in self.client.get_metric_history(run.info.run_id, name))

    def runs(self) -> list[Any]:
        (experiment,) = self.client.search_experiments(filter_string="name = 'lungal'")
        return list(self.client.search_runs([experiment.experiment_id]))


@pytest.fixture(scope="module")
def killed(
    tiny_records: Path,
    tiny_model: ModelParams,
    tiny_train: TrainParams,
    tmp_path_factory: pytest.TempPathFactory,
) -> Killed:
    from mlflow import MlflowClient

    home = tmp_path_factory.mktemp("killed")
    train = tiny_train.model_copy(update={"steps": STEPS, "patience": STEPS})
    folder = lay_out(home / "project", tiny_records, tiny_model, train)
    model, log = folder / PATHS.model, home / "log.txt"

    saved = folder / WORK / "latest" / "checkpoint"
    kill_once(folder, log, lambda: bool(validations(folder)) and saved.exists())
    first, too_soon = progress(folder), model.exists()
    kill_once(folder, log, lambda: any(model.parent.glob(".detector.*/saved_model")))
    second, too_soon = progress(folder), too_soon or model.exists()
    code = start_training(folder, log).wait()
    assert code == 0, log.read_text()[-4000:]
    client = MlflowClient(tracking_uri=f"sqlite:///{folder}/mlruns/mlflow.db")
    return Killed(folder, first, second, too_soon, code, client)


def kill_once(folder: Path, log: Path, moment: Callable[[], bool]) -> None:
    """Start the training and kill it at a moment."""
    process = start_training(folder, log)
    try:
        while not moment():
            assert process.poll() is None, log.read_text()[-4000:]
            time.sleep(0.01)
    finally:
        process.kill()
        code = process.wait()
    assert code == -signal.SIGKILL


def progress(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / PROGRESS).read_text())
    return read


def validations(folder: Path) -> dict[str, Any]:
    return progress(folder)["validations"] if (folder / PROGRESS).exists() else {}


def test_it_went_on_from_its_last_checkpoint(killed: Killed) -> None:
    assert not killed.first["finished"]
    done = max(map(int, killed.first["validations"]))
    assert done < STEPS
    losses = killed.steps("train/total_loss")
    assert losses[-1] == STEPS
    assert sorted(map(int, killed.second["validations"])) == list(range(10, STEPS + 1, 10))
    early = [step for step in losses if step <= done]
    assert early == list(range(10, done + 1, 10)), "what a checkpoint holds was trained again"


def test_a_finished_training_is_exported_without_training_again(killed: Killed) -> None:
    assert killed.second["finished"]
    assert killed.steps("train/total_loss").count(STEPS) == 1


def test_no_half_written_model_was_taken_for_whole(killed: Killed) -> None:
    assert not killed.whole_too_soon
    model = killed.folder / PATHS.model
    run = json.loads((model / "run.json").read_text())
    assert run["round"] == ROUND, "that of the labels, however far the log is by now"
    assert run["model_version"].startswith(f"r{ROUND}-")
    assert run["best_step"] in range(10, STEPS + 1, 10)
    parts = {"pipeline.config", "label_map.pbtxt", "checkpoint", "saved_model", "run.json"}
    assert {path.name for path in model.iterdir()} == parts | {"learnt_from.json"}
    assert not (killed.folder / PROGRESS).exists(), "the checkpoints are no longer needed"


def test_the_model_knows_whom_it_learnt_from(killed: Killed) -> None:
    learnt = read_learnt_from(killed.folder / PATHS.model)
    assert learnt is not None
    assert (len(learnt.films), len(learnt.patients)) == (24, 24), "of train and of val"
    assert learnt.knows("00000023_000", "another patient")
    assert learnt.knows("another film", "00000000")
    assert not learnt.knows("00000024_000", "00000024")


def test_the_round_is_one_run_and_one_model(killed: Killed) -> None:
    (run,) = killed.runs()
    assert run.info.status == "FINISHED"
    (version,) = killed.client.search_model_versions("name = 'lungal-detector'")
    assert version.run_id == run.info.run_id
