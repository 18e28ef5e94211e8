"""Queue a round: the selected films, with what the model saw on them, go to the readers."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from lungal.annotation.protocol import AnnotationStore
from lungal.data.files import require
from lungal.data.images import read_pixels
from lungal.errors import SelectionError, StageOrderError
from lungal.records import Detections, Task

OnProgress = Callable[[int, int], None]
"""Called with (done, total)."""

Value = TypeVar("Value")
COLUMNS = ("rank", "image_id", "score", "reason", "round", "model_version")


@dataclass(frozen=True, slots=True)
class QueueReport:
    """What a queue did."""

    round: int
    films: int  # in the selection
    new: int  # of these, not in the queue before


def queue(
    selection: pd.DataFrame,
    detections: Iterable[Detections],
    films: Mapping[str, Path],
    store: AnnotationStore,
    *,
    draw_threshold: float,
    max_boxes: int,
    on_progress: OnProgress | None = None,
) -> QueueReport:
    """Give a selection to the readers, the first rank first.

    Every film is decoded before the first is queued: Label Studio lets a reader submit a film that
    it cannot show. Safe to repeat and to interrupt anywhere; what is queued already stays as it is.

    Args:
        selection: rows of data/selection.csv.
        detections: of at least the selected films.
        films: image_id to the stored film.
        store: where the readers read.
        draw_threshold: the score from which a detection is pre-drawn.
        max_boxes: how many are pre-drawn at most, the most confident ones.
        on_progress: told how many films are checked.

    Raises:
        SelectionError: if the selection is malformed.
        StageOrderError: if a selected film has no detections or is not among the films.
        ImageError: if a film is missing or cannot be decoded; nothing is queued then.
        ServerError: if the store does not answer; run it again.
    """
    _check(selection)
    if selection.empty:
        return QueueReport(round=0, films=0, new=0)
    seen = {found.image_id: found for found in detections}
    tasks = []
    for done, row in enumerate(selection.sort_values("rank").to_dict("records"), start=1):
        drawn = _drawn(_of(seen, row["image_id"], "detect"), draw_threshold, max_boxes)
        tasks.append(_task(row, drawn, _of(films, row["image_id"], "ingest")))
        if on_progress is not None:
            on_progress(done, len(selection))
    return QueueReport(round=tasks[0].round, films=len(tasks), new=store.submit(tasks))


def read_selection(path: Path) -> pd.DataFrame:
    """Read data/selection.csv.

    Raises:
        StageOrderError: if the stage `select` has not run.
    """
    names = ("image_id", "patient_id", "reason", "strategy", "model_version")
    return pd.read_csv(
        require(path, "select"), dtype=dict.fromkeys(names, str), keep_default_na=False
    )


def _check(selection: pd.DataFrame) -> None:
    if missing := [name for name in COLUMNS if name not in selection.columns]:
        raise SelectionError(f"the selection lacks the columns {', '.join(missing)}")
    if repeated := selection.loc[selection["image_id"].duplicated(), "image_id"].tolist():
        raise SelectionError(f"film {repeated[0]} is selected twice")
    if len(rounds := sorted(set(selection["round"]))) > 1:
        raise SelectionError(f"the selection mixes the rounds {rounds}")


def _of(values: Mapping[str, Value], image_id: str, stage: str) -> Value:
    try:
        return values[image_id]
    except KeyError:
        raise StageOrderError(
            f"the selected film {image_id} is unknown to the stage `{stage}`: dvc repro"
        ) from None


def _drawn(found: Detections, threshold: float, most: int) -> Detections:
    sure = found.above(threshold)
    best = np.argsort(-sure.scores, kind="stable")[:most]
    return Detections(sure.image_id, sure.boxes[best], sure.scores[best], sure.labels[best])


def _task(row: Mapping[Hashable, Any], drawn: Detections, film: Path) -> Task:
    height, width = read_pixels(film).shape
    uncertainty = float(row["score"])
    if not isfinite(uncertainty):
        raise SelectionError(f"film {row['image_id']} has the score {uncertainty}")
    return Task(
        round=int(row["round"]),
        image_id=str(row["image_id"]),
        rank=int(row["rank"]),
        uncertainty=uncertainty,
        reason=str(row["reason"]),
        model_version=str(row["model_version"]),
        width=width,
        height=height,
        detections=drawn,
    )
