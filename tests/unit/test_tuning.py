"""The search on an analytic objective: a toy training that takes no time."""

import functools
import math
import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pandas as pd
import pytest

from lungal.errors import DetectorError, DivergedError, ServerError, StageOrderError
from lungal.params import SpaceParams, TrainParams, TuneParams
from lungal.tuning.space import PLACES, baseline, change, shorten, suggest
from lungal.tuning.study import Outcome, search, study_name, write_trials
from lungal.tuning.winner import Winner, read_best
from lungal.tuning.worker import BEATS, OBJECTIVE, OnStep, Worker

BASE = TrainParams(steps=1000, warmup_steps=100, learning_rate=1e-3, seed=4)
ALONE = dict.fromkeys(SpaceParams.model_fields)
SPACE = SpaceParams(**ALONE | {"learning_rate": (1e-4, 1e-2)})


def quality(params: TrainParams) -> float:
    """Return an AP that is best at a learning rate of 3e-3."""
    return math.exp(-abs(math.log10(params.learning_rate / 3e-3)))


class ToyTrainer:
    """Learns along a line up to its quality; remembers what it was asked."""

    def __init__(self, quality: Callable[[TrainParams], float] = quality) -> None:
        self.quality = quality
        self.asked: list[TrainParams] = []
        self.steps: list[int] = []
        self.work: list[Path] = []

    def fit(self, params: TrainParams, work: Path, on_step: OnStep) -> dict[str, float]:
        work.mkdir(parents=True, exist_ok=True)
        (work / "checkpoint").write_text("half done")
        self.asked.append(params)
        self.work.append(work)
        self.steps.append(0)
        for step in range(params.validate_every, params.steps + 1, params.validate_every):
            self.steps[-1] = step
            on_step(step, {"loss": 1 / step})
            on_step(step, {OBJECTIVE: self.quality(params) * step / params.steps})
        return {OBJECTIVE: self.quality(params), "best_step": params.steps}


class Log:
    """Stands for the nested runs of MLflow."""

    def __init__(self) -> None:
        self.states: dict[int, str] = {}
        self.points: dict[int, list[int]] = {}
        self.keys: list[str] = []

    def record(self, number: int, key: str, chosen: Mapping[str, Any]) -> "TrialLog":
        self.keys.append(key)
        self.points[number] = []
        return TrialLog(self, number)


class TrialLog:
    def __init__(self, log: Log, number: int) -> None:
        self.log, self.number = log, number

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        self.log.points[self.number].append(step)

    def end(self, state: str) -> None:
        self.log.states[self.number] = state


@functools.cache
def empty_storage() -> bytes:
    """Return an SQLite file with Optuna's tables: making them takes longer than a search."""
    with tempfile.TemporaryDirectory() as folder:
        optuna.storages.RDBStorage(f"sqlite:///{folder}/study.db").remove_session()
        return Path(folder, "study.db").read_bytes()


def run(folder: Path, toy: ToyTrainer, trials: int, **changes: Any) -> tuple[Outcome, Log]:
    log = Log()
    data = changes.pop("data", "data-1")
    train = changes.pop("train", BASE)
    storage = folder / "tuning" / "study.db"
    if trials and not storage.exists():
        storage.parent.mkdir(parents=True)
        storage.write_bytes(empty_storage())
    given = {"space": SPACE, "steps": 60, "validate_every": 20, "heartbeat_seconds": 60}
    outcome = search(
        toy.fit,
        train,
        TuneParams(trials=trials, **given | changes),
        data=data,
        storage=f"sqlite:///{storage}",
        work=folder / "tuning" / ".trials",
        record=log.record,
        on_trial=lambda done, total: None,
    )
    return outcome, log


def test_first_trial_is_the_parameters_as_they_stand(tmp_path: Path) -> None:
    toy = ToyTrainer()
    outcome, _ = run(tmp_path, toy, 1)
    assert toy.asked[0] == BASE.model_copy(
        update={"steps": 60, "warmup_steps": 6, "validate_every": 20}
    )
    assert outcome.winner.train == BASE
    assert outcome.winner.value == pytest.approx(quality(BASE))


