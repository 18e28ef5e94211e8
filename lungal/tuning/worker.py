"""A worker: one process's part in a study, alone or beside others."""

import math
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import optuna
from optuna.trial import FrozenTrial, TrialState

from lungal.data.digests import hash_json
from lungal.data.files import alone
from lungal.errors import DetectorError, DivergedError
from lungal.params import TrainParams, TuneParams
from lungal.tuning.space import shorten, suggest

OBJECTIVE = "val/weighted_ap"
"""What a trial is judged by, highest first, on the way and at its end: what chooses checkpoints."""
BASELINE = "baseline"
"""User attribute of the trial with the parameters as they stand."""
BEATS = "beats"
"""User attribute of a trial: its number, once its first heartbeat has been recorded. What tries it
again is told the same, but has another number."""
FIRST = "first"
"""User attribute of a trial: its number, or that of the trial that it tries again."""

OnStep = Callable[[int, Mapping[str, float]], None]
Fit = Callable[[TrainParams, Path, OnStep], Mapping[str, float]]
"""Trains with these parameters in this folder; see lungal.detectors.protocol.Trainer.fit."""


class Recorder(Protocol):
    """Where a trial's curves go: a nested MLflow run."""

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Log points of the trial's curves."""
        ...

    def end(self, state: str) -> None:
        """Close with COMPLETE, PRUNED or FAIL."""
        ...


Record = Callable[[int, str, Mapping[str, Any]], Recorder]
"""Opens the recorder of a trial: its number, a key that its retry shares, what was suggested."""


def finished(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that count, by number: complete or pruned."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    return sorted(trials, key=lambda trial: trial.number)


class _SlotTaken(Exception):  # noqa: N818  a signal, not an error
    """Other workers have begun all the trials that are left."""


class Worker:
    """One process's part in a study."""

    def __init__(
        self,
        study: optuna.Study,
        fit: Fit,
        train: TrainParams,
        tune: TuneParams,
        work: Path,
        record: Record,
    ) -> None:
        """Join a study; see `lungal.tuning.study.search` for the arguments."""
        self._study, self._fit, self._record = study, fit, record
        self._train, self._tune, self._work = train, tune, work
        self._turn = ExitStack()

    def work_or_wait(self) -> None:
        """Run one trial, or wait a little if others are at work on all that are left."""
        optuna.storages.fail_stale_trials(self._study)
        self._fail_stillborn()
        begun = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
        if len(self._study.get_trials(deepcopy=False, states=begun)) < self._tune.trials:
            # On SQLite Optuna would give two workers the same waiting trial.
            with ExitStack() as self._turn:
                self._turn.enter_context(alone(self._work / "lock"))
                self._study.optimize(self._objective, n_trials=1, catch=(_SlotTaken,))
        else:
            time.sleep(min(1.0, self._tune.heartbeat_seconds / 4))

    def _objective(self, trial: optuna.Trial) -> float:
        self._claim(trial)
        self._turn.close()  # it is ours: the next worker may ask
        params = shorten(suggest(trial, self._train, self._tune.space), self._tune)
        # Another study may have left a training with these parameters: of other code, or weights.
        # Another trial may be at work on them: a small space has few.
        key = hash_json([self._study.study_name, trial.params, trial.user_attrs[FIRST]])
        recorder = self._record(trial.number, key, trial.params)
        state = "FAIL"
        try:
            value = self._train_in(self._work / key, params, trial, recorder)
            state = "COMPLETE"
        except optuna.TrialPruned:
            state = "PRUNED"
            raise
        except KeyboardInterrupt:
            self._ask_again(trial)
            raise
        finally:
            recorder.end(state)
        return value

    def _train_in(
        self, folder: Path, params: TrainParams, trial: optuna.Trial, recorder: Recorder
    ) -> float:
        """Train in a folder that survives a kill: the retry has the same and goes on from there."""

        def on_step(step: int, metrics: Mapping[str, float]) -> None:
            recorder.log_metrics(metrics, step)
            if OBJECTIVE in metrics:
                trial.report(_number(metrics[OBJECTIVE]), step)
                if BASELINE not in trial.user_attrs and trial.should_prune():
                    raise optuna.TrialPruned

        try:
            metrics = self._fit(params, folder, on_step)
        except optuna.TrialPruned:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        except DivergedError:
            metrics = {OBJECTIVE: math.nan}
        if OBJECTIVE not in metrics:
            raise DetectorError(f"a training must return {OBJECTIVE!r}, got {sorted(metrics)}")
        shutil.rmtree(folder, ignore_errors=True)
        return _number(metrics[OBJECTIVE])

    def _ask_again(self, trial: optuna.Trial) -> None:
        # Optuna tries again what died, but not what was interrupted. What is said of it here leads
        # to the same folder, with the checkpoints.
        self._study.enqueue_trial(trial.params, user_attrs=trial.user_attrs)

    def _claim(self, trial: optuna.Trial) -> None:
        """Make sure that the trial is one of those asked for, and that its death will be noticed.

        After that Optuna's retry of it, which is told the same, is known for one.

        Raises:
            _SlotTaken: if as many trials as asked for were begun before it, by other workers.
        """
        before = [
            other
            for other in self._study.get_trials(deepcopy=False)
            if other.number < trial.number and other.state != TrialState.FAIL
        ]
        if len(before) >= self._tune.trials:
            raise _SlotTaken
        self._study._storage.record_heartbeat(trial._trial_id)  # type: ignore[attr-defined]  # noqa: SLF001
        trial.set_user_attr(FIRST, trial.user_attrs.get(FIRST, trial.number))
        trial.set_user_attr(BEATS, trial.number)

    def _fail_stillborn(self) -> None:
        # Optuna takes a trial whose process died before its first heartbeat to be running for ever.
        now = datetime.now()  # noqa: DTZ005  as Optuna notes the start of a trial
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            age = (now - (trial.datetime_start or now)).total_seconds()
            beats = trial.user_attrs.get(BEATS) == trial.number
            if not beats and age > 2 * self._tune.heartbeat_seconds:
                self._study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)


def _number(value: float) -> float:
    # A training that diverges is the worst there is, not a reason to try for ever.
    return float(value) if math.isfinite(value) else 0.0
