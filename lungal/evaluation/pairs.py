"""All detections of many films beside all truths of the same film and class, as flat columns.

What every measure that counts boxes begins with. The overlaps are computed once, for all films and
classes together; what counts as found is decided later, for as many thresholds as are asked for.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lungal.boxes import FloatArray, IntArray
from lungal.errors import EvaluationError
from lungal.records import CLASSES, Detections, GroundTruth

MAX_DETECTIONS = 100
"""Detections that count, per film and class, as in COCO's maxDets."""

Film = TypeVar("Film", GroundTruth, Detections)
Index = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """D detections and T truths of F films, and the P pairs of the same film and class.

    Detections stand class by class and surest first; those with equal scores by image_id, then in
    the order their film lists them. Per film and class the MAX_DETECTIONS surest are there.
    Truths stand film by film and class by class, in the order their film lists them. Pairs stand
    by detection, then by truth.
    """

    image_ids: tuple[str, ...]  # F, sorted
    film: IntArray  # (D,) int32, index into image_ids
    labels: IntArray  # (D,) int32, index into CLASSES, ascending
    scores: FloatArray  # (D,) float32, descending within a class
    boxes: FloatArray  # (D, 4) float32, pixels, xyxy
    rank: IntArray  # (D,) int32, 0 for the surest of its film and class
    truth_film: IntArray  # (T,) int32, index into image_ids
    truth_labels: IntArray  # (T,) int32, index into CLASSES
    truth_boxes: FloatArray  # (T, 4) float32, pixels, xyxy
    detection: Index  # (P,) index of a detection, ascending
    truth: Index  # (P,) index of a truth

    @property
    def truths(self) -> IntArray:
        """(F, C) int32, number of true boxes."""
        cells = self.truth_film.astype(np.intp) * len(CLASSES) + self.truth_labels
        counts = np.bincount(cells, minlength=len(self.image_ids) * len(CLASSES))
        return counts.reshape(-1, len(CLASSES)).astype(np.int32)


def pair_boxes(truths: Sequence[GroundTruth], detections: Iterable[Detections]) -> Pairs:
    """Lay films out as columns. The order of the arguments' films does not matter.

    A film without an entry among the detections counts as one where nothing was seen.

    Raises:
        EvaluationError: if a film comes twice.
    """
    films = pair_films(truths, detections)
    film = _film_column([len(seen) for _, seen in films])
    labels = _joined([seen.labels for _, seen in films], np.int32)
    scores = _joined([seen.scores for _, seen in films], np.float32)
    boxes = _joined([seen.boxes for _, seen in films], np.float32).reshape(-1, 4)
    order, rank = _surest_of_class(film, labels, scores)
    truth_film = _film_column([len(truth.labels) for truth, _ in films])
    truth_labels = _joined([truth.labels for truth, _ in films], np.int32)
    truth_boxes = _joined([truth.boxes for truth, _ in films], np.float32).reshape(-1, 4)
    by_class = np.lexsort((truth_labels, truth_film))  # stable
    truth_film, truth_labels = truth_film[by_class], truth_labels[by_class]
    detection, truth = _meet(_cells(film, labels)[order], _cells(truth_film, truth_labels))
    return Pairs(
        tuple(truth.image_id for truth, _ in films),
        film[order],
        labels[order],
        scores[order],
        boxes[order],
        rank,
        truth_film,
        truth_labels,
        truth_boxes[by_class],
        detection,
        truth,
    )


def pair_films(
    truths: Sequence[GroundTruth], detections: Iterable[Detections]
) -> list[tuple[GroundTruth, Detections]]:
    """Put each film's truth beside its detections, sorted by image_id.

    A film without detections gets an empty value; detections on a film whose truth is unknown are
    left out, as COCOeval does.

    Raises:
        EvaluationError: if a film comes twice.
    """
    seen = _by_film(detections)
    return [
        (truth, seen.get(image_id, Detections.nothing(image_id)))
        for image_id, truth in sorted(_by_film(truths).items())
    ]


def _surest_of_class(
    film: IntArray, labels: IntArray, scores: FloatArray
) -> tuple[Index, IntArray]:
    """Return the order of the detections that count, and the rank of each in its film and class."""
    cells = _cells(film, labels)
    falling = np.lexsort((np.negative(scores), cells))  # stable: ties keep the film's order
    starts = np.flatnonzero(np.diff(cells[falling], prepend=-1))
    run = np.arange(len(falling)) - np.repeat(starts, np.diff(np.append(starts, len(falling))))
    rank = np.zeros(len(film), np.int32)
    rank[falling] = run
    order = np.lexsort((np.negative(scores), labels))  # stable: ties keep the order of the films
    order = order[rank[order] < MAX_DETECTIONS]
    return order, rank[order]


def _meet(cells: Index, truth_cells: Index) -> tuple[Index, Index]:
    """Return all pairs of equal cells; truth_cells are ascending."""
    first = np.searchsorted(truth_cells, cells, side="left")
    partners = np.searchsorted(truth_cells, cells, side="right") - first
    detection = np.repeat(np.arange(len(cells)), partners)
    begins = np.cumsum(partners) - partners
    return detection, np.arange(len(detection)) - begins[detection] + first[detection]


def _cells(film: IntArray, labels: IntArray) -> Index:
    return film.astype(np.intp) * len(CLASSES) + labels


def _film_column(lengths: Sequence[int]) -> IntArray:
    return np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)


def _joined(arrays: Sequence[NDArray[Any]], kind: type[np.generic]) -> NDArray[Any]:
    return np.concatenate([np.zeros(0, kind), *map(np.ravel, arrays)], dtype=kind)


def _by_film(films: Iterable[Film]) -> dict[str, Film]:
    known: dict[str, Film] = {}
    for film in films:
        if film.image_id in known:
            raise EvaluationError(f"film {film.image_id!r} comes twice; each is judged once")
        known[film.image_id] = film
    return known