def test_winner_beats_the_start_and_keeps_the_long_trainings_steps(tmp_path: Path) -> None:
    outcome, log = run(tmp_path, ToyTrainer(), 8)
    assert outcome.winner.value is not None
    assert outcome.winner.value > quality(BASE)
    best = outcome.trials.loc[outcome.trials["value"].idxmax()]
    assert outcome.winner.train.learning_rate == best["learning_rate"]
    assert outcome.winner.train.model_copy(update={"learning_rate": BASE.learning_rate}) == BASE
    assert sorted(log.states) == outcome.trials["number"].tolist() == list(range(8))
    assert not (tmp_path / "tuning/.trials").exists()


def test_start_wins_where_nothing_is_better(tmp_path: Path) -> None:
    outcome, _ = run(tmp_path, ToyTrainer(lambda params: 0.5), 4)
    assert (outcome.winner.trial, outcome.winner.train) == (0, BASE)


def test_hopeless_trials_are_pruned_at_their_first_validation(tmp_path: Path) -> None:
    toy = ToyTrainer()
    ranks = {0: 0.9, 1: 0.8}
    toy.quality = lambda params: ranks.get(len(toy.asked) - 1, 0.1)
    outcome, log = run(tmp_path, toy, 5)
    assert outcome.trials["state"].tolist() == ["COMPLETE"] * 2 + ["PRUNED"] * 3
    assert toy.steps == [60, 60, 20, 20, 20]
    assert log.states == {0: "COMPLETE", 1: "COMPLETE", 2: "PRUNED", 3: "PRUNED", 4: "PRUNED"}
    assert log.points[4] == [20, 20]
    assert outcome.winner.trial == 0


def test_search_taken_up_again_ends_as_the_unbroken_one(tmp_path: Path) -> None:
    whole, _ = run(tmp_path / "whole", ToyTrainer(), 6)
    run(tmp_path / "broken", ToyTrainer(), 2)
    toy = ToyTrainer()
    resumed, _ = run(tmp_path / "broken", toy, 6)
    assert len(toy.asked) == 4
    pd.testing.assert_frame_equal(resumed.trials, whole.trials)
    again = ToyTrainer()
    assert run(tmp_path / "broken", again, 6)[0].winner == whole.winner
    assert again.asked == []


def test_outputs_are_the_same_bytes(tmp_path: Path) -> None:
    written = []
    for name in ("a", "b"):
        outcome, _ = run(tmp_path / name, ToyTrainer(), 4)
        outcome.winner.write(tmp_path / name / "best.yaml")
        write_trials(tmp_path / name / "trials.csv", outcome.trials)
        written.append([(tmp_path / name / file).read_bytes() for file in OUTPUTS])
    assert written[0] == written[1]
    assert written[0][1].startswith(b"number,state,value,steps,learning_rate\n0,COMPLETE,")
    assert read_best(tmp_path / "a" / "best.yaml") == outcome.winner.train


OUTPUTS = ("best.yaml", "trials.csv")


def test_other_data_make_another_study(tmp_path: Path) -> None:
    run(tmp_path, ToyTrainer(), 2)
    toy = ToyTrainer()
    run(tmp_path, toy, 2, data="data-2")
    assert len(toy.asked) == 2


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"steps": 40}, {"space": SpaceParams()}],
    ids=lambda change: next(iter(change)),
)
def test_study_is_named_after_all_that_matters(change: dict[str, Any]) -> None:
    tune = TuneParams(space=SPACE, steps=60)
    assert study_name(BASE, tune, "d") != study_name(BASE, tune.model_copy(update=change), "d")
    same = tune.model_copy(update={"trials": 99, "storage": "x", "heartbeat_seconds": 1})
    assert study_name(BASE, tune, "d") == study_name(BASE, same, "d")
    assert study_name(BASE, tune, "d") != study_name(BASE.model_copy(update={"seed": 5}), tune, "d")


def test_no_trials_leave_the_parameters_alone(tmp_path: Path) -> None:
    toy = ToyTrainer()
    outcome, _ = run(tmp_path, toy, 0)
    assert outcome.winner == Winner(BASE)
    assert toy.asked == []
    assert outcome.trials.columns.tolist() == ["number", "state", "value", "steps"]
    assert not (tmp_path / "tuning").exists()


