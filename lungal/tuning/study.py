"""A study: the search itself, which any number of processes may share and any of them resume.

It is named after everything that its values depend on, so that a search picked up again never
mixes data, spaces or seeds. Each process waits for the others' last trials, so that all of them
see the same winner.
"""

import random
import re
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import sqlalchemy
from optuna.distributions import BaseDistribution
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState

from lungal.data.digests import hash_json
from lungal.data.files import whole_file
from lungal.errors import ServerError
from lungal.params import TrainParams, TuneParams
from lungal.records import OnProgress
from lungal.tuning.space import baseline, change
from lungal.tuning.winner import Winner
from lungal.tuning.worker import BASELINE, OBJECTIVE, Fit, Record, Worker, finished

STARTUP_TRIALS = 2
"""Trials that are never pruned: a median of less says nothing."""
RETRIES = 3
"""How often a trial whose process died is tried again."""
OPENINGS = 20
"""How often to open a storage that other workers are making at the moment."""
STORAGE_FAULTS = (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a search found.

    trials: one row per finished trial: number, state, value, steps, and what was suggested.
    importance: share of the objective's variance that each parameter explains; {} if unknown.
    """

    winner: Winner
    trials: pd.DataFrame
    importance: Mapping[str, float]


def write_trials(path: Path, trials: pd.DataFrame) -> None:
    """Write `Outcome.trials` as CSV."""
    with whole_file(path) as temporary:
        trials.to_csv(temporary, index=False, lineterminator="\n")


def study_name(train: TrainParams, tune: TuneParams, data: str) -> str:
    """Return a name that changes with anything that a trial's value depends on.

    Args:
        train: the parameters that the search varies.
        tune: the search. The number of trials and where they are stored do not matter.
        data: hash of the records, of the model and its initial weights, and of the code.
    """
    settings = tune.model_dump(mode="json", exclude={"trials", "storage", "heartbeat_seconds"})
    return f"lungal-{hash_json([data, train.model_dump(mode='json'), settings, OBJECTIVE])}"


def search(
    fit: Fit,
    train: TrainParams,
    tune: TuneParams,
    *,
    data: str,
    storage: str,
    work: Path,
    record: Record,
    on_trial: OnProgress,
) -> Outcome:
    """Run what is left of the study's trials, with whoever else works on it, and name the winner.

    The first trial is `train` as it stands and is never pruned: the winner is never worse, by the
    short trials' measure. Trials that finished before, here or elsewhere, count.

    Args:
        fit: trains; called with params of `tune.steps` steps.
        train: the parameters to improve on.
        tune: how many trials, how long, and over which space. 0 trials: `train` wins.
        data: see `study_name`.
        storage: SQLAlchemy URL of the study.
        work: folder for the trials' trainings; each has one of its own until it has finished.
        record: where a trial is logged.
        on_trial: called with (finished, total).

    Raises:
        DetectorError: if a training fails, or returns no OBJECTIVE.
        ServerError: if the storage cannot be reached, now or later in the search.
    """
    if tune.trials == 0:
        return Outcome(Winner(train), _table([]), {})
    name = study_name(train, tune, data)
    with _quiet(), _answering(storage):
        study = _open_study(name, tune, storage, baseline(train, tune.space))
        worker = Worker(study, fit, train, tune, work, record)
        while (done := len(finished(study))) < tune.trials:
            on_trial(done, tune.trials)
            worker.work_or_wait()
        on_trial(tune.trials, tune.trials)
        shutil.rmtree(work, ignore_errors=True)
        trials = finished(study)[: tune.trials]
        return Outcome(_winner(trials, train, name), _table(trials), _importance(study))


def _open_study(
    name: str, tune: TuneParams, storage: str, start: Mapping[str, Any]
) -> optuna.Study:
    with _answering(storage, ImportError, OSError):  # ImportError: of the database's driver
        study = optuna.create_study(
            study_name=name,
            direction="maximize",
            load_if_exists=True,
            sampler=SeededByNumber(tune.seed),
            pruner=optuna.pruners.MedianPruner(
                n_startup_trials=STARTUP_TRIALS, n_min_trials=STARTUP_TRIALS
            ),
            storage=_connect(storage, tune.heartbeat_seconds),
        )
    alive = [trial for trial in study.get_trials(deepcopy=False) if trial.state != TrialState.FAIL]
    if not any(BASELINE in trial.user_attrs for trial in alive):
        study.enqueue_trial(dict(start), user_attrs={BASELINE: True})
    return study


@contextmanager
def _answering(storage: str, *opening: type[Exception]) -> Iterator[None]:
    """Turn what a storage raises in the block, and `opening`, into one line without a password."""
    try:
        yield
    except Exception as error:
        faults = [one for one in _chain(error) if isinstance(one, (*STORAGE_FAULTS, *opening))]
        if not faults:
            raise
        place = re.sub(r"//[^/@]*@", "//", storage)
        text = " ".join(str(faults[0]).split())
        raise ServerError(f"the study's storage {place} does not answer: {text}") from None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those behind it: Optuna hides a storage's failure behind one of its own.

    It tells the storage how a trial ended, and if that fails trips over what it was not told.
    """
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _connect(storage: str, heartbeat_seconds: int) -> RDBStorage:
    local = storage.startswith("sqlite:///")
    if local:
        Path(storage.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    for opening in range(1, OPENINGS + 1):
        try:
            return RDBStorage(
                storage,
                # Workers queue for SQLite's lock instead of failing on it.
                engine_kwargs={"connect_args": {"timeout": 60}} if local else None,
                heartbeat_interval=heartbeat_seconds,
                heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=RETRIES),
            )
        except sqlalchemy.exc.DBAPIError as error:
            if opening == OPENINGS or not _lost_a_race(error):
                raise
            time.sleep(random.uniform(0.1, 1.0))  # noqa: S311  not all at once again
    raise AssertionError("the last opening returns or raises")


def _lost_a_race(error: sqlalchemy.exc.DBAPIError) -> bool:
    """Return whether another worker made the storage's tables while this one was about to.

    Optuna looks which of them are missing and then makes them, without a lock.
    """
    return isinstance(error, sqlalchemy.exc.IntegrityError) or "already exists" in str(error)


class SeededByNumber(optuna.samplers.BaseSampler):
    """TPE whose dice depend on the trial's number, not on how many this process has thrown.

    A search picked up after a kill thus suggests what the unbroken one would have suggested, and
    two workers with the same seed do not suggest the same.
    """

    def __init__(self, seed: int) -> None:
        """Set the seed of the whole study."""
        self._seed = seed
        self._tpe = optuna.samplers.TPESampler(seed=seed)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Take fresh dice."""
        seed = int(hash_json([self._seed, trial.number]), 16) % 2**32
        self._tpe = optuna.samplers.TPESampler(seed=seed)
        self._tpe.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """See BaseSampler."""
        return self._tpe.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """See BaseSampler."""
        return self._tpe.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """See BaseSampler."""
        return self._tpe.sample_independent(study, trial, param_name, param_distribution)


def _winner(trials: list[FrozenTrial], train: TrainParams, study: str) -> Winner:
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if not complete:
        return Winner(train, study)
    # Among equals the parameters as they stand, then the earliest.
    best = max(complete, key=lambda t: (t.value, t.user_attrs.get(BASELINE, False), -t.number))
    return Winner(change(train, best.params), study, best.number, best.value)


def _table(trials: list[FrozenTrial]) -> pd.DataFrame:
    rows = [
        {
            "number": trial.number,
            "state": trial.state.name,
            "value": trial.value,
            "steps": trial.last_step,
            **trial.params,
        }
        for trial in trials
    ]
    return pd.DataFrame(rows, columns=None if rows else ["number", "state", "value", "steps"])


def _importance(study: optuna.Study) -> dict[str, float]:
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    with warnings.catch_warnings():
        # Optuna warns, and calls all parameters equal, when the trials are too few or too alike.
        warnings.simplefilter("error", UserWarning)
        try:
            return optuna.importance.get_param_importances(study, evaluator=evaluator)
        except (UserWarning, ValueError, RuntimeError):
            return {}


@contextmanager
def _quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            yield
        finally:
            optuna.logging.set_verbosity(before)
