"""What the stages after `detect` read: the model, and detections of the films they need."""

import json
from collections.abc import Collection
from typing import Any

from lungal.data.detections import read_detections
from lungal.data.files import require
from lungal.errors import StageOrderError
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


def read_model_run() -> dict[str, Any]:
    """Read models/detector/run.json: what is known of the model that made the detections.

    Raises:
        StageOrderError: if there is no trained model.
    """
    path = require(PATHS.model / "run.json", "train")
    run: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return run


def _check_complete(
    detections: Collection[Detections], films: Collection[str], what: str, stage: str
) -> None:
    if missing := sorted(set(films) - {film.image_id for film in detections}):
        raise StageOrderError(
            f"{len(missing)} {what}, {missing[0]} first, were not examined; the stage"
            f" `{stage}` must run again: dvc repro"
        )