def test_diverging_training_is_the_worst_not_the_end(tmp_path: Path) -> None:
    outcome, _ = run(tmp_path, ToyTrainer(lambda params: math.nan), 3)
    assert outcome.trials["value"].tolist() == [0, 0, 0]
    assert outcome.winner.train == BASE


def test_a_trial_that_diverges_is_the_worst_not_the_end(tmp_path: Path) -> None:
    def wild(params: TrainParams) -> float:
        if params.learning_rate != BASE.learning_rate:
            raise DivergedError("training diverged at step 10")
        return 0.5

    outcome, log = run(tmp_path, ToyTrainer(wild), 3)
    assert outcome.trials["value"].tolist() == [0.5, 0, 0]
    assert outcome.winner.train == BASE
    assert set(log.states.values()) == {"COMPLETE"}


def test_failing_training_is_told_and_does_not_count(tmp_path: Path) -> None:
    def broken(params: TrainParams) -> float:
        raise DetectorError("no such weights")

    with pytest.raises(DetectorError, match="no such weights"):
        run(tmp_path, ToyTrainer(broken), 3)
    toy = ToyTrainer()
    outcome, log = run(tmp_path, toy, 3)
    assert toy.asked[0].learning_rate == BASE.learning_rate  # the start is tried again
    assert len(outcome.trials) == 3
    assert set(log.states.values()) <= {"COMPLETE", "PRUNED"}


@pytest.mark.parametrize("interrupted", [0, 1])
def test_an_interrupted_trial_is_the_next_and_goes_on_from_its_checkpoint(
    tmp_path: Path, interrupted: int
) -> None:
    def stopped(params: TrainParams) -> float:
        if len(toy.asked) == interrupted + 1:
            raise KeyboardInterrupt
        return quality(params)

    toy = ToyTrainer(stopped)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, toy, 3)
    (half_done,) = (tmp_path / "tuning/.trials").glob("*/checkpoint")
    later = ToyTrainer()
    outcome, _ = run(tmp_path, later, 3)
    assert later.asked[0] == toy.asked[-1]
    assert later.work[0] == half_done.parent
    assert len(later.asked) == 3 - interrupted
    assert sum(params == toy.asked[0] for params in later.asked) == (interrupted == 0)
    assert len(outcome.trials) == 3


def test_trials_with_the_same_parameters_have_folders_and_logs_of_their_own(tmp_path: Path) -> None:
    space = SpaceParams(**ALONE | {"crop": (True, False)})
    toy = ToyTrainer()
    _, log = run(tmp_path, toy, 4, space=space)
    assert len({params.augment.crop for params in toy.asked}) < len(toy.asked)
    assert len(set(toy.work)) == len(set(log.keys)) == len(toy.asked) == 4


def test_a_retry_that_dies_before_its_first_heartbeat_is_not_waited_for(tmp_path: Path) -> None:
    study = optuna.create_study()
    running = optuna.trial.TrialState.RUNNING
    for _ in range(2):  # the second tries the first again, and is told what was said of it
        study.add_trial(optuna.create_trial(state=running, user_attrs={BEATS: 0}))
    tune: Any = SimpleNamespace(heartbeat_seconds=0)
    worker = Worker(study, ToyTrainer().fit, BASE, tune, tmp_path, Log().record)
    worker._fail_stillborn()
    assert [trial.state.name for trial in study.get_trials()] == ["RUNNING", "FAIL"]


def test_another_study_does_not_go_on_from_what_this_one_left(tmp_path: Path) -> None:
    def stopped(params: TrainParams) -> float:
        raise KeyboardInterrupt

    first, second = ToyTrainer(stopped), ToyTrainer()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, first, 1)
    run(tmp_path, second, 1, data="data of other weights")
    assert first.asked == second.asked
    assert first.work != second.work


