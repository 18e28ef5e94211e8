"""What the stages after `detect` read: the model, and detections of the films they need."""

import json
from collections.abc import Collection
from pathlib import Path

from lungal.data.detections import read_detections
from lungal.data.files import require, stage_output
from lungal.data.looks import read_looks
from lungal.data.model_run import FILE, ModelRun
from lungal.errors import EvaluationError, StageOrderError
from lungal.evaluation.calibration import Calibration, from_json
from lungal.records import Detections
from pipelines.stage import PATHS


def read_examined(part: str, films: Collection[str]) -> list[Detections]:
    """Read the detections of val, test, pool or train, sorted by image_id.

    Args:
        part: names the file.
        films: that must be among those examined.

    Raises:
        StageOrderError: if the file is missing, or older than the labels.
    """
    detections = read_detections(PATHS.detections / f"{part}.parquet")
    _check_complete(detections, films, f"{part} films", "detect")
    return detections


def read_crossfit(films: Collection[str]) -> list[Detections]:
    """Read the out-of-fold detections of training films; none if nobody made any.

    Args:
        films: that must be among those examined, if any were.

    Raises:
        StageOrderError: if the file is missing, or older than the labels.
    """
    detections = read_detections(PATHS.detections / "crossfit.parquet", "crossfit")
    if detections:
        _check_complete(detections, films, "training films", "crossfit")
    return detections


def read_views(films: Collection[str]) -> dict[str, tuple[Detections, ...]]:
    """Read what the model sees in other views of the pool: image_id to a film's views, by name.

    Args:
        films: that must be among those examined, if any were; others are left out.

    Returns:
        Of every film of `films` its tuple, of the same views in the same order; empty tuples if
        no view was asked for.

    Raises:
        StageOrderError: if a file is damaged, or older than the labels.
    """
    return _read_each(PATHS.views, films, "views")


def read_committee(films: Collection[str]) -> dict[str, tuple[Detections, ...]]:
    """Read what the detectors of crossfit see in the pool: image_id to a film's members' views.

    Args:
        films: that must be among those examined, if any were; others are left out.

    Returns:
        Of every film of `films` its tuple, of the same members in the same order; empty tuples
        if there is no committee.

    Raises:
        StageOrderError: if a file is damaged, or older than the labels.
    """
    return _read_each(PATHS.committee, films, "crossfit")


def read_model_run() -> ModelRun:
    """Read models/detector/run.json: what is known of the model that made the detections.

    Raises:
        DetectorError: if the file is damaged.
        StageOrderError: if there is no trained model.
    """
    return ModelRun.read(require(PATHS.model / FILE, "train").parent)


def read_calibration() -> Calibration:
    """Read what scores of the model mean: learnt from validation films by the stage `evaluate`.

    Raises:
        StageOrderError: if the stage has not run, or its file is damaged.
    """
    with stage_output(PATHS.calibration, "evaluate", ValueError, EvaluationError) as path:
        return from_json(json.loads(path.read_text(encoding="utf-8")))


def _read_each(
    folder: Path, films: Collection[str], stage: str
) -> dict[str, tuple[Detections, ...]]:
    seen: dict[str, tuple[Detections, ...]] = dict.fromkeys(sorted(films), ())
    for name, detections in read_looks(folder, stage):
        _check_complete(detections, films, f"films of the look {name}", stage)
        by_film = {found.image_id: found for found in detections}
        seen = {image_id: (*others, by_film[image_id]) for image_id, others in seen.items()}
    return seen


def _check_complete(
    detections: Collection[Detections], films: Collection[str], what: str, stage: str
) -> None:
    if missing := sorted(set(films) - {film.image_id for film in detections}):
        raise StageOrderError(
            f"{len(missing)} {what}, {missing[0]} first, were not examined; the stage"
            f" `{stage}` must run again: dvc repro"
        )
