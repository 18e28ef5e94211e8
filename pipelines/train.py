"""Stage train: the records and the tuned parameters to models/detector/, logged as it goes."""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from lungal.data.labels import read_labels, read_round
from lungal.data.learnt_from import LearntFrom, write_learnt_from
from lungal.data.model_run import ModelRun
from lungal.data.tfrecords import read_records
from lungal.detectors.protocol import OnStep
from lungal.detectors.tfod.devices import is_chief, make_strategy
from lungal.detectors.tfod.train import TfodTrainer
from lungal.params import Params, TrainParams
from lungal.records import CLASSES
from lungal.tracking import Run
from lungal.tuning.winner import read_best
from pipelines.round_run import round_run
from pipelines.stage import PATHS, Afterwards, progress, run

WORK = Path("models/.training/train")
"""Checkpoints of an unfinished training: not an output, so that DVC leaves it to a next attempt."""

LOADER = "lungal.detectors.tfod.infer:load_detector"


def train(params: Params) -> Afterwards | None:
    """Train with the tuned parameters, export the best checkpoint, log it all, register it.

    Returns:
        What throws the checkpoints away; with other parameters they would be needed again.
    """
    tuned = read_best(PATHS.best)
    chief = is_chief(make_strategy())  # the very first thing: TF wants it before any other op
    if not chief:
        fit(params, tuned, on_step=lambda _step, _metrics: None)
        return None
    with round_run("train", params) as tracked, tracked.system_metrics():
        tracked.log_params({"tuned": tuned.model_dump(mode="json")})
        with progress("train") as report:

            def on_step(step: int, metrics: Mapping[str, float]) -> None:
                tracked.log_metrics(metrics, step)
                report(step, tuned.steps)

            best = fit(params, tuned, on_step=on_step)
        # At the last step: MLflow shows the value of the highest, and of those the one logged last.
        tracked.log_metrics({"best_step": best["best_step"]} | _final(best), tuned.steps)
        log_model(tracked, params, export(params, best, tracked.key))
    return forget


def forget() -> None:
    """Throw away the checkpoints of a training that is finished."""
    shutil.rmtree(WORK, ignore_errors=True)
    with suppress(OSError):  # other stages may have something unfinished beside it
        WORK.parent.rmdir()


def fit(params: Params, tuned: TrainParams, *, on_step: OnStep) -> dict[str, float]:
    """Train, or go on with a training that was killed."""
    records = (PATHS.records / "train", PATHS.records / "val")
    return TfodTrainer().fit(*records, params.model, tuned, work=WORK, on_step=on_step)


def export(params: Params, best: Mapping[str, float], run_key: str) -> ModelRun:
    """Write models/detector/ and return what its run.json says."""
    weights = TfodTrainer().export(WORK, PATHS.model)
    number = read_round(PATHS.labels)
    truths = [truth for _, truth in read_records(PATHS.records / "train")]
    # Films that a model was chosen and calibrated by are no more new to it than those it learnt.
    chosen_by = [truth for _, truth in read_records(PATHS.records / "val")]
    patient = read_labels(PATHS.labels).set_index("image_id")["patient_id"]
    met = {truth.image_id: str(patient[truth.image_id]) for truth in [*truths, *chosen_by]}
    write_learnt_from(PATHS.model, LearntFrom.of(met))
    model = ModelRun(
        model_version=f"r{number}-{weights[:8]}",
        round=number,
        classes=CLASSES,
        architecture=params.model.architecture,
        input_size=params.model.input_size,
        labelled_films=len(truths),
        labelled_boxes=sum(len(truth.boxes) for truth in truths),
        best_step=int(best["best_step"]),
        val={name: value for name, value in best.items() if name.startswith("val/")},
        weights_sha256=weights,
        run_key=run_key,
    )
    model.write(PATHS.model)
    return model


def log_model(tracked: Run, params: Params, model: ModelRun) -> None:
    """Log the model with a film as input example, and register it as the candidate."""
    example, _ = next(iter(read_records(PATHS.records / "val")))
    tracked.log_artifact(PATHS.model / "pipeline.config")
    tracked.log_model(
        PATHS.model,
        model.model_version,
        loader=LOADER,
        detect=params.detect,
        example=example.pixels,
        tags={"round": str(model.round), "architecture": model.architecture},
    )


def _final(best: Mapping[str, float]) -> dict[str, float]:
    return {f"best_{name}": value for name, value in best.items() if name.startswith("val/")}


def main(argv: Sequence[str] | None = None) -> int:  # noqa: ARG001  a stage without arguments
    """Run the stage; return the exit code."""
    return run("train", train)


if __name__ == "__main__":
    raise SystemExit(main())
