"""Queue a round: the selected films, with what the model saw on them, go to the readers."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from lungal.annotation.protocol import AnnotationStore
from lungal.annotation.readings import utc
from lungal.boxes import clip
from lungal.data.asked import append_asked, latest_asked, read_asked
from lungal.data.images import read_pixels
from lungal.data.sources.survey import patient_of
from lungal.errors import SelectionError, StageOrderError
from lungal.reading.standing import by_film, standing
from lungal.reading.verdicts import opinions
from lungal.records import (
    CLASSES,
    Annotation,
    Asked,
    Detections,
    LabelledBox,
    OnProgress,
    SeenBox,
    Task,
    to_arrays,
)
from lungal.rounds.selected import Selected, check_selection
from lungal.rounds.selected import read_selection as read_selection

Value = TypeVar("Value")


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
    asked: Path,
    draw_threshold: float,
    max_boxes: int,
    log: Iterable[Annotation] = (),
    now: datetime | None = None,
    on_progress: OnProgress | None = None,
) -> QueueReport:
    """Give a selection to the readers, the first rank first.

    Every film is decoded before the first is queued: Label Studio lets a reader submit a film that
    it cannot show. What each film is for is written down before the readers get it, and never
    told to them. Safe to repeat and to interrupt anywhere. What was queued in this round, with the
    boxes of this model, stays as it is, whatever the parameters say by now: somebody may have read
    it so.

    Args:
        selection: rows of data/selection.csv.
        detections: of at least the selected films.
        films: image_id to the stored film, of all that may be shown: as prior films, too.
        store: where the readers read.
        asked: data/queue.jsonl.
        draw_threshold: score from which a detection is pre-drawn.
        max_boxes: at most so many are.
        log: all readings; an adjudication shows those that disagree.
        now: the moment of asking; None: this one.
        on_progress: told how many films are checked.

    Raises:
        SelectionError: if the selection is malformed, or has a film to adjudicate that was not
            read twice.
        StageOrderError: if a selected film has no detections or is not among the films.
        ImageError: if a film is missing or cannot be decoded; nothing is queued then.
        ServerError: if the store does not answer; run it again.
    """
    rows = check_selection(selection)
    if not rows:
        return QueueReport(round=0, films=0, new=0)
    seen = {found.image_id: found for found in detections}
    priors = prior_films(films)
    readings = by_film(standing(log))
    at, tasks, lines = utc(now or datetime.now(UTC)), [], []
    before = {(line.model_version, *key): line for line, key in _asked_before(asked)}
    for done, row in enumerate(rows, start=1):
        drawn = _of(seen, row.image_id, "detect").pre_drawn(draw_threshold, max_boxes)
        prior = priors.get(row.image_id)
        if prior is not None:
            read_pixels(films[prior])
        disputed = _disputed(row, readings.get(row.image_id, ()))
        task = _task(row, drawn, _of(films, row.image_id, "ingest"), prior, disputed)
        line = before.get((row.model_version, row.round, row.image_id))
        if line is None:
            lines.append(_asked(row, task, at))
        else:
            task = _as_asked(task, line)
        tasks.append(task)
        if on_progress is not None:
            on_progress(done, len(rows))
    append_asked(asked, lines)
    return QueueReport(round=rows[0].round, films=len(rows), new=store.submit(tasks))


def prior_films(image_ids: Iterable[str]) -> dict[str, str]:
    """Return image_id to the last earlier film of the same patient, where there is one.

    NIH numbers a patient's films in the order in which they were taken: 00000013_005.
    """
    by_patient = defaultdict(list)
    for image_id in sorted(image_ids):
        by_patient[patient_of(image_id)].append(image_id)
    return {later: earlier for films in by_patient.values() for earlier, later in pairwise(films)}


def _of(values: Mapping[str, Value], image_id: str, stage: str) -> Value:
    try:
        return values[image_id]
    except KeyError:
        raise StageOrderError(
            f"the selected film {image_id} is unknown to the stage `{stage}`: dvc repro"
        ) from None


def _disputed(row: Selected, readings: Sequence[Annotation]) -> tuple[tuple[LabelledBox, ...], ...]:
    # The readings that disagree are those of the last round in which the film was read.
    if row.role != "adjudicate":
        return ()
    said = [reading for reading in opinions(readings) if reading.role != "control"]
    last = max((reading.round for reading in said), default=0)
    # By lot for each film: were it by name, A would always be the same reader.
    by_lot = sorted((r for r in said if r.round == last), key=lambda r: _lot(r.image_id, r.reader))
    boxes = tuple(reading.boxes for reading in by_lot)
    if len(boxes) < 2:
        raise SelectionError(
            f"film {row.image_id} is to be adjudicated but was read by {len(boxes)}; dvc repro"
        )
    return boxes


def _lot(image_id: str, reader: str) -> bytes:
    return hashlib.sha256(f"letters:{image_id}:{reader}".encode()).digest()


def _task(
    row: Selected,
    drawn: Detections,
    film: Path,
    prior: str | None,
    disputed: tuple[tuple[LabelledBox, ...], ...],
) -> Task:
    height, width = read_pixels(film).shape
    return Task(
        round=row.round,
        image_id=row.image_id,
        rank=row.rank,
        uncertainty=row.uncertainty,
        reason=row.chosen_by,
        model_version=row.model_version,
        width=width,
        height=height,
        detections=drawn,
        role=row.role,
        blind=row.blind,
        readers=row.readers,
        prior=prior,
        readings=disputed,
    )


def _asked_before(path: Path) -> Iterator[tuple[Asked, tuple[int, str]]]:
    """Yield what was asked in each round with the boxes of each model, the latest last."""
    by_model = defaultdict(list)
    for line in read_asked(path):
        by_model[line.model_version].append(line)
    for lines in by_model.values():
        yield from ((line, key) for key, line in latest_asked(lines).items())


def _as_asked(task: Task, line: Asked) -> Task:
    """Return a task as its film was asked for."""
    asked = replace(task, role=line.role, blind=line.blind, readers=line.readers)
    if line.role == "adjudicate":
        return asked
    boxes, labels = to_arrays(line.seen)
    scores = np.array([box.score for box in line.seen], np.float32)
    drawn = Detections(task.image_id, boxes, scores, labels)
    return replace(asked, detections=drawn, readings=())


def _seen(task: Task) -> tuple[SeenBox, ...]:
    if task.role == "adjudicate":  # its reader sees what others drew, not the model's boxes
        return ()
    found = task.detections
    inside = clip(found.boxes, task.width, task.height)
    seen = []
    for box, label, score in zip(inside, found.labels, found.scores, strict=True):
        x1, y1, x2, y2 = (round(float(edge), 2) for edge in box)
        if x2 > x1 and y2 > y1:
            seen.append(SeenBox(CLASSES[label], x1, y1, x2, y2, round(float(score), 6)))
    return tuple(seen)


def _asked(row: Selected, task: Task, at: str) -> Asked:
    return Asked(
        round=row.round,
        image_id=row.image_id,
        rank=row.rank,
        uncertainty=row.uncertainty,
        reason=row.reason,
        model_version=row.model_version,
        role=row.role,
        blind=row.blind,
        readers=row.readers,
        seen=_seen(task),
        at=at,
    )