def test_training_without_the_objective_is_an_error(tmp_path: Path) -> None:
    toy = ToyTrainer()
    toy.fit = lambda params, work, on_step: {"val/loss": 1.0}  # type: ignore[method-assign]
    with pytest.raises(DetectorError, match=r"must return 'val/weighted_ap', got \['val/loss'\]"):
        run(tmp_path, toy, 1)


@pytest.mark.parametrize(
    "storage",
    ["sqlite:////proc/none/study.db", "nodb://user:secret@host/study", "postgresql://no driver"],
)
def test_unreachable_storage_is_one_line_without_the_password(tmp_path: Path, storage: str) -> None:
    with pytest.raises(ServerError, match="does not answer") as caught:
        search(
            ToyTrainer().fit,
            BASE,
            TuneParams(trials=1),
            data="d",
            storage=storage,
            work=tmp_path,
            record=Log().record,
            on_trial=lambda done, total: None,
        )
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("begun", [0, 2])
def test_a_storage_that_fails_during_the_search_is_one_line(tmp_path: Path, begun: int) -> None:
    def broken(params: TrainParams) -> float:
        if len(toy.asked) > begun:
            (tmp_path / "tuning" / "study.db").write_bytes(b"no database" * 1000)
        return quality(params)

    toy = ToyTrainer(broken)
    with pytest.raises(ServerError, match=r"storage sqlite:.*study\.db does not answer") as caught:
        run(tmp_path, toy, 4)
    assert len(str(caught.value).splitlines()) == 1


def test_a_disk_that_is_full_is_not_the_storages_fault(tmp_path: Path) -> None:
    def full(params: TrainParams) -> float:
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"):
        run(tmp_path, ToyTrainer(full), 1)


def test_workers_that_make_the_storage_at_once_all_get_it(tmp_path: Path) -> None:
    together = threading.Barrier(8)

    def start(_: int) -> Outcome:
        together.wait()
        return search(
            ToyTrainer().fit,
            BASE,
            TuneParams(trials=1, space=SPACE),
            data="d",
            storage=f"sqlite:///{tmp_path}/tuning/study.db",
            work=tmp_path / "work",
            record=Log().record,
            on_trial=lambda done, total: None,
        )

    with ThreadPoolExecutor(8) as workers:
        outcomes = list(workers.map(start, range(8)))
    assert len({outcome.winner.study for outcome in outcomes}) == 1


def test_start_outside_of_the_space_is_still_tried(tmp_path: Path) -> None:
    outside = BASE.model_copy(update={"learning_rate": 0.5})
    space = SpaceParams(**ALONE | {"learning_rate": (1e-4, 1e-2), "crop": (False,)})
    toy = ToyTrainer()
    run(tmp_path, toy, 2, train=outside, space=space)
    assert (toy.asked[0].learning_rate, toy.asked[0].augment.crop) == (0.5, True)


def test_every_parameter_of_the_space_has_its_place() -> None:
    assert set(PLACES) == set(SpaceParams.model_fields)
    space = SpaceParams(crop=(True, False))
    values = baseline(BASE, space)
    assert set(values) == set(PLACES)
    assert change(BASE, values) == BASE
    middle = {name: sum(getattr(space, name)) / 2 for name in values if name != "crop"}
    other = middle | {"crop": False}
    changed = suggest(optuna.trial.FixedTrial(other), BASE, space)
    assert baseline(changed, space) == other


def test_trial_warms_up_for_the_same_share_of_its_steps() -> None:
    short = shorten(BASE, TuneParams(steps=60, validate_every=20))
    assert (short.steps, short.warmup_steps, short.validate_every) == (60, 6, 20)
    assert short.learning_rate == BASE.learning_rate


def test_missing_winner_names_its_stage(tmp_path: Path) -> None:
    with pytest.raises(StageOrderError, match="`tune` makes it"):
        read_best(tmp_path / "best.yaml")


@pytest.mark.parametrize("content", [b"", b"train", b"[", b"train: {steps: -1}", b"\xff"])
def test_a_damaged_winner_names_its_stage_in_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "best.yaml").write_bytes(content)
    with pytest.raises(StageOrderError, match=r"^.* is damaged \(.*dvc repro -f tune$"):
        read_best(tmp_path / "best.yaml")
