"""Stage crossfit: what detectors see on training films that they were not trained on.

The labelled training films are dealt into folds, patient by patient; for each fold a detector is
trained on the others and looks at it. data/detections/crossfit.parquet then tells which films'
boxes look wrong: a detector trained on a wrong box would bear it out.

With `crossfit.committee` each of these detectors looks at the pool too, and
data/detections/committee/<fold>.parquet holds what it sees: where the members of a committee that
were trained on different films disagree, nobody knows.

Killed, it goes on with the fold, and in the training, where it was.
"""

import logging
import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from lungal.data.detections import read_detections, write_detections
from lungal.data.digests import hash_json
from lungal.data.films import film_paths, read_films
from lungal.data.folds import deal as deal_films
from lungal.data.labels import films, pool, read_labels
from lungal.data.looks import write_looks
from lungal.data.model_run import FILE, ServedModel
from lungal.data.tfrecords import read_records, write_records
from lungal.detectors.protocol import Trainer
from lungal.detectors.tfod.infer import load_detector
from lungal.detectors.tfod.progress import training_key
from lungal.detectors.tfod.train import TfodTrainer
from lungal.params import Params, TrainParams
from lungal.records import CLASSES
from lungal.tuning.winner import read_best
from pipelines.stage import PATHS, Afterwards, progress, run, track

logger = logging.getLogger(__name__)

WORK = Path("models/.training/crossfit")
"""Finished folds and the unfinished one: not an output, so that DVC leaves it to a next attempt."""


def crossfit(params: Params) -> Afterwards | None:
    """Examine every labelled training film with a detector that has not seen its patient.

    Returns:
        What throws finished folds away; with other parameters they would be needed again.
    """
    out = PATHS.detections / "crossfit.parquet"
    labels = read_labels(PATHS.labels)
    folds = deal(labels, params.crossfit.folds)
    if len(folds) < 2:
        logger.info("crossfit: nothing to do; no film will be read again for its boxes")
        write_detections(out, [])
        write_looks(PATHS.committee, [])
        return None
    tuned = read_best(PATHS.best).of_steps(params.crossfit.steps)
    waiting = pool(labels) if params.crossfit.committee else None
    work = WORK / _key(folds, waiting, tuned, params)
    _forget_others(work)
    # A fold's training is short, and this process alone: whatever cluster trains the model.
    os.environ.pop("TF_CONFIG", None)
    places = [work / f"{number}" for number in range(1, len(folds) + 1)]
    for fold, place in zip(folds, places, strict=True):
        name = f"crossfit fold {place.name} of {len(folds)}"
        others = set().union(*folds) - set(fold)
        _examine(fold, others, waiting, tuned, params, work=place, name=name)
    write_detections(out, (film for place in places for film in read_detections(_own(place))))
    members = [] if waiting is None else places
    write_looks(PATHS.committee, ((place.name, read_detections(_pool(place))) for place in members))
    return partial(shutil.rmtree, WORK)


def deal(labels: pd.DataFrame, folds: int) -> list[list[str]]:
    """Deal the labelled training films into folds; see `lungal.data.folds`.

    Args:
        labels: the rows of data/labels.parquet.
        folds: how many; 0 makes none.
    """
    named = labels[labels["image_id"].isin(films(labels, "train", "labelled"))]
    return deal_films(dict(zip(named["image_id"], named["patient_id"], strict=True)), folds)


def _own(work: Path) -> Path:
    return work.with_suffix(".parquet")


def _pool(work: Path) -> Path:
    return work.with_suffix(".pool.parquet")


def _examine(
    fold: Sequence[str],
    others: Collection[str],
    waiting: Sequence[str] | None,
    tuned: TrainParams,
    params: Params,
    *,
    work: Path,
    name: str,
) -> None:
    """Let a fold's detector look at the fold, and at the pool if it is in a committee.

    What was seen before the stage was killed is kept: of the two files the fold's own comes last.
    """
    if _own(work).exists():
        return
    if not (work / "model" / FILE).exists():
        _train_on(others, tuned, params, work=work, name=name)
    detector = load_detector(work / "model", params.detect)
    stored = film_paths(PATHS.manifest)
    if waiting is not None and not _pool(work).exists():
        seen = detector.detect(read_films(stored, waiting))
        write_detections(_pool(work), track(seen, len(waiting), f"{name}, pool"))
    seen = detector.detect(read_films(stored, fold))
    write_detections(_own(work), track(seen, len(fold), name))
    shutil.rmtree(work)


def _train_on(
    image_ids: Collection[str], tuned: TrainParams, params: Params, *, work: Path, name: str
) -> None:
    """Train on some of the training films, and leave the model in `work`."""
    train, val = work / "records", PATHS.records / "val"
    if not train.exists():
        chosen = (
            pair for pair in read_records(PATHS.records / "train") if pair[0].image_id in image_ids
        )
        write_records(
            train,
            chosen,
            input_size=params.model.input_size,
            shards=params.records.shards,
            detail=params.records.detail,
        )
    trainer: Trainer = TfodTrainer()
    with progress(name) as report:

        def on_step(step: int, _metrics: Mapping[str, float]) -> None:
            report(step, tuned.steps)

        trainer.fit(train, val, params.model, tuned, work=work / "training", on_step=on_step)
    weights = trainer.export(work / "training", work / "model")
    model = ServedModel(f"crossfit-{weights[:8]}", CLASSES, params.model.input_size)
    model.write(work / "model")


def _key(
    folds: Sequence[Sequence[str]],
    waiting: Sequence[str] | None,
    tuned: TrainParams,
    params: Params,
) -> str:
    """Return a hash of all that the detections are a function of."""
    records = (PATHS.records / "train", PATHS.records / "val")
    parts = [
        training_key(*records, params.model, tuned),
        params.records.model_dump(mode="json"),
        params.detect.model_dump(mode="json", exclude={"views"}),
        folds,
        waiting,
    ]
    return hash_json(parts)


def _forget_others(work: Path) -> None:
    for folder in work.parent.glob("*"):
        if folder != work:
            shutil.rmtree(folder)
    work.mkdir(parents=True, exist_ok=True)


def main(argv: Sequence[str] | None = None) -> int:  # noqa: ARG001  a stage without arguments
    """Run the stage; return the exit code."""
    return run("crossfit", crossfit)


if __name__ == "__main__":
    raise SystemExit(main())
