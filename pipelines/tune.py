"""Stage tune: a search over the training parameters to tuning/best.yaml and tuning/trials.csv.

Run it by hand in another terminal, or on another machine with a shared `tune.storage`, while the
stage runs: it joins the search. Killed, it goes on where it was.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from lungal.data.digests import hash_json
from lungal.data.files import require
from lungal.params import ModelParams, Params, TrainParams
from lungal.tracking import Run, content_hash
from lungal.tracking.run import Status
from lungal.tuning.study import Outcome, search, write_trials
from lungal.tuning.worker import Fit, OnStep
from pipelines.round_run import round_run
from pipelines.stage import PATHS, PIPELINE, progress, run

CODE = "lungal/"
FOLDER = PATHS.best.parent
TRIALS = FOLDER / ".trials"
STATUS: dict[str, Status] = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}
"""MLflow's word for what became of a trial."""


class TrialRun:
    """A trial as a nested run of the round's."""

    def __init__(self, run: Run) -> None:
        """Wrap an open nested run."""
        self._run = run

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Log points of the trial's curves."""
        self._run.log_metrics(metrics, step)

    def end(self, state: str) -> None:
        """Close the run; `lungal.trial` says what became of the trial."""
        self._run.set_tags({"lungal.trial": state})
        self._run.end(STATUS[state])


def tune(params: Params) -> None:
    """Search, write the winner, and log the search."""
    train, val = (require(PATHS.records / split, f"records@{split}") for split in ("train", "val"))
    # Without a trial nobody reads the initial weights, or waits for TensorFlow.
    data = _hash_data(train, val, params.model) if params.tune.trials else ""
    with (
        round_run("tune", params) as tracked,
        tracked.system_metrics(),
        progress("trials") as report,
    ):
        outcome = search(
            _fit_on(train, val, params),
            params.train,
            params.tune,
            data=data,
            storage=params.tune.storage or f"sqlite:///{FOLDER}/study.db",
            work=TRIALS,
            record=lambda number, key, chosen: TrialRun(
                tracked.nested(f"trial-{number}", f"trial-{key}", params=chosen)
            ),
            on_trial=report,
        )
        write_trials(PATHS.trials, outcome.trials)
        outcome.winner.write(PATHS.best)
        _log(tracked, outcome)


def _fit_on(train: Path, val: Path, params: Params) -> Fit:
    def fit(chosen: TrainParams, work: Path, on_step: OnStep) -> dict[str, float]:
        # Imported here, because a search of no trials need not wait for TensorFlow.
        from lungal.detectors.tfod.train import TfodTrainer

        return TfodTrainer().fit(train, val, params.model, chosen, work=work, on_step=on_step)

    return fit


def _hash_data(train: Path, val: Path, model: ModelParams) -> str:
    from lungal.detectors.tfod.weights import hash_initial

    where = {"initial_weights", "initial_weights_sha256"}  # what counts is what lies there
    shape = model.model_dump(mode="json", exclude=where)
    records = [content_hash(train), content_hash(val)]
    parts = [*records, shape, hash_initial(model), hash_code(PIPELINE.parent)]
    return hash_json(parts, 64)


def hash_code(root: Path) -> str:
    """Return a hash of lungal's modules that a trial runs: those that the stage depends on.

    Args:
        root: the folder of dvc.yaml and of the package.
    """
    document = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))
    named = (root / path for path in document["stages"]["tune"]["deps"] if path.startswith(CODE))
    modules = {file for path in named for file in (path.rglob("*.py") if path.is_dir() else [path])}
    hashes = {file.relative_to(root).as_posix(): content_hash(file) for file in modules}
    return hash_json(hashes, 64)


def _log(tracked: Run, outcome: Outcome) -> None:
    for number, value in zip(outcome.trials["number"], outcome.trials["value"], strict=True):
        tracked.log_metrics({"tune/value": float(value)}, int(number))
    for name, share in outcome.importance.items():
        tracked.log_metrics({f"tune/importance/{name}": share})
    if outcome.winner.value is not None:
        tracked.log_metrics({"tune/best": outcome.winner.value})
        tracked.set_tags({"lungal.study": str(outcome.winner.study)})
    tracked.log_table(outcome.trials, "tuning/trials.json")
    tracked.log_artifact(PATHS.best, "tuning")


def main(argv: Sequence[str] | None = None) -> int:  # noqa: ARG001  a stage without arguments
    """Run the stage; return the exit code."""
    return run("tune", tune)


if __name__ == "__main__":
    raise SystemExit(main())
